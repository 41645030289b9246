"""What a board saves outlasts it: in flash.bin where it is emulated, in its own flash on a Nordic
part."""

import numpy as np
import pytest
from fake_project import fake_project, samples

from tvm_ondevice_train.device import Session, build
from tvm_ondevice_train.device.protocol import DeviceError
from tvm_ondevice_train.device.replies import Saved

EMPTY, CORRUPT, NO_FLASH = -34, -36, -23
X, Y = samples(8)
SEMIHOSTED = ["mps2-an500", "microbit", "virt-rv32imafc"]


def train(device, steps):
    return [device.train(X[i], Y[i]) for i in steps]


def refused(method):
    with pytest.raises(DeviceError) as error:
        method()
    return error.value.code


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    with Session(fake_project(tmp_path_factory.mktemp("host") / "project")) as device:
        losses = train(device, range(8))
        return losses, device.parameters()


def check(device, losses, uninterrupted):
    expected = uninterrupted[1]
    assert losses == uninterrupted[0][4:]
    assert device.stats()["steps"] == 8
    assert all(np.array_equal(value, expected[name]) for name, value in device.parameters().items())


@pytest.mark.parametrize("board", SEMIHOSTED)
def test_an_emulated_board_goes_on_where_it_was(board, uninterrupted, tmp_path):
    project = fake_project(tmp_path / "project", board)
    with Session(project) as device:
        assert refused(device.load) == EMPTY
        train(device, range(4))
        assert device.save() == Saved(1, (1, 0))
        train(device, range(4, 7))  # these are lost
    assert (project / "flash.bin").stat().st_size == 2 * 4096
    with Session(project) as device:
        assert device.load() == Saved(1, (1, 0))
        check(device, train(device, range(4, 8)), uninterrupted)
        assert device.save() == Saved(2, (1, 1))
    (project / "flash.bin").write_bytes(bytes(8192))
    with Session(project) as device:
        assert refused(device.load) == CORRUPT


def test_a_file_that_is_no_flash_of_this_model_is_left_alone(tmp_path):
    project = fake_project(tmp_path / "project", "mps2-an500")
    (project / "flash.bin").write_bytes(b"mine")
    with Session(project) as device:
        assert refused(device.save) == NO_FLASH
    assert (project / "flash.bin").read_bytes() == b"mine"


def test_a_nordic_part_keeps_it_in_the_last_pages_of_its_flash(uninterrupted, tmp_path):
    project = fake_project(tmp_path / "project", "microbit", transport="uart")
    build(project, "-Werror -Wconversion")
    with Session(project) as device:
        assert refused(device.load) == CORRUPT  # QEMU's flash begins as zeros
        train(device, range(4))
        for number in range(1, 6):
            assert device.save() == Saved(number, ((number + 1) // 2, number // 2))
        device.reset()
        assert device.stats()["steps"] == 0
        assert device.load() == Saved(5, (3, 2))
        check(device, train(device, range(4, 8)), uninterrupted)
