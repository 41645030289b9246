"""What the compiler says of a step's flash, against the firmware that a user builds."""

import shutil

import pytest
import tiny

import tvm_ondevice_train as odt
from tvm_ondevice_train.boards import board
from tvm_ondevice_train.device import build, sizes
from tvm_ondevice_train.device import firmware_size as module
from tvm_ondevice_train.device.firmware_size import linked_flash_bytes
from tvm_ondevice_train.errors import OdtError

LINKED = ["mps2-an500", "mps3-an547", "microbit", "virt-rv32imac", "nrf5340dk"]


def measured(name: str, **options) -> tuple[int | None, odt.CompiledModel]:
    compiled = odt.compile(tiny.network(quantized=True), board=name, **options)
    return linked_flash_bytes(compiled.files, compiled.report, board(name)), compiled


@pytest.mark.parametrize("name", LINKED)
@pytest.mark.parametrize("scheme", ["full", "head"])  # one after the other in one workplace
def test_it_is_that_of_the_firmware(name, scheme, tmp_path):
    found, compiled = measured(name, scheme=scheme)
    transport = board(name).transports[0]
    project = compiled.save(tmp_path / "project", "baremetal", transport)
    assert found == sizes(build(project)).flash_bytes


def test_a_board_for_zephyr_alone_is_charged_its_objects():
    found, compiled = measured("qemu_cortex_m3")
    constants = sum(slot.value.nbytes for slot in compiled.source.slots)
    assert constants + 4000 < found < 40_000


def test_a_board_without_flash_or_compiler_has_none(monkeypatch):
    assert measured("host")[0] is None
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert measured("mps2-an500")[0] is None


def test_what_the_compiler_refuses_is_one_line():
    _, compiled = measured("mps2-an500")
    files = {**compiled.files, "model.c": "int model = ;\n"}
    with pytest.raises(OdtError, match="^compile: the board's compiler failed: [^\n]+$"):
        linked_flash_bytes(files, compiled.report, board("mps2-an500"))
    module._workplace.cache_clear()  # what is broken is not for other tests
