"""A run as an event file of TensorBoard's: records of protocol buffers, each with its checksums.

Written by hand, as the format is small and its packages are large:
https://github.com/tensorflow/tensorboard/blob/master/tensorboard/compat/proto/event.proto
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import OdtError
from ..files.whole_file import write_whole
from .tables import steps_of

_POLYNOMIAL = 0x82F63B78  # of CRC-32C, reflected
_MASK_DELTA = 0xA282EAD8
_LEAVE_OUT = ("step", "of")  # of an evaluation: what is no value


def write_events(directory: str | Path, result: Mapping[str, Any]) -> Path:
    """A new event file in `directory`: loss and learning rate of each step, all evaluations."""
    now = time.time()
    path = Path(directory) / f"events.out.tfevents.{now:.0f}.ondevice-train.{os.getpid()}"
    events = [_double(1, now) + _bytes(3, b"brain.Event:2")]
    events += [_event(now, step, tag, value) for step, tag, value in _scalars(result)]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OdtError(f"run: cannot write to {directory}: {error.strerror}") from None
    write_whole(path, b"".join(map(_record, events)), "run")
    return path


def _scalars(result: Mapping[str, Any]) -> Iterator[tuple[int, str, float]]:
    columns = steps_of(result), result["losses"], result["learning_rates"]
    for step, loss, rate in zip(*columns, strict=True):
        yield step, "training/loss", loss
        yield step, "training/learning_rate", rate
    for found in result["evaluations"]:
        for name, value in found.items():
            if name not in _LEAVE_OUT:
                yield found["step"], f"{found['of']} set/{name}", value


def _event(now: float, step: int, tag: str, value: float) -> bytes:
    scalar = _bytes(1, tag.encode()) + b"\x15" + struct.pack("<f", value)
    return _double(1, now) + b"\x10" + _varint(step) + _bytes(5, _bytes(1, scalar))


def _double(number: int, value: float) -> bytes:
    return bytes([number << 3 | 1]) + struct.pack("<d", value)


def _bytes(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])


def _record(content: bytes) -> bytes:
    length = struct.pack("<Q", len(content))
    return b"".join((length, _checksum(length), content, _checksum(content)))


def _checksum(content: bytes) -> bytes:
    crc = _crc32c(content)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF)


def _table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (_POLYNOMIAL if byte & 1 else 0)
        table.append(byte)
    return table


_TABLE = _table()


def _crc32c(content: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in content:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF
