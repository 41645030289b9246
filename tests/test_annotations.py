"""Names in annotations exist: nothing looks at them, as mypy takes all of TVM for Any."""

import ast
import importlib
import pkgutil
from pathlib import Path

import pytest

import relay_passes
import tvm_ondevice_train

MODULES = ["relay_passes", "tvm_ondevice_train"]
MODULES += [
    found.name
    for package in (relay_passes, tvm_ondevice_train)
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + ".")
    if not found.name.endswith("__main__")
]


def annotations_in(tree: ast.Module) -> list[ast.expr]:
    """Of parameters, results and variables, those of nested functions too."""
    nodes = list(ast.walk(tree))
    found = [n.annotation for n in nodes if isinstance(n, ast.arg | ast.AnnAssign)]
    found += [n.returns for n in nodes if isinstance(n, ast.FunctionDef)]
    return [annotation for annotation in found if annotation is not None]


def imports_for_checkers(tree: ast.Module) -> list[ast.stmt]:
    """What stands in ``if TYPE_CHECKING:``."""
    guarded = [
        n for n in tree.body if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.dump(n.test)
    ]
    return [statement for block in guarded for statement in block.body]


@pytest.mark.parametrize("name", MODULES)
def test_every_name_in_an_annotation_exists(name):
    module = importlib.import_module(name)
    tree = ast.parse(Path(module.__file__).read_text())
    names = dict(vars(module))
    exec(compile(ast.Module(imports_for_checkers(tree), []), name, "exec"), names)
    for annotation in annotations_in(tree):
        eval(compile(ast.Expression(annotation), name, "eval"), names)


def test_checkers_see_the_names_that_are_imported_on_first_use():
    tree = ast.parse(Path(tvm_ondevice_train.__file__).read_text())
    seen = [alias.name for statement in imports_for_checkers(tree) for alias in statement.names]
    assert sorted(seen) == tvm_ondevice_train.__all__
    assert {*seen} <= {*dir(tvm_ondevice_train)}
