"""The fourth tutorial: its commands parse, and what it names is what a project holds."""

import os
import re
import shlex
from pathlib import Path

import click
import pytest
from zephyr_application import BOARDS, configured, zephyr_project

from tvm_ondevice_train.boards import board as find_board
from tvm_ondevice_train.cli import cli
from tvm_ondevice_train.device import build
from tvm_ondevice_train.errors import OdtError

TEXT = (Path(__file__).parents[2] / "tutorials" / "04_zephyr_board.md").read_text()
BLOCKS = re.findall(r"^```\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
LINES = [line for block in BLOCKS for line in block.splitlines()]
COMMANDS = [line for line in LINES if line.startswith("ondevice-train ")]


@pytest.mark.parametrize("command", dict.fromkeys(COMMANDS))
def test_a_command_parses(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("digits_int8.onnx", "sideways.npz"):
        Path(name).touch()
    Path("digits").mkdir()
    name, *arguments = shlex.split(command)[1:]
    parsed = cli.get_command(None, name)
    with click.Context(cli) as parent:
        options = parsed.make_context(name, arguments, parent=parent).params
    if name == "compile":
        assert options["platform"] in find_board(options["board"]).platforms


def test_west_builds_what_was_compiled_last():
    board = None
    for line in LINES:
        if compiled := re.search(r"ondevice-train compile .* --board (\S+)", line):
            board = find_board(compiled[1]).name
        if built := re.match(r"west build -b (\S+)$", line):
            assert find_board(built[1]).name == board


def test_every_board_that_was_tried_is_named_and_known():
    names = set(re.findall(r"`([a-z0-9_/]+)`", TEXT.split("## 1.")[0]))
    assert {find_board(name).name for name in names} == set(BOARDS)


def test_what_it_says_of_a_project_is_so(tmp_path):
    project = zephyr_project(tmp_path / "digits", "native_sim")
    for name in ("CMakeLists.txt", "prj.conf", "src/main.c", "model.c", "runtime/zephyr/Kconfig"):
        assert (project / name).is_file()
    values = configured(project, "native_sim")
    assert f"reserves {int(values['ODT_STACK_SIZE']):,} bytes" in TEXT
    for setting in re.findall(r"CONFIG_(ODT_\w+)", TEXT):
        assert setting in values
    assert "DT_CHOSEN(odt_uart)" in (project / "runtime/port/zephyr_uart.c").read_text()
    for line in (line for line in LINES if line.startswith(("list(APPEND", "set(ODT"))):
        variable = re.search(r"\((?:APPEND )?(\w+)", line)[1]
        assert variable in (project / "test" / "CMakeLists.txt").read_text()
    for path in re.findall(r"\$\{CMAKE_CURRENT_SOURCE_DIR\}/digits/(\w+)", TEXT):
        assert (project / path).is_dir()


@pytest.mark.slow
@pytest.mark.skipif(
    "ZEPHYR_BASE" not in os.environ and os.environ.get("ODT_REQUIRE_ZEPHYR") != "1",
    reason="ZEPHYR_BASE is not set",
)
def test_the_nucleo_gets_a_partition(tmp_path):
    project = zephyr_project(tmp_path / "digits", "nucleo_f746zg")
    overlay = next(block for block in BLOCKS if "storage_partition: partition@80000" in block)
    (project / "app.overlay").write_text(overlay)
    assert build(project).is_file()
    assert "CONFIG_ODT_STORE=y" in (project / "build" / "zephyr" / ".config").read_text()
    # and the same inside the program
    (project / "app.overlay").write_text(overlay.replace("80000", "4000"))
    with pytest.raises(OdtError, match="the program reaches into the flash of storage_partition"):
        build(project)
