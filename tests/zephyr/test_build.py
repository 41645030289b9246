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


def test_what_west_configured_is_built_on(tool, tmp_path, monkeypatch):
    monkeypatch.delenv("ZEPHYR_BASE", raising=False)
    ran = tool()
    project = zephyr_project(tmp_path / "project", "native_sim")
    (project / "build").mkdir()
    (project / "build" / "build.ninja").write_text("")
    assert build(project).name == "zephyr.exe"
    assert [command[1] for command in ran.commands] == ["--build"]


def test_without_zephyr_one_line_says_what_to_set(tmp_path, monkeypatch):
    monkeypatch.delenv("ZEPHYR_BASE", raising=False)
    project = zephyr_project(tmp_path / "project", "native_sim")
    with pytest.raises(OdtError, match="set ZEPHYR_BASE to its folder, or .* `west build`"):
        build(project)
    monkeypatch.setenv("ZEPHYR_BASE", str(tmp_path))
    with pytest.raises(OdtError, match="which is not the folder of Zephyr"):
        build(project)


MESSAGES = [
    (
        "-GNinja",
        "CMake Error at cmake/modules/FindZephyr-sdk.cmake:109 (find_package):\n"
        "  Could not find a package configuration file\n  provided by Zephyr-sdk\n\n  Add\n",
        "build: error: Could not find a package configuration file provided by Zephyr-sdk",
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
    (project / "build").mkdir()
    (project / "build" / "CMakeCache.txt").write_text("")
    with pytest.raises(OdtError) as raised:
        build(project)
    assert re.fullmatch(line, str(raised.value))
    # what failed to configure does not stand in the way of the next try
    assert (project / "build" / "CMakeCache.txt").exists() == (step == "--build")
