"""The files of a Zephyr application: they parse, and whatever they name exists."""

import re
import shutil
import subprocess

import pytest
import yaml
from zephyr_application import BOARDS, SIZES, STACK_BYTES, STUB, configured, zephyr_project

from tvm_ondevice_train.boards import board as find_board
from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.project.zephyr import (
    KERNEL_STACK_BYTES,
    ZEPHYR_FLASH_BYTES,
    ZEPHYR_SRAM_BYTES,
)

REPLAY = {"odt_replay.c", "odt_ring_flash.c", "odt_ring_ram.c"}
MODEL = {"model.c", "odt_crc.c", "odt_store.c"} | REPLAY
SERVER = MODEL | {"odt_frame.c", "odt_marks.c", "odt_protocol.c", "zephyr_server.c"}


@pytest.fixture(scope="module")
def projects(tmp_path_factory):
    """Board -> its application."""
    root = tmp_path_factory.mktemp("zephyr")
    return {board: zephyr_project(root / board, board) for board in BOARDS}


def cmake(application, build, values):
    """Configure with the stub in Zephyr's place; what the stub said."""
    lines = [f'set(CONFIG_{name} "{value}")' for name, value in values.items() if value != "n"]
    settings = build.with_suffix(".cmake")
    settings.write_text("\n".join(lines))
    command = ["cmake", "-S", application, "-B", build, f"-DCONFIG_VALUES={settings}"]
    result = subprocess.run(
        [*command, f"-DZephyr_DIR={STUB}"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert not result.stderr
    return result.stdout


def test_the_boards_of_the_table_are_all_there():
    assert len(BOARDS) == 10
    for name in BOARDS:
        old, new = (find_board(name).zephyr[version] for version in ("3.5", "3.7"))
        assert "/" not in old
        assert find_board(old).name == find_board(new).name == name


@pytest.mark.parametrize("board", BOARDS)
def test_an_application_has_what_zephyr_asks_for(board, projects):
    project = projects[board]
    wanted = {"CMakeLists.txt", "Kconfig", "prj.conf", "sample.yaml", "src/main.c", "model.c"}
    wanted |= {"test/CMakeLists.txt", "test/prj.conf", "test/testcase.yaml", "test/src/main.c"}
    for path in (*wanted, "runtime/zephyr/module.yml", "runtime/zephyr/Kconfig", "manifest.json"):
        assert (project / path).is_file(), path
    module = yaml.safe_load((project / "runtime/zephyr/module.yml").read_text())
    assert (project / "runtime" / module["build"]["cmake"] / "CMakeLists.txt").is_file()
    assert (project / "runtime" / module["build"]["kconfig"]).is_file()
    for name in find_board(board).zephyr.values():
        assert f"west build -b {name} " in (project / "README.md").read_text()


@pytest.mark.parametrize("board", BOARDS)
def test_kconfig_takes_every_setting(board, projects):
    values = configured(projects[board], board)
    host = find_board(board).is_host
    assert values["ODT"] == values["ODT_SERVER"] == values["INIT_STACKS"] == "y"
    assert int(values["ODT_STACK_SIZE"]) == STACK_BYTES + KERNEL_STACK_BYTES
    assert values["UART_CONSOLE"] == values["BOOT_BANNER"] == "n"  # no text between frames
    assert values["UART_INTERRUPT_DRIVEN"] == values["FPU"] == ("n" if host else "y")
    assert (
        values["ODT_STORE"]
        == values["FLASH_MAP"]
        == ("y" if host or find_board(board).store else "n")
    )
    test = configured(projects[board] / "test", board)
    assert test["ODT"] == "y" and test["ODT_SERVER"] == "n"
    assert test["MAIN_STACK_SIZE"] == values["ODT_STACK_SIZE"]


def test_a_setting_that_nothing_knows_is_found(projects, tmp_path):
    shutil.copytree(projects["native_sim"], tmp_path / "copy")
    with open(tmp_path / "copy" / "prj.conf", "a") as file:
        file.write("CONFIG_ODT_STACK=1\n")
    with pytest.raises(AssertionError, match="ODT_STACK"):
        configured(tmp_path / "copy", "native_sim")


@pytest.mark.parametrize(
    ("board", "more", "sources", "said"),
    [
        ("mps2-an385", {}, SERVER | {"zephyr_uart.c"}, ["linker RAM_SECTIONS arena.ld"]),
        (
            "nrf52840dk",
            {"ODT_YIELD": "y"},
            SERVER | {"zephyr_uart.c", "zephyr_flash.c"},
            ["definitions ODT_PORT_HEADER=<zephyr_yield.h>", "linker SECTIONS store.ld"],
        ),
        ("native_sim", {}, SERVER | {"zephyr_native.c", "zephyr_flash.c"}, []),
        ("mps3-an547", {"ARMV8_1_M_MVEF": "y"}, None, ["options -mcpu=cortex-m55+nomve.fp"]),
        ("mps3-an547", {"ODT_SERVER": "n"}, MODEL, []),
    ],
)
def test_cmake_finds_every_file(board, more, sources, said, projects, tmp_path):
    known = {name: value for name, value in more.items() if name.startswith("ODT")}
    values = {**configured(projects[board], board, **known), **more}
    output = cmake(projects[board], tmp_path / "build", values)
    assert sources is None or set(re.findall(r"-- source (\S+)", output)) == sources
    for line in ("options -O3;-ffp-contract=off", *said):
        assert f"-- {line}\n" in output


def test_cmake_finds_every_file_of_the_test_for_twister(projects, tmp_path):
    application = projects["mps2-an385"] / "test"
    output = cmake(application, tmp_path / "build", configured(application, "mps2-an385"))
    assert set(re.findall(r"-- source (\S+)", output)) == MODEL


def test_cmake_finds_a_model_with_a_prefix(projects, tmp_path):
    shutil.copytree(projects["native_sim"], tmp_path / "copy")
    (tmp_path / "copy" / "model.c").rename(tmp_path / "copy" / "kws_model.c")
    values = configured(tmp_path / "copy", "native_sim")
    output = cmake(tmp_path / "copy", tmp_path / "build", values)
    assert "kws_model.c" in re.findall(r"-- source (\S+)", output)


def test_a_model_that_is_not_there_is_named(projects, tmp_path):
    shutil.copytree(projects["native_sim"], tmp_path / "copy")
    (tmp_path / "copy" / "model.c").unlink()
    values = configured(tmp_path / "copy", "native_sim")
    with pytest.raises(AssertionError, match=r"there is no model.c in\s+\S+/copy:\s+set\s+ODT_M"):
        cmake(tmp_path / "copy", tmp_path / "build", values)


def test_a_source_that_is_missing_is_found(projects, tmp_path):
    shutil.copytree(projects["native_sim"], tmp_path / "copy")
    (tmp_path / "copy" / "runtime" / "port" / "zephyr_native.c").unlink()
    values = configured(tmp_path / "copy", "native_sim")
    with pytest.raises(AssertionError, match=r"zephyr_native\.c"):
        cmake(tmp_path / "copy", tmp_path / "build", values)


@pytest.mark.parametrize("board", BOARDS)
def test_twister_reads_its_files(board, projects):
    sample = yaml.safe_load((projects[board] / "sample.yaml").read_text())
    test = yaml.safe_load((projects[board] / "test" / "testcase.yaml").read_text())
    assert sample["tests"]["odt.firmware"]["build_only"] is True
    needed = SIZES["arena_bytes"] + SIZES["trainable_state_bytes"]
    needed += STACK_BYTES + KERNEL_STACK_BYTES + ZEPHYR_SRAM_BYTES
    for account in (sample["tests"]["odt.firmware"], test["common"]):
        assert account["min_ram"] == -(-needed // 1024)
        assert account["min_flash"] == -(-(SIZES["flash_bytes"] + ZEPHYR_FLASH_BYTES) // 1024)
    assert test["tests"]["odt.step.yield"]["extra_configs"] == ["CONFIG_ODT_YIELD=y"]
    phrase = test["common"]["harness_config"]["regex"][0]
    assert phrase in (projects[board] / "test" / "src" / "main.c").read_text()


def test_the_size_is_asserted_with_numbers(projects):
    text = (projects["qemu_cortex_m3"] / "src" / "main.c").read_text()
    assert "BUILD_ASSERT(SRAM_BYTES >= 9272," in text
    assert "fake needs 9,272 bytes of SRAM (arena 4,096" in text


def test_both_spellings_of_a_board_have_their_settings(projects):
    boards = {path.name for path in (projects["native_sim"] / "boards").iterdir()}
    names = ("native_sim_64", "native_sim_native_64")
    assert boards == {f"{name}.{kind}" for name in names for kind in ("conf", "overlay")}


def test_a_board_without_zephyr_is_refused(tmp_path):
    with pytest.raises(OdtError, match="microbit has no platform zephyr; it has baremetal"):
        zephyr_project(tmp_path / "project", "microbit")
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_application_is_replaced(tmp_path):
    project = zephyr_project(tmp_path / "project", "native_sim")
    (project / "build").mkdir()
    zephyr_project(project, "mps2-an385")
    assert not (project / "build").exists() and not (project / "boards").exists()
