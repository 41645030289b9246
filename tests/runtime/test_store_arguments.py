"""Wrong calls of odt_save() and odt_load(): an error each, and nothing changed."""

import ctypes

import pytest
from store_device import Nor, Odt, build

ODT_ERR_NULL = -1
GEOMETRY = (8, 1024, 2)  # unit, block, blocks


class Flash(ctypes.Structure):
    """odt_flash_t."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("context", "read", "program", "erase", "sync")),
        *((name, ctypes.c_uint32) for name in ("program_bytes", "block_bytes", "block_count")),
    ]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    flags = ("-fsanitize=undefined", "-shared", "-fPIC")
    library = ctypes.CDLL(str(build(tmp_path_factory.mktemp("store") / "device.so", [], *flags)))
    library.nor_flash.restype = Flash
    return library


@pytest.fixture
def parts(library):
    """A nor that holds one image, its flash, and a model of another state."""
    nor, odt = Nor(), Odt(steps=7, learning_rate=0.25, arena=1)
    library.nor_init(ctypes.byref(nor), *GEOMETRY)
    assert library.device_save(ctypes.byref(nor), 3, None) == 0
    return nor, library.nor_flash(ctypes.byref(nor)), odt


def refused(call, parts, flash, odt):
    """What `call` returns; neither the flash nor the model may have changed."""
    nor, _, model = parts
    before = bytes(nor.bytes), bytes(model)
    status = call(flash and ctypes.byref(flash), odt and ctypes.byref(odt), None)
    assert (bytes(nor.bytes), bytes(model)) == before
    return status


@pytest.mark.parametrize("name", ["odt_save", "odt_load"])
def test_what_is_null_is_refused(name, library, parts):
    call, (_, flash, odt) = library[name], parts
    assert refused(call, parts, None, odt) == ODT_ERR_NULL
    assert refused(call, parts, flash, None) == ODT_ERR_NULL
    for function in ("read", "program", "erase"):
        incomplete = Flash.from_buffer_copy(flash)
        setattr(incomplete, function, None)
        assert refused(call, parts, incomplete, odt) == ODT_ERR_NULL
    assert call(ctypes.byref(flash), ctypes.byref(odt), None) == 0


def test_nothing_is_loaded_into_a_model_without_an_arena(library, parts):
    odt = parts[2]
    odt.arena = None
    assert refused(library.odt_load, parts, parts[1], odt) == ODT_ERR_NULL
