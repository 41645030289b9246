"""What two static analysers say of the runtime, of every port, and of generated C: nothing.

Zephyr's port is left out, since it needs Zephyr's headers.
"""

import re
import shutil
import subprocess
from functools import cache

import pytest
from fake_project import fake_project
from shared import slow_after
from tiny_models import compiled

from tvm_ondevice_train.boards import boards
from tvm_ondevice_train.project import runtime_dir

STRICT = "-Wall -Wextra -Wpedantic -Wundef -Wconversion -Werror -fanalyzer".split()
# gcc 12 does not know that the store instructions of MVE write.
WRITES_UNSEEN = {"mps3-an547": ["-Wno-analyzer-use-of-uninitialized-value"]}
CPPCHECK = "cppcheck --std=c99 --enable=warning,portability,performance --error-exitcode=1".split()
# Bare metal: a board for each core that is emulated, and one for each kind of UART.
PORTS = {
    row.cpu if how == "semihosting" else row.uart["driver"]: (row.name, how)
    for row in boards()
    for how in row.transports
}
PORTS["host"] = ("host", "stdio")
LIBRARY = "shared_library.c"  # which no project has: a simulation is made with it


def run(*command) -> tuple[int, str]:
    """Exit status and everything printed."""
    assert shutil.which(command[0]), f"{command[0]} is not installed"
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def analyse(project, source, *flags):
    """gcc -fanalyzer, with the project's own compiler and flags, less its optimization."""
    compiler, cflags = toolchain(project)
    flags = [*cflags, *STRICT, "-O0", *flags, *include(project), "-c", source]
    return run(compiler, *flags, "-o", project / "x.o")


def check(project, *sources):
    """cppcheck, with what the project's compiler defines."""
    defined = definitions(*toolchain(project))
    return run(*CPPCHECK, "--quiet", *defined, *include(project), *sources)


def toolchain(project):
    """The compiler of a project's Makefile, and its flags."""
    text = (project / "Makefile").read_text()
    compiler, cflags = (re.search(f"^{name} = (.*)", text, re.M)[1] for name in ("CC", "CFLAGS"))
    return compiler, tuple(cflags.split())


@cache
def definitions(compiler, cflags):
    """Every macro without arguments that a compiler defines, as options."""
    _, listing = run(compiler, *cflags, "-dM", "-E", "-xc", "/dev/null")
    pairs = re.findall(r"^#define (\w+) ?(.*)", listing, re.MULTILINE)
    return [f"-D{name}={value}" for name, value in pairs]


def include(project):
    return [f"-I{project / folder}" for folder in ("", "runtime/include", "runtime/port")]


def test_the_ports_that_are_checked_are_all_of_them(tmp_path):
    every = {path.name for path in runtime_dir().rglob("*.c") if "zephyr" not in path.name}
    checked = {
        path.name
        for name, (board, how) in PORTS.items()
        for path in fake_project(tmp_path / name, board, transport=how).rglob("*.c")
    }
    assert every <= checked | {LIBRARY}


@pytest.mark.parametrize(("board", "transport"), slow_after(8, PORTS.values(), PORTS))
def test_the_runtime_is_clean(board, transport, tmp_path):
    project = fake_project(tmp_path / "project", board, transport=transport)
    sources = sorted((project / "runtime").rglob("*.c"))
    assert [analyse(project, source) for source in sources] == [(0, "")] * len(sources)
    assert check(project, *sources) == (0, "")


def test_the_library_of_a_simulation_is_clean(tmp_path):
    project = compiled("cnn_int8", "head", board="host", split=True, replay=9).save(tmp_path / "p")
    source = runtime_dir() / "port" / LIBRARY
    assert analyse(project, source) == check(project, source) == (0, "")


@pytest.mark.parametrize("kind", slow_after(1, ["cnn_int8", "cnn"]))
@pytest.mark.parametrize(
    "board",
    [
        *("mps2-an500", "mps3-an547", "virt-rv32imac"),
        *(pytest.param(board, marks=pytest.mark.slow) for board in ("mps2-an385", "microbit")),
    ],
)
def test_generated_c_is_clean(board, kind, tmp_path):
    project = compiled(kind, "bias:2", board=board).save(tmp_path / "project")
    # Inlining lets the analyser see through small functions in half the time.
    assert analyse(project, project / "model.c", "-O1", *WRITES_UNSEEN.get(board, ())) == (0, "")
    assert check(project, project / "model.c") == (0, "")


# tool, what stands there, the mistake, and the tool's name for it
MISTAKES = [
    (
        analyse,
        "*ended = read_bytes(c, &byte, 1, ODT_WAIT) != ODT_OK;",
        "*ended = 0;",
        "analyzer-use-of-uninitialized-value",
    ),
    (
        check,
        "header[4] = (uint8_t)type;",
        "header[9] = (uint8_t)type;",
        "arrayIndexOutOfBounds",
    ),
]


@pytest.mark.parametrize(("tool", "right", "wrong", "words"), MISTAKES)
def test_a_mistake_is_found(tool, right, wrong, words, tmp_path):
    project = fake_project(tmp_path / "project")
    source = project / "runtime/src/odt_frame.c"
    text = source.read_text()
    assert text.count(right) == 1
    source.write_text(text.replace(right, wrong))
    status, message = tool(project, source)
    assert status == 1 and words in message
