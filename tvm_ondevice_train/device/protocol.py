"""Frames between host and device; runtime/c/include/odt_protocol.h is the manual."""

from __future__ import annotations

import struct
import time
import zlib
from enum import IntEnum
from typing import Protocol

from ..errors import OdtError

MAGIC = b"ODT1"
VERSION = 3
HEADER = struct.Struct("<4sBI")  # magic, type, payload length
CRC = struct.Struct("<I")
STATE = struct.Struct("<fII")  # odt_state_t: learning rate, seed, steps
REPLY = 0x80
_LONGEST_PAYLOAD = 1 << 28  # no device has more parameters; a damaged length may say so
ERROR = 0xFF
HELLO_FIELDS = (
    "version",
    "model_hash",
    "input_bytes",
    "target_bytes",
    "output_bytes",
    "params_bytes",
    "chunk_bytes",
)
STATS_FIELDS = (
    "steps",
    "stack_used",
    "stack_reserved",
    "arena_bytes",
    "state_bytes",
    "static_bytes",
    "train_cycles",
    "predict_cycles",
)
DIVERGED = -6  # ODT_ERR_DIVERGED
NO_FLASH = -23  # ODT_ERR_NO_FLASH
NO_SAMPLES = -40  # ODT_ERR_NO_SAMPLES
_MODEL_ERRORS = {
    -1: "a null pointer was passed",
    -2: "the arena is too small",
    -3: "a label or value of the target is out of range",
    -4: "a value is not finite; use a smaller learning rate or check the sample",
    -5: "the learning rate is negative or not finite",
    -7: "a hyper-parameter is out of its range",
    DIVERGED: "an output, the loss or a gradient is not finite; use a smaller learning rate",
    -9: "all classes that there is room for are in use",
}
_PROTOCOL_ERRORS = {
    -16: "bytes without a frame around them",
    -17: "unknown frame type",
    -18: "wrong payload length",
    -19: "damaged frame",
    -20: "parameters beyond the end",
    -21: "the stream broke",
    -22: "the rest of a frame did not arrive",
    NO_FLASH: "this board keeps nothing: it has no flash that the program may write, or flash.bin "
    "beside it is another program's",
}
_STORE_ERRORS = {
    -32: "the flash cannot be read or written",
    -33: "the flash is too small for the parameters, or its sizes cannot be",
    -34: "nothing was ever saved here",
    -35: "what was saved belongs to another model",
    -36: "what was saved is damaged",
}
_REPLAY_ERRORS = {NO_SAMPLES: "no sample was kept yet"}
_ERRORS = {**_MODEL_ERRORS, **_PROTOCOL_ERRORS, **_STORE_ERRORS, **_REPLAY_ERRORS}
_LAST_WORDS = b"odt: "  # how a line of text begins that comes instead of a frame


class Frame(IntEnum):
    """Request types."""

    HELLO = 1
    TRAIN = 2
    PREDICT = 3
    GET_PARAMS = 4
    PUT_PARAMS = 5
    SET_LR = 6
    SET_SEED = 7
    STATS = 8
    EXIT = 9
    EVALUATE = 10
    SAVE = 11
    LOAD = 12
    RESET = 13
    REMEMBER = 14
    REHEARSE = 15
    FORGET = 16
    ADD_CLASS = 17
    IMPRINT = 18
    GET_STATE = 19
    PUT_STATE = 20
    APPLY = 21


class DeviceError(OdtError):
    """The device answered with an error; `code` is its negative number."""

    def __init__(self, code: int):
        super().__init__(f"device: {_ERRORS.get(code, 'unknown error')} (error {code})")
        self.code = code

    def __reduce__(self) -> tuple[type[DeviceError], tuple[int]]:
        return type(self), (self.code,)  # as it comes out of another process


def pack_frame(kind: int, payload: bytes = b"") -> bytes:
    """A whole frame as bytes."""
    header = HEADER.pack(MAGIC, kind, len(payload))
    crc = zlib.crc32(payload, zlib.crc32(header[len(MAGIC) :]))
    return b"".join((header, payload, CRC.pack(crc)))


class Source(Protocol):
    """What frames are read from: a `Running` or a `Line`, which say more of it."""

    def read(self, count: int, timeout: float) -> bytes: ...

    def read_line(self, timeout: float) -> str: ...


def read_frame(stream: Source, timeout: float) -> tuple[int, bytes]:
    """The next frame that `stream` brings: its type and payload.

    What stands before it is skipped, save the last words of a device that gave up.

    timeout : seconds until its end, whatever comes meanwhile.
    """
    deadline = time.monotonic() + timeout

    def read(count: int) -> bytes:
        return stream.read(count, max(0.0, deadline - time.monotonic()))

    window = read(len(MAGIC))
    while window != MAGIC:
        if window == _LAST_WORDS[: len(MAGIC)]:
            words = stream.read_line(max(0.0, deadline - time.monotonic()))
            raise OdtError(f"device: the program stopped: {words}")
        window = window[1:] + read(1)
    header = read(HEADER.size - len(MAGIC))
    kind, length = HEADER.unpack(MAGIC + header)[1:]
    if length > _LONGEST_PAYLOAD:
        raise OdtError("device: a reply arrived damaged")
    payload = read(length)
    if read(CRC.size) != CRC.pack(zlib.crc32(payload, zlib.crc32(header))):
        raise OdtError("device: a reply arrived damaged")
    return kind, payload


def check_reply(request: int, kind: int, payload: bytes) -> bytes:
    """The payload of the reply to `request`; DeviceError if it is an error frame."""
    if kind == ERROR and len(payload) == 4:
        raise DeviceError(struct.unpack("<i", payload)[0])
    if kind != request | REPLY:
        raise OdtError(f"device: reply of type {kind:#x} to a request of type {request:#x}")
    return payload
