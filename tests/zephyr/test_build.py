"""Building a Zephyr application from here: what is asked for, and what a failure says."""

import re

import pytest
from zephyr_application import zephyr_project

from tvm_ondevice_train.device import build
from tvm_ondevice_train.device import zephyr as device_zephyr
from tvm_ondevice_train.errors import OdtError


@pytest.fixture
def base(tmp_path, monkeypatch):
    """A folder with nothing of Zephyr but its version, which is 3.5."""
    folder = tmp_path / "zephyr"
    folder.mkdir()
    (folder / "VERSION").write_text("VERSION_MAJOR = 3\nVERSION_MINOR = 5\nPATCHLEVEL = 0\n")
    monkeypatch.setenv("ZEPHYR_BASE", str(folder))
    return folder


class Tool:
    """In the place of `run_tool`: remembers the commands, and fails where it shall."""

    def __init__(self, fails_on=None, text=""):
        self.commands, self.fails_on, self.text = [], fails_on, text

    def __call__(self, arguments):
        self.commands.append(list(map(str, arguments)))
        self.returncode = int(self.fails_on is not None and self.fails_on in arguments)
        self.stdout, self.stderr = "", self.text
        return self


@pytest.fixture
def tool(monkeypatch):
    """`tool(fails_on=, text=)` puts a `Tool` in place."""

    def put(**options):
        made = Tool(**options)
        monkeypatch.setattr(device_zephyr, "run_tool", made)
        return made

    return put


@pytest.mark.parametrize(
    ("version", "name"),
    [("3.5", "mps2_an385"), ("3.6", "mps2_an385"), ("3.7", "mps2/an385"), ("4.1", "mps2/an385")],
)
def test_a_board_is_called_as_this_zephyr_has_it(version, name, base, tool, tmp_path):
    major, minor = version.split(".")
    (base / "VERSION").write_text(f"VERSION_MAJOR = {major}\nVERSION_MINOR = {minor}\n")
    ran = tool()
    project = zephyr_project(tmp_path / "project", "mps2-an385")
    assert build(project) == project / "build" / "zephyr" / "zephyr.elf"
    configure, make = ran.commands
    assert f"-DBOARD={name}" in configure and configure[0] == "cmake"
    assert make == ["cmake", "--build", str(project / "build")]


def west_build(project, board):
    """Leave what `west build -b` leaves, as far as it matters here."""
    (project / "build").mkdir()
    (project / "build" / "build.ninja").write_text("")
    (project / "build" / "CMakeCache.txt").write_text(f"CACHED_BOARD:STRING={board}\n")


@pytest.mark.parametrize("name", ["native_sim_64", "native_sim/native/64"])
def test_what_west_configured_is_built_on(name, tool, tmp_path, monkeypatch):
    monkeypatch.delenv("ZEPHYR_BASE", raising=False)
    ran = tool()
    project = zephyr_project(tmp_path / "project", "native_sim")
    west_build(project, name)
    assert build(project).name == "zephyr.exe"
    assert [command[1] for command in ran.commands] == ["--build"]


def test_what_west_built_for_another_board_is_not_started(tool, tmp_path):
    ran = tool()
    project = zephyr_project(tmp_path / "project", "mps2-an385")
    west_build(project, "nucleo_f746zg")
    with pytest.raises(OdtError, match="build is for nucleo_f746zg, the project for mps2-an385"):
        build(project)
    assert not ran.commands


def test_what_failed_to_configure_does_not_stand_in_the_way(base, tool, tmp_path):
    tool()
    project = zephyr_project(tmp_path / "project", "mps2-an385")
    west_build(project, "mps2/no_such_board")
    (project / "build" / "build.ninja").unlink()
    build(project)
    assert not (project / "build" / "CMakeCache.txt").exists()


def test_without_zephyr_one_line_says_what_to_set(tmp_path, monkeypatch):
    monkeypatch.delenv("ZEPHYR_BASE", raising=False)
    project = zephyr_project(tmp_path / "project", "native_sim")
    with pytest.raises(OdtError, match=r"set ZEPHYR_BASE to its folder, or .* `west build`"):
        build(project)
    monkeypatch.setenv("ZEPHYR_BASE", str(tmp_path))
    with pytest.raises(OdtError, match="which is not the folder of Zephyr"):
        build(project)


NO_COMPILER = "build: error: no compiler for Zephyr: install its SDK, or .* set ZEPHYR_TOOLCHAIN_.*"
MESSAGES = [
    (
        "-GNinja",
        "CMake Error at cmake/modules/FindZephyr-sdk.cmake:109 (find_package):\n"
        '  Could not find a package configuration file provided by\n  "Zephyr-sdk" (requested\n',
        NO_COMPILER,
    ),
    (
        "-GNinja",
        "CMake Error at cmake/compiler/gcc/generic.cmake:9 (message):\n"
        "  Zephyr was unable to find the toolchain.  Is the environment misconfigured?\n",
        NO_COMPILER,
    ),
    (
        "-GNinja",
        "CMake Error at cmake/modules/snippets.cmake:92 (message):\n  Traceback (most recent call\n"
        "  last):\n\n  ModuleNotFoundError: No module named 'pykwalify'\n\n",
        "build: error: Zephyr's scripts lack the Python module pykwalify: activate .*",
    ),
    (
        "-GNinja",
        "No board named 'mps2_an385' found.\n\nPlease choose one of the following boards:\n"
        "CMake Error at cmake/modules/boards.cmake:241 (message):\n  Invalid BOARD; see above.\n",
        "build: error: the Zephyr in ZEPHYR_BASE has no board mps2_an385",
    ),
    (
        "-GNinja",
        "devicetree error: app.overlay:1: parse error: undefined node label 'uart9'\n"
        "CMake Error at cmake/modules/dts.cmake:284 (message):\n  gen_defines.py failed\n",
        "build: error: app.overlay:1: parse error: undefined node label 'uart9'",
    ),
    (
        "-GNinja",
        "CMake Error at runtime/zephyr/CMakeLists.txt:6 (message):\n  odt: there is no model.c in\n"
        "  /nowhere: set ODT_MODEL_DIR\n\nCall Stack (most recent call first):\n",
        "build: error: odt: there is no model.c in /nowhere: set ODT_MODEL_DIR",
    ),
    (
        "-GNinja",
        "\nprj.conf:10: warning: attempt to assign the value 'y' to the undefined symbol ODD\n\n"
        "error: Aborting due to Kconfig warnings\n\nCMake Error at kconfig.cmake:355 (message):\n"
        "  command failed\n",
        "build: error: attempt to assign the value 'y' to the undefined symbol ODD",
    ),
    (
        "--build",
        'gcc.h:87:36: error: static assertion failed: "fake needs 9,272 bytes; has 4096"\n',
        "build: error: fake needs 9,272 bytes; has 4096",
    ),
    (
        "--build",
        "ld.bfd: odt: the program reaches into the flash\ncollect2: error: ld returned 1\n",
        "build: error: the program reaches into the flash",
    ),
    (
        "--build",
        "ld.bfd: region `RAM' overflowed by 32624 bytes\ncollect2: error: ld returned 1\n",
        "build: the program exceeds the budget of qemu_cortex_m3: SRAM by 32624 bytes; .*",
    ),
]


@pytest.mark.parametrize(("step", "text", "line"), MESSAGES)
def test_a_failure_is_one_line(step, text, line, base, tool, tmp_path):
    tool(fails_on=step, text=text)
    project = zephyr_project(tmp_path / "project", "qemu_cortex_m3")
    with pytest.raises(OdtError) as raised:
        build(project)
    assert re.fullmatch(line, str(raised.value))
