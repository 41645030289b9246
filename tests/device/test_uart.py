"""A board behind a serial line: the same frames, and words instead when it gives up."""

import struct

import pytest
from fake_project import edited, fake_project, samples

from tvm_ondevice_train.boards import boards
from tvm_ondevice_train.device import Session, build
from tvm_ondevice_train.device.protocol import ERROR, Frame, pack_frame, read_frame
from tvm_ondevice_train.errors import OdtError

# One emulated board for each kind of UART.
BOARDS = {row.uart["driver"]: row.name for row in boards() if "semihosting" in row.transports}
REAL = [row.name for row in boards() if "baremetal" in row.platforms and not row.qemu_machine]
STRICT = "-Werror -Wconversion"


def two_steps(directory):
    x, y = samples(2)
    with Session(directory) as device:
        losses = [device.train(*pair) for pair in zip(x, y, strict=True)]
        return device, losses, device.parameters()


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    return two_steps(fake_project(tmp_path_factory.mktemp("host") / "project"))


@pytest.mark.parametrize("driver", BOARDS)
def test_a_board_trains_over_its_serial_line(driver, host, tmp_path):
    project = fake_project(tmp_path / "project", BOARDS[driver], transport="uart")
    build(project, STRICT)
    device, losses, parameters = two_steps(project)
    assert losses == host[1]
    assert all((parameters[name] == value).all() for name, value in host[2].items())
    assert device.counts["train"][0] == 2 and device.counts["train"][1] > 0


@pytest.mark.parametrize("name", REAL)
def test_the_image_of_a_real_board_builds_without_a_warning(name, tmp_path):
    assert build(fake_project(tmp_path / "project", name), STRICT).is_file()


@pytest.mark.parametrize(
    ("board", "words"),
    [("mps2-an500", "MemManage at address 0x90000000"), ("virt-rv32imac", "store fault at")],
)
def test_the_last_words_come_over_the_line(board, words, tmp_path):
    fault = "    *(volatile uint32_t *)(uintptr_t)0x90000000u = 1;\n    odt->steps++;"
    files = edited(model_c=("    odt->steps++;", fault))
    x, y = samples(1)
    project = fake_project(tmp_path / "project", board, files, transport="uart")
    stopped = pytest.raises(OdtError, match=f"program stopped: {words}.*outside flash and SRAM")
    with Session(project) as device, stopped:
        device.train(x[0], y[0])


def test_half_a_frame_is_given_up(tmp_path):
    frame = pack_frame(Frame.SET_SEED, struct.pack("<I", 5))
    with Session(fake_project(tmp_path / "project", "virt-rv32imac", transport="uart")) as device:
        line = device._running
        line.write(frame[:-1], 10)
        assert read_frame(line, 10) == (ERROR, struct.pack("<i", -22))
        device.set_seed(5)
