"""Frames between host and device; runtime/c/include/odt_protocol.h is the manual."""

from __future__ import annotations

import struct
import zlib
from enum import IntEnum

from ..errors import OdtError

MAGIC = b"ODT1"
VERSION = 2
HEADER = struct.Struct("<4sBI")  # magic, type, payload length
CRC = struct.Struct("<I")
REPLY = 0x80
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
_MODEL_ERRORS = {
    -1: "a null pointer was passed",
    -2: "the arena is too small",
    -3: "the label is out of range",
    -4: "a value is not finite; use a smaller learning rate or check the sample",
    -5: "the learning rate is negative or not finite",
    -6: "the loss or a gradient is not finite; use a smaller learning rate",
}
_PROTOCOL_ERRORS = {
    -16: "bytes without a frame around them",
    -17: "unknown frame type",
    -18: "wrong payload length",
    -19: "damaged frame",
    -20: "parameters beyond the end",
    -21: "the stream broke",
}


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


class DeviceError(OdtError):
    """The device answered with an error; `code` is its negative number."""

    def __init__(self, code: int):
        text = {**_MODEL_ERRORS, **_PROTOCOL_ERRORS}.get(code, "unknown error")
        super().__init__(f"device: {text} (error {code})")
        self.code = code


def pack_frame(kind: int, payload: bytes = b"") -> bytes:
    """A whole frame as bytes."""
    header = HEADER.pack(MAGIC, kind, len(payload))
    crc = zlib.crc32(payload, zlib.crc32(header[len(MAGIC) :]))
    return b"".join((header, payload, CRC.pack(crc)))


def check_frame(header: bytes, payload: bytes, crc: bytes) -> int:
    """The type of a frame whose parts were read; OdtError if the checksum is wrong."""
    if CRC.unpack(crc)[0] != zlib.crc32(payload, zlib.crc32(header[len(MAGIC) :])):
        raise OdtError("device: a reply arrived damaged")
    return HEADER.unpack(header)[1]


def check_reply(request: int, kind: int, payload: bytes) -> bytes:
    """The payload of the reply to `request`; DeviceError if it is an error frame."""
    if kind == ERROR and len(payload) == 4:
        raise DeviceError(struct.unpack("<i", payload)[0])
    if kind != request | REPLY:
        raise OdtError(f"device: reply of type {kind:#x} to a request of type {request:#x}")
    return payload
