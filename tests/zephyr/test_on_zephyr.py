"""Applications built by a real Zephyr and run by QEMU or as a process, where ZEPHYR_BASE is set.

With ODT_REQUIRE_ZEPHYR=1 they fail where it is not.
"""

import os
import re
import struct
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from tiny_models import compiled, images
from zephyr_application import STUB

from tvm_ondevice_train.boards import board as find_board
from tvm_ondevice_train.device import Session, build
from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.run import run_project

BASE = os.environ.get("ZEPHYR_BASE")
pytestmark = pytest.mark.skipif(
    not BASE and os.environ.get("ODT_REQUIRE_ZEPHYR") != "1", reason="ZEPHYR_BASE is not set"
)
STEPS = 20
SAVE, LOAD = 11, 12  # frames


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


@pytest.mark.parametrize(
    "board", ["native_sim", "mps2-an385", "mps3-an547", *slow("qemu_cortex_m3", "mps2-an521")]
)
def test_a_device_learns_as_the_host_does(board, tmp_path):
    found, stats = trained(project(tmp_path / "device", board))
    expected, _ = trained(project(tmp_path / "host", "host", "host"))
    assert found == expected
    assert stats["steps"] == STEPS
    if board != "native_sim":
        assert 0 < stats["stack_used"] < stats["stack_reserved"]
        assert 0 < stats["static_bytes"] < 8192
        assert stats["train_cycles"] > 0


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
        sequence, *_ = struct.unpack("<3I", device._request(SAVE))
    with Session(directory) as device:
        assert struct.unpack("<3I", device._request(LOAD))[0] == sequence == 1
        assert train(device, 3, first=3) == whole[3:]
    assert (directory / "flash.bin").is_file()


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
    assert build(project(tmp_path / "device", board)).is_file()


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
