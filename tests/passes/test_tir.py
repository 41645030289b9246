"""`relay_passes.tir` alone knows where TVM keeps its tensor IR."""

import ast
from pathlib import Path

import pytest

from relay_passes import tir

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("relay_passes", "tvm_ondevice_train", "tests", "benchmarks", "tutorials", "scripts")
MOVED = ("tirx", "s_tir")


def imported(text: str) -> set[str]:
    """The full names of all that `text` imports."""
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def of_tensor_ir(text: str) -> set[str]:
    return {
        name
        for name in imported(text)
        if name.split(".")[0] == "tvm" and not set(MOVED).isdisjoint(name.split("."))
    }


@pytest.mark.parametrize(
    "text",
    [
        "import tvm.tirx",
        "import tvm.s_tir.schedule as s",
        "from tvm import relax, tirx",
        "from tvm.s_tir import Schedule",
        "from tvm.script import tirx as T",
        "def late():\n    from tvm.tirx import op",
    ],
)
def test_every_way_to_import_it_is_seen(text):
    assert of_tensor_ir(text)


def test_other_imports_are_not():
    assert not of_tensor_ir("from tvm import relax\nfrom relay_passes.tir import tirx, s_tir")


def test_no_other_file_imports_it():
    own = Path(tir.__file__).resolve()
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    assert own in files and of_tensor_ir(own.read_text())
    found = {
        path.relative_to(ROOT).as_posix(): names
        for path in files
        if path != own and (names := of_tensor_ir(path.read_text()))
    }
    assert found == {}
