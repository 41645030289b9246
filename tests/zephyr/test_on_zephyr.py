"""Applications built by a real Zephyr and run by QEMU or as a process, where ZEPHYR_BASE is set.

With ODT_REQUIRE_ZEPHYR=1 they fail where it is not.
"""

import json
import os
import re
import shlex
import subprocess
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile
from tiny_models import compiled, images
from zephyr_application import STUB

from tvm_ondevice_train.boards import board as find_board
from tvm_ondevice_train.device import Session, build
from tvm_ondevice_train.device.zephyr import build_zephyr, zephyr_program
from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.run.run_project import run_project

BASE = os.environ.get("ZEPHYR_BASE")
pytestmark = pytest.mark.skipif(
    not BASE and os.environ.get("ODT_REQUIRE_ZEPHYR") != "1", reason="ZEPHYR_BASE is not set"
)
STEPS = 20
STRICT = "-Wall -Wextra -Wpedantic -Wconversion -Wmissing-prototypes -Werror -fsyntax-only".split()
# A flash in the memory of an emulated board, in pages of 4 KB.
SIMULATED_FLASH = """
/ {
	simulated-flash {
		compatible = "zephyr,sim-flash";
		#address-cells = <1>;
		#size-cells = <1>;
		erase-value = <0xff>;
		flash_sim@0 {
			compatible = "soc-nv-flash";
			reg = <0 0x10000>;
			erase-block-size = <4096>;
			write-block-size = <8>;
			partitions {
				compatible = "fixed-partitions";
				#address-cells = <1>;
				#size-cells = <1>;
				storage_partition: partition@%x { reg = <%#x 0x8000>; };
			};
		};
	};
};
"""


def slow(*boards):
    return [pytest.param(board, marks=pytest.mark.slow) for board in boards]


@cache
def model():
    return compiled("cnn_int8", "last:2", learning_rate=0.02, sram_bytes=4 << 20)


def project(directory, board, platform="zephyr"):
    return replace(model(), board=find_board(board)).save(directory, platform)


def train(device, steps=STEPS, first=0):
    x, y = images(4)
    return [device.train(x[i % 4], y[i % 4]) for i in range(first, first + steps)]


def trained(directory):
    """Losses, an output and the parameters, as bytes, and the device's statistics."""
    with Session(directory) as device:
        device.set_seed(11)
        losses = np.float32(train(device)).tobytes()
        output = device.predict(images(1)[0][0]).tobytes()
        learned = {name: value.tobytes() for name, value in device.parameters().items()}
        return (losses, output, learned), device.stats()


def assert_no_warnings(directory):
    """Of what the project holds, compiled as Zephyr does; Zephyr's own headers are not judged."""
    commands = json.loads((directory / "build" / "compile_commands.json").read_text())
    roots = tuple(str(directory / name) for name in ("model.c", "runtime", "src"))
    ours = [row for row in commands if os.path.normpath(row["file"]).startswith(roots)]
    assert {"model.c", "main.c", "zephyr_server.c"} <= {Path(row["file"]).name for row in ours}
    for row in ours:
        words = [
            word.replace("-I", "-isystem", 1) if word.startswith(f"-I{BASE}") else word
            for word in shlex.split(row["command"])
        ]
        command = [*words, *STRICT]
        result = subprocess.run(command, cwd=row["directory"], capture_output=True, text=True)
        assert result.returncode == 0, result.stderr


def assert_memory(program):
    """The arena has a section that nothing loads; what is constant lies where nothing writes."""
    constants = set(re.findall(r"^static const \w+ (\w+)\[", model().files["model_data.h"], re.M))
    found = set()
    with open(program, "rb") as file:
        image = ELFFile(file)
        for symbol in image.get_section_by_name(".symtab").iter_symbols():
            if symbol.name == "odt_arena":
                section = image.get_section(symbol["st_shndx"])
                assert section.name == ".arena" and section["sh_type"] == "SHT_NOBITS"
                assert section["sh_size"] == symbol["st_size"] == model().report["arena_bytes"]
                found.add(symbol.name)
            elif symbol.name in constants:
                assert not image.get_section(symbol["st_shndx"])["sh_flags"] & 1, symbol.name
                found.add(symbol.name)
    frozen = {name for name in constants if "weight_quantized" in name}
    assert frozen and frozen | {"odt_arena"} <= found


@pytest.mark.parametrize(
    "board", ["native_sim", "mps2-an385", "mps3-an547", *slow("qemu_cortex_m3", "mps2-an521")]
)
def test_a_device_learns_as_the_host_does(board, tmp_path):
    directory = project(tmp_path / "device", board)
    found, stats = trained(directory)
    expected, _ = trained(project(tmp_path / "host", "host", "host"))
    assert found == expected
    assert stats["steps"] == STEPS
    if board != "native_sim":
        assert 0 < stats["stack_used"] < model().manifest.stack_bytes < stats["stack_reserved"]
        assert 0 < stats["static_bytes"] < 8192
        assert stats["train_cycles"] > 0
    assert_memory(zephyr_program(directory, find_board(board)))
    assert_no_warnings(directory)


@pytest.mark.parametrize(("yields", "turns"), [("n", 0), ("y", 6)])
def test_the_test_for_twister_passes(yields, turns, tmp_path):
    directory = project(tmp_path / "device", "native_sim")
    if yields == "y":
        with open(directory / "test" / "prj.conf", "a") as settings:
            settings.write("CONFIG_ODT_YIELD=y\n")
    assert build_zephyr(directory / "test", find_board("native_sim")) == ""
    program = zephyr_program(directory / "test", find_board("native_sim"))
    text = subprocess.run([program, "-stop_at=1"], capture_output=True, text=True).stdout
    found = re.search(r"odt: the same losses and parameters twice; (\d+) turns of another", text)
    assert found, text
    assert int(found[1]) >= turns if turns else int(found[1]) == 0


def test_run_measures_it(tmp_path):
    x, y = images(8)
    np.savez(tmp_path / "samples.npz", x=x, y=y)
    result = run_project(project(tmp_path / "device", "mps2-an385"), tmp_path / "samples.npz")
    assert len(result["losses"]) == 8
    report = model().report
    least = report["arena_bytes"] + report["trainable_state_bytes"] + result["stack_bytes"]
    assert least < result["peak_sram_bytes"] < least + 8192
    assert result["instructions_per_step"] > report["macs_forward"] + report["macs_backward"]


def test_what_was_learned_outlives_the_process(tmp_path):
    directory = project(tmp_path / "device", "native_sim")
    with Session(directory) as device:
        whole = train(device, 6)
    with Session(directory) as device:
        train(device, 3)
        saved = device.save()
    with Session(directory) as device:
        assert device.load() == saved
        assert train(device, 3, first=3) == whole[3:]
    assert (directory / "flash.bin").is_file()


def simulated_flash(directory, partition_at):
    """A project for an emulated board with a storage partition in a simulated flash."""
    made = project(directory, "mps2-an385")
    (made / "boards").mkdir()
    overlay = SIMULATED_FLASH % (partition_at, partition_at)
    (made / "boards" / "mps2_an385.overlay").write_text(overlay)
    return made


def test_an_emulated_board_saves_within_its_stack(tmp_path):
    with Session(simulated_flash(tmp_path / "device", 0)) as device:
        train(device, 3)
        saved = device.save()
        expected = train(device, 3, first=3)
        assert device.load() == saved
        assert train(device, 3, first=3) == expected
        stats = device.stats()
        assert 0 < stats["stack_used"] < model().manifest.stack_bytes < stats["stack_reserved"]


@pytest.mark.slow
def test_a_partition_that_begins_inside_a_page_is_not_used(tmp_path):
    with Session(simulated_flash(tmp_path / "device", 0x800)) as device:
        with pytest.raises(OdtError, match="this board keeps nothing"):
            device.save()
        assert np.isfinite(train(device, 1)).all()


def test_a_stack_that_is_too_small_is_named(tmp_path):
    directory = project(tmp_path / "device", "mps2-an385")
    settings = directory / "prj.conf"
    size = r"CONFIG_ODT_STACK_SIZE=\d+"
    settings.write_text(re.sub(size, "CONFIG_ODT_STACK_SIZE=448", settings.read_text()))
    with Session(directory) as device, pytest.raises(OdtError, match="stack overflow; raise CONF"):
        train(device, 1)


def test_a_board_that_is_too_small_is_named_with_numbers(tmp_path):
    directory = project(tmp_path / "device", "qemu_cortex_m3")
    header = directory / "model.h"
    arena = r"#define ODT_ARENA_BYTES \d+u"
    header.write_text(re.sub(arena, "#define ODT_ARENA_BYTES 90000u", header.read_text()))
    with pytest.raises(OdtError, match=r"budget of qemu_cortex_m3: SRAM by \d+ bytes"):
        build(directory)
    main = directory / "src" / "main.c"
    main.write_text(re.sub(r"SRAM_BYTES >= \d+", "SRAM_BYTES >= 96000", main.read_text()))
    with pytest.raises(OdtError, match=r"needs [\d,]+ bytes of SRAM \(arena .* has 65536"):
        build(directory)


@pytest.mark.parametrize(
    "board",
    slow("nucleo_f746zg", "stm32f746g_disco", "disco_l475_iot1", "nrf52840dk", "nrf5340dk"),
)
def test_real_parts_build(board, tmp_path):
    directory = project(tmp_path / "device", board)
    assert_memory(build(directory))
    assert_no_warnings(directory)


def test_zephyr_has_every_symbol_that_is_named():
    """Those of the stub that the other tests use, which are those of the generated files."""
    assert BASE, "ZEPHYR_BASE is not set"
    text = (STUB / "Kconfig.zephyr").read_text()
    named = set(re.findall(r"^config (\w+)", text, re.MULTILINE))
    for file in Path(BASE).rglob("Kconfig*"):
        if named and file.is_file():
            found = re.findall(r"^\s*(?:menu)?config (\w+)", file.read_text(), re.MULTILINE)
            named -= set(found)
    assert not named
