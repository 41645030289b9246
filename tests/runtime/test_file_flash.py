"""A file that behaves as flash, for a program of this computer."""

import ctypes

import pytest
from store_device import EMPTY, FLASH, PARAMS_BYTES, Odt, build

from tvm_ondevice_train.project import runtime_dir

PORTS = [str(runtime_dir() / "port" / name) for name in ("host_flash.c", "file_flash.c")]
FLASH_BYTES = 2 * 4096


class Flash(ctypes.Structure):
    """odt_flash_t."""

    _fields_ = [
        ("context", ctypes.c_void_p),
        ("read", ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_void_p, ctypes.c_uint32] * 2)),
        ("program", ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_void_p, ctypes.c_uint32] * 2)),
        ("erase", ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_uint32)),
        ("sync", ctypes.c_void_p),
        *((name, ctypes.c_uint32) for name in ("program_bytes", "block_bytes", "block_count")),
    ]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    path = tmp_path_factory.mktemp("flash") / "flash.so"
    flags = ("-fsanitize=undefined", "-shared", "-fPIC", f"-I{runtime_dir() / 'port'}", *PORTS)
    return ctypes.CDLL(str(build(path, [], *flags)))


@pytest.fixture
def opened(library, tmp_path):
    """Open the flash anew, as a program that was started anew does."""

    path = tmp_path / "flash.bin"
    name = str(path).encode()  # which has to last

    def opened():
        flash = Flash()
        assert library.host_flash_open(ctypes.byref(flash), name) == 0
        return flash, path

    return opened


def test_a_missing_file_is_erased_flash_with_room_for_two_images(library, opened):
    flash, path = opened()
    assert (flash.program_bytes, flash.block_bytes, flash.block_count) == (8, 4096, 2)
    read = ctypes.create_string_buffer(FLASH_BYTES)
    assert flash.read(flash.context, 0, ctypes.addressof(read), FLASH_BYTES) == 0
    assert read.raw == b"\xff" * FLASH_BYTES
    assert not path.exists()  # who saves nothing finds nothing lying about
    assert flash.erase(flash.context, 0) == 0
    assert path.read_bytes() == b"\xff" * FLASH_BYTES


@pytest.mark.parametrize("bytes_", [0, 1, 300, FLASH_BYTES - 1])
def test_a_file_whose_making_was_cut_is_made_whole(opened, tmp_path, bytes_):
    (tmp_path / "flash.bin").write_bytes(b"\xff" * bytes_)
    assert opened()[1].read_bytes() == b"\xff" * FLASH_BYTES


def test_what_was_saved_is_there_for_the_next_program(library, opened):
    odt, other = Odt(steps=3, learning_rate=0.5, arena=1), Odt(arena=1)
    odt.params[:] = [i % 251 for i in range(PARAMS_BYTES)]
    flash, _ = opened()
    assert library.odt_load(ctypes.byref(flash), ctypes.byref(other), None) == EMPTY
    for _ in range(3):
        assert library.odt_save(ctypes.byref(flash), ctypes.byref(odt), None) == 0
    flash, _ = opened()
    assert library.odt_load(ctypes.byref(flash), ctypes.byref(other), None) == 0
    assert bytes(other) == bytes(odt)


def test_it_keeps_the_rules_of_flash(opened):
    flash, _ = opened()
    data = ctypes.create_string_buffer(b"12345678", 8)
    address = ctypes.addressof(data)
    assert flash.program(flash.context, 8, address, 8) == 0
    assert flash.program(flash.context, 8, address, 8) < 0  # not erased
    assert flash.program(flash.context, 20, address, 8) < 0  # half a unit
    assert flash.program(flash.context, FLASH_BYTES, address, 8) < 0
    assert flash.read(flash.context, FLASH_BYTES - 4, address, 8) < 0
    assert flash.erase(flash.context, 100) < 0
    assert flash.erase(flash.context, FLASH_BYTES) < 0
    assert flash.read(flash.context, 8, address, 8) == 0 and data.raw == b"12345678"
    assert flash.erase(flash.context, 0) == 0
    assert flash.read(flash.context, 8, address, 8) == 0 and data.raw == b"\xff" * 8


@pytest.mark.parametrize("content", [b"1", b"\xff" * 100 + b"1", b"\xff" * FLASH_BYTES * 2])
def test_a_file_that_is_no_flash_of_this_model_is_left_alone(library, tmp_path, content):
    path = tmp_path / "flash.bin"
    path.write_bytes(content)
    assert library.host_flash_open(ctypes.byref(Flash()), str(path).encode()) < 0
    assert path.read_bytes() == content


def test_a_path_where_no_file_can_be_made_keeps_nothing(library, tmp_path):
    path, flash = str(tmp_path / "absent" / "flash.bin").encode(), Flash()
    assert library.host_flash_open(ctypes.byref(flash), path) == 0
    odt = Odt(learning_rate=0.5, arena=1)
    assert library.odt_save(ctypes.byref(flash), ctypes.byref(odt), None) == FLASH
