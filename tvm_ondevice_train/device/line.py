"""A device at a serial line, or behind a TCP port: bytes to and from it."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import serial

from ..boards import BAUD
from ..errors import OdtError
from .toolchain import run_tool

T = TypeVar("T")

_QUIET_SECONDS = 0.3  # with nothing on it, all that was on its way has come
_NOISE_SECONDS = 60.0  # and no reply takes longer


class Line:
    """An open line. Not for more than one thread.

    port : a serial device, such as /dev/ttyACM0 or COM3, or socket://HOST:PORT.
    """

    def __init__(self, port: str):
        self.port = port
        self.calls: dict[str, list[tuple[str, int]]] = {}  # nothing on a line counts instructions
        try:
            self._serial = serial.serial_for_url(port, BAUD, exclusive=True)
        except (OSError, ValueError) as error:  # pyserial's own are OSError
            raise OdtError(f"device: cannot open {port}: {_reason(error)}") from None

    def write(self, data: bytes, timeout: float) -> None:
        """Send all of `data`; OdtError if the line takes longer than `timeout` s or breaks."""
        self._serial.write_timeout = timeout
        self._try(self._serial.write, data)

    def read(self, count: int, timeout: float) -> bytes:
        """Receive exactly `count` bytes; errors as for `write`."""
        self._serial.timeout = timeout
        data = self._try(self._serial.read, count)
        if len(data) < count:
            raise OdtError(f"device: no answer in time at {self.port}")
        return data

    def read_line(self, timeout: float) -> str:
        """Receive text up to the end of its line, or what there is of it in time."""
        self._serial.timeout = timeout
        return self._try(self._serial.readline).decode(errors="replace").strip()

    def discard(self) -> None:
        """Forget what was sent, until the line is quiet; OdtError if it never is."""
        deadline = time.monotonic() + _NOISE_SECONDS
        self._serial.timeout = _QUIET_SECONDS
        while self._try(self._serial.read, 4096):
            if time.monotonic() > deadline:
                raise OdtError(f"device: {self.port} sends without end; is it the device's?")

    def close(self) -> dict[str, tuple[int, int]]:
        """End the use of the line; the device goes on. No counts of instructions."""
        self._serial.close()
        return {}

    def _try(self, function: Callable[..., T], *arguments: object) -> T:
        try:
            return function(*arguments)
        except serial.SerialTimeoutException:
            raise OdtError(f"device: {self.port} takes nothing; is it the device's?") from None
        except OSError as error:
            raise OdtError(f"device: {self.port} broke: {_reason(error)}") from None


def flash_with(command: str, program: Path) -> None:
    """Run `command`, in which {} stands for the program; OdtError if it fails."""
    words = [word.replace("{}", str(program)) for word in shlex.split(command)]
    result = run_tool(words)
    if result.returncode:
        reason = (result.stderr or result.stdout).strip().splitlines() or ["no message"]
        raise OdtError(f"device: {words[0]} failed: {reason[-1]}")


def _reason(error: Exception) -> str:
    """What the system says, where it says something, without what pyserial puts around it."""
    words = re.findall(r"\[Errno \d+\] ([^:\n]+)", str(error))
    return words[-1] if words else str(error).splitlines()[0]
