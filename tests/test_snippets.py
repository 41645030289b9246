"""The C of README and of a project's README, and the commands beside it, compile as written."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import tiny

import tvm_ondevice_train as odt

ROOT = Path(__file__).resolve().parent.parent
STRICT = "-Wall -Wextra -Wpedantic -Werror -Wno-missing-prototypes".split()
ONE_MODEL, STORE, TWO_MODELS = range(3)  # the blocks of C in README, in their order


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


README = (ROOT / "README.md").read_text()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Projects `project`, `kws` and `wake`, the names that README has."""
    root = tmp_path_factory.mktemp("snippets")
    for name, quantized in (("project", True), ("kws", True), ("wake", False)):
        options = {"prefix": None if name == "project" else name, "optimizer": "momentum"}
        compiled = odt.compile(tiny.network(quantized), scheme="full", board="host", **options)
        compiled.save(root / name, "host")
    return root


def run(command, directory):
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:2000]


@pytest.mark.parametrize("block", [ONE_MODEL, STORE, TWO_MODELS])
def test_what_readme_says_of_the_c_builds_as_written(block, root):
    """No other file is needed than those that the command names."""
    snippets, commands = blocks(README, "c"), blocks(README, "sh")
    assert len(snippets) == len(commands) == 3
    (root / "firmware.c").write_text(snippets[block])
    command = shlex.split(commands[block])
    run([*command, *STRICT], root)
    include = [word for word in command if word.startswith("-I") or "/include" in word]
    assert include
    if "firmware.c" not in command:  # the store's: its snippet is a file of the firmware, too
        run([*command[:-2], *STRICT, "firmware.c"], root)
    objects = {path.stem for path in root.glob("*.o")}
    assert {Path(word).stem for word in command if word.endswith(".c")} <= objects


def test_the_c_of_a_project_s_readme_compiles(root):
    text = (root / "project" / "README.md").read_text()
    assert "`model.c`, `model.h`, `model_data.h` and `runtime/include`" in text
    (snippet,) = blocks(text, "c")
    (root / "own.c").write_text(snippet)
    run(["gcc", "-std=c99", *STRICT, "-Iproject", "-Iproject/runtime/include", "-c", "own.c"], root)
    assert "`kws_model.c`, `kws_model.h`" in (root / "kws" / "README.md").read_text()
