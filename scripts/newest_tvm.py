"""Says in one line whether the newest TVM on PyPI works with this checkout.

Usage: python scripts/newest_tvm.py FOLDER, where a virtual environment of its own is made.
setup.py names one version of TVM; this looks ahead of it, so it exits with 0 whatever it finds.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from signal import Signals

ROOT = Path(__file__).resolve().parent.parent
_PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow")
_COMMAND = ("-c", "from tvm_ondevice_train.cli import main; main()")
# What is tried, in this order: its name, and what the interpreter is told.
CHECKS = {
    "import": ("-c", "import tvm_ondevice_train.compiler"),
    "compile": (*_COMMAND, "compile", "tiny.onnx", "-o", "project", "--board", "host"),
    "tune": (*_COMMAND, "tune", "tiny.onnx", "--board", "host", "--trials", "2"),
    "tests": (*_PYTEST, str(ROOT / "tests/passes/kernels"), str(ROOT / "tests/passes/memory")),
}
_TESTS_WANT = ("pytest", "hypothesis")
# The requirements of setup.py, those of tuning too, less TVM's.
_REQUIRED = """
from importlib.metadata import requires
for line in requires("tvm-ondevice-train"):
    name, _, marker = line.partition(";")
    if not name.startswith("apache-tvm") and ("extra" not in marker or "tune" in marker):
        print(name.strip())
"""
_VERSIONS = """
from importlib.metadata import version
print(*(f"{name} {version(name)}" for name in ("apache-tvm", "apache-tvm-ffi")), sep=", ")
"""


class Failed(Exception):
    """A step that did not work: which, and the last line that it printed."""


def main(folder: Path) -> None:
    found = "the newest TVM"
    try:
        python = installed(folder)
        found = run("version", python, "-c", _VERSIONS).strip()
        write_model(folder / "tiny.onnx")
        check(python, CHECKS, folder)
        print(f"{found}: works ({', '.join(CHECKS)})")
    except Failed as failure:
        print(f"{found}: fails: {failure}")


def installed(folder: Path) -> str:
    """The interpreter of an environment with the newest TVM and all else that we want."""
    python = str(folder / "bin/python")
    pip = (python, "-m", "pip", "install", "-q", "--disable-pip-version-check")
    run("install", sys.executable, "-m", "venv", folder)
    run("install", *pip, "--upgrade", "--upgrade-strategy", "eager", "apache-tvm")
    run("install", *pip, "--no-deps", "-e", ROOT)
    run("install", *pip, *run("install", python, "-c", _REQUIRED).splitlines(), *_TESTS_WANT)
    return python


def check(python: str, checks: Mapping[str, Sequence[str]], folder: Path) -> None:
    """Run `checks` in `folder`; Failed at the first that does not end with 0."""
    for name, arguments in checks.items():
        run(name, python, *arguments, cwd=folder)


def run(name: str, *command: str | Path, cwd: Path = ROOT) -> str:
    """What `command` prints; Failed with `name` if it does not end with 0."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        return done.stdout
    if done.returncode < 0:
        raise Failed(f"{name}: ended by {Signals(-done.returncode).name}")
    lines = (done.stderr.strip() or done.stdout.strip()).splitlines() or ["without a word"]
    raise Failed(f"{name}: {lines[-1]}")


def write_model(path: Path) -> None:
    """A convolution, ReLU, mean and dense layer, in ONNX."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper, save

    generator = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(generator.normal(size=shape).astype(np.float32), name)
        for name, shape in (("conv.weight", (4, 2, 3, 3)), ("head.weight", (3, 4)))
    ]
    nodes = [
        helper.make_node("Conv", ["x", "conv.weight"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("GlobalAveragePool", ["b"], ["c"]),
        helper.make_node("Flatten", ["c"], ["d"]),
        helper.make_node("Gemm", ["d", "head.weight"], ["y"], transB=1),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 2, 8, 8))
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 3))
    graph = helper.make_graph(nodes, "tiny", [x], [y], weights)
    opsets = [helper.make_opsetid("", 17)]
    save(helper.make_model(graph, opset_imports=opsets, ir_version=8), str(path))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
