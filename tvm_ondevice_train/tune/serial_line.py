"""A board's serial line, without a package for it."""

from __future__ import annotations

import os
import select
import shlex
import termios
import time
import tty
from pathlib import Path

from ..device.toolchain import run_tool
from ..errors import OdtError


class SerialLine:
    """An open line in raw mode: eight bits, no parity, one stop bit.

    timeout : seconds that `read` waits.
    """

    def __init__(self, device: str, timeout: float, baud: int = 115200):
        self.timeout = timeout
        try:
            self._file = os.open(device, os.O_RDWR | os.O_NOCTTY)
            tty.setraw(self._file)
            settings = termios.tcgetattr(self._file)
            settings[4] = settings[5] = getattr(termios, f"B{baud}")
            termios.tcsetattr(self._file, termios.TCSAFLUSH, settings)
        except (OSError, termios.error) as error:
            raise OdtError(f"device: cannot open {device}: {error.args[-1]}") from None

    def read(self, count: int) -> bytes:
        """`count` bytes, fewer if the line stays silent."""
        data = bytearray()
        deadline = time.monotonic() + self.timeout
        while len(data) < count:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._file], [], [], left)[0]:
                break
            data += os.read(self._file, count - len(data))
        return bytes(data)

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._file, rest) :]

    def close(self) -> None:
        os.close(self._file)


def flash_with(command: str, program: Path) -> None:
    """Run `command`, in which {} stands for the program."""
    words = [word.replace("{}", str(program)) for word in shlex.split(command)]
    result = run_tool(words)
    if result.returncode:
        reason = (result.stderr or result.stdout).strip().splitlines() or ["no message"]
        raise OdtError(f"device: {words[0]} failed: {reason[-1]}")
