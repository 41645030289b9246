"""store/: odt_store on a simulated flash, as a program that sweeps and as a device for ctypes."""

from __future__ import annotations

import ctypes
import struct
import subprocess
import zlib
from pathlib import Path

from tvm_ondevice_train.project import runtime_dir

_STORE = Path(__file__).with_name("store")
_FLAGS = (
    "-std=c99 -g -O1 -Wall -Wextra -Wpedantic -Wundef -Wconversion -Wmissing-prototypes -Werror"
).split()
NEVER = 2**32 - 1
GARBAGE = -1000
EMPTY, FOREIGN, CORRUPT, FLASH, GEOMETRY = -34, -35, -36, -32, -33
PARAMS_BYTES = 603
_HEADER = struct.Struct("<5If6I")
_FIELDS = ("format", "model_hash", "sequence", "erases0", "erases1", "learning_rate", "seed")
_FIELDS += ("steps", "params_bytes", "params_crc", "zero", "crc")


def build(path: Path, names: list[str], *flags: str) -> Path:
    """Compile the files `names` of store/ and the store itself into `path`."""
    sources = [str(_STORE / name) for name in ("nor.c", "device.c", *names)]
    sources += [str(runtime_dir() / "src" / name) for name in ("odt_store.c", "odt_crc.c")]
    include = [f"-I{_STORE}", f"-I{runtime_dir() / 'include'}"]
    command = ["gcc", *_FLAGS, *flags, "-fno-sanitize-recover=all", *include, *sources]
    subprocess.run([*command, "-o", str(path)], check=True)
    return path


class Nor(ctypes.Structure):
    """The nor_t of store/nor.h."""

    _fields_ = [
        ("bytes", ctypes.c_uint8 * 32768),
        *((name, ctypes.c_uint32) for name in ("size", "unit", "block", "violations")),
        *((name, ctypes.c_uint32) for name in ("operations", "fail_at")),
        *((name, ctypes.c_int) for name in ("powerless", "power_fails", "cut")),
        *((name, ctypes.c_uint32) for name in ("amount", "last_bytes", "noise", "stuck")),
        *((name, ctypes.c_uint32) for name in ("reads", "fail_read_at", "flip_read_at")),
    ]


class Odt(ctypes.Structure):
    """odt_t of store/model.h."""

    _fields_ = [
        ("params", ctypes.c_uint8 * PARAMS_BYTES),
        ("learning_rate", ctypes.c_float),
        ("seed", ctypes.c_uint32),
        ("steps", ctypes.c_uint32),
        ("arena", ctypes.c_void_p),
    ]


class Info(ctypes.Structure):
    """odt_store_info_t."""

    _fields_ = [("sequence", ctypes.c_uint32), ("erases", ctypes.c_uint32 * 2)]


class Device:
    """A device with flash of `count` blocks of `block` bytes, programmed in units of `unit`.

    A state is a number, from which all that is saved follows.
    """

    def __init__(self, library: ctypes.CDLL, unit: int = 8, block: int = 1024, count: int = 2):
        self._library = library
        self.nor = Nor()
        library.nor_init(ctypes.byref(self.nor), unit, block, count)
        self.slot_bytes = count // 2 * block
        self.params_offset = -(-_HEADER.size // unit) * unit
        self.info = Info()

    def save(self, state: int) -> int:
        status = self._library.device_save(ctypes.byref(self.nor), state, ctypes.byref(self.info))
        assert self.nor.violations == 0
        return status

    def load(self) -> tuple[int, int]:
        """Restart and load: (what odt_load() returned or GARBAGE, the state)."""
        state = ctypes.c_uint32()
        arguments = (ctypes.byref(self.nor), ctypes.byref(state), ctypes.byref(self.info))
        status = self._library.device_load(*arguments)
        assert self.nor.violations == 0
        return status, state.value

    def forget(self) -> int:
        """What odt_forget() returned, or GARBAGE if RAM holds anything of before."""
        return self._library.device_forget(ctypes.byref(self.nor))

    def power(self) -> None:
        """Power comes back, and nothing fails any more."""
        self._library.nor_restart(ctypes.byref(self.nor))

    def header(self, slot: int) -> dict:
        values = _HEADER.unpack_from(self.nor.bytes, slot * self.slot_bytes)
        return dict(zip(_FIELDS, values, strict=True))

    def forge(self, slot: int, **fields) -> None:
        """Replace fields of a header, and make its CRC right again."""
        values = {**self.header(slot), **fields}
        packed = _HEADER.pack(*values.values())[:-4]
        packed += struct.pack("<I", zlib.crc32(packed))
        at = slot * self.slot_bytes
        self.nor.bytes[at : at + len(packed)] = list(packed)
