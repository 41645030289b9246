"""Start a built project, as a process or in QEMU, and move bytes to and from it.

All kinds talk through their standard input and output: the bare-metal port opens the emulator's
own by semihosting, or QEMU puts the board's serial line there. So there is one way to send, to
receive and to time out.
"""

from __future__ import annotations

import os
import select
import subprocess
import tempfile
import time
from collections.abc import Collection, Mapping
from pathlib import Path

from ..boards import Board
from ..boards import board as find_board
from ..errors import OdtError
from ..manifest import read_manifest
from .build import function_addresses, symbol_address
from .toolchain import find_tool, run_tool

_KINDS = ("train", "predict")  # the pairs of marker functions in odt_marks.h
_START_SECONDS = 60.0  # how long an emulated board may take until it listens
_END_SECONDS = 5.0  # and a program that was told to end, until it has
_LOOK_SECONDS, _HALTED_SECONDS = 1.0, 5.0  # after which a halted one is given up
_PLUGIN_SOURCE = Path(__file__).with_name("count_plugin.c")


class Running:
    """A started program. Not for more than one thread.

    directory : where it runs; an emulated board keeps its flash there, in flash.bin.
    kernels : the functions by address whose calls the emulator counts. After `close`, `calls` is
        {kind: [(function, guest instructions), ...]}: each call, summed over the regions.
    on_a_line : the program sits behind a serial line: it sends a newline once it listens, and
        nothing can tell it to end.
    """

    def __init__(
        self,
        command: list[str],
        directory: Path,
        counts: Path | None,
        kernels: Mapping[int, str] | None = None,
        on_a_line: bool = False,
    ):
        self._counts = counts
        self._on_a_line = on_a_line
        self._kernels = kernels or {}
        self.calls: dict[str, list[tuple[str, int]]] = {}
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            command,
            stdin=pipe,
            stdout=pipe,
            stderr=self._log,
            cwd=directory,
            start_new_session=True,  # Ctrl-C is for who runs it
        )
        assert self._process.stdin is not None and self._process.stdout is not None, "both pipes"
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self._in, self._out = self._stdin.fileno(), self._stdout.fileno()
        os.set_blocking(self._in, False)

    def write(self, data: bytes, timeout: float) -> None:
        """Send all of `data`; OdtError if the program ends or takes longer than `timeout` s."""
        deadline = time.monotonic() + timeout
        rest = memoryview(data)
        while rest:
            self._wait(self._in, select.POLLOUT, deadline)
            try:
                rest = rest[os.write(self._in, rest) :]
            except BrokenPipeError:
                self._stopped()

    def read(self, count: int, timeout: float) -> bytes:
        """Receive exactly `count` bytes; errors as for `write`."""
        deadline = time.monotonic() + timeout
        data = bytearray()
        while len(data) < count:
            self._wait(self._out, select.POLLIN, deadline)
            part = os.read(self._out, count - len(data))
            if not part:
                self._stopped()
            data += part
        return bytes(data)

    def read_line(self, timeout: float) -> str:
        """Receive text up to the end of its line; errors as for `write`."""
        deadline, text = time.monotonic() + timeout, b""
        while not text.endswith(b"\n"):
            text += self.read(1, deadline - time.monotonic())
        return text.decode(errors="replace").strip()

    def kill(self) -> None:
        """End the program at once, without a word to it."""
        self._process.kill()
        self._process.wait()

    def close(self) -> dict[str, tuple[int, int]]:
        """End the program; per kind, (regions, guest instructions), or {} on the host."""
        if self._stdin.closed:
            return {}
        self._stdin.close()  # the end of its input ends it
        if self._on_a_line:
            self._process.terminate()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        self._stdout.close()
        self._log.close()
        if self._counts is None or not self._counts.exists():
            return {}
        counts = {}
        for line in self._counts.read_text().splitlines():
            name, number, total = line.split()
            if "." in name:  # a call: its region and index, the function's address
                calls = self.calls.setdefault(name.split(".")[0], [])
                calls.append((self._kernels[int(number)], int(total)))
            else:
                counts[name] = (int(number), int(total))
        return counts

    def _wait(self, file: int, event: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(file, event)
        looks = 0
        while (left := deadline - time.monotonic()) > 0:
            if poll.poll(1000 * min(_LOOK_SECONDS, left)):
                return
            looks = looks + 1 if self._is_halted() else 0
            if looks * _LOOK_SECONDS >= _HALTED_SECONDS:
                self.kill()
                raise OdtError("device: its process was halted by a signal; it was ended")
        self.kill()
        raise OdtError("device: no answer in time; it was stopped. Allow a longer timeout")

    def _is_halted(self) -> bool:
        """Whether a signal such as Ctrl-Z's keeps the program from running."""
        if self._process.returncode is not None or not hasattr(os, "waitid"):
            return False
        how = os.WSTOPPED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self._process.pid, how) is not None

    def _stopped(self) -> None:
        """Raise what the program said before it ended, or closed its output."""
        try:
            status = self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            status = self._process.returncode
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        message = next((line for line in lines if line.startswith("odt: ")), None)
        message = (message or (lines[-1] if lines else "no message")).removeprefix("odt: ")
        raise OdtError(f"device: the program stopped: {message} (exit status {status})")


def launch(directory: str | Path, program: Path, kernels: Collection[str] = ()) -> Running:
    """Start `program`, built from the project in `directory`.

    kernels : functions of it, each of whose calls the emulator counts on its own.
    """
    manifest = read_manifest(directory)
    directory, program = Path(directory), program.resolve()
    if manifest.platform == "host":
        return Running([str(program)], directory, counts=None)
    board = find_board(manifest.board)
    if board.is_host:
        return _started(Running([str(program)], directory, counts=None, on_a_line=True))
    if board.qemu_machine is None:
        bring = "west flash" if manifest.platform == "zephyr" else "make flash"
        raise OdtError(
            f"device: {board.name} is not emulated; bring the program to the board with "
            f"`{bring}` in {directory}, and name the serial line that it hangs on with --port"
        )
    counts = program.with_name("counts.txt")
    counts.unlink(missing_ok=True)
    addresses = function_addresses(program, kernels)
    command = _qemu_command(board, manifest.transport, program, counts, addresses)
    if manifest.transport == "uart":
        return _started(Running(command, directory, counts, addresses, on_a_line=True))
    return Running(command, directory, counts, addresses)


def _started(running: Running) -> Running:
    """What sits behind a serial line, once it listens."""
    running.read_line(_START_SECONDS)
    return running


def _qemu_command(
    board: Board, transport: str | None, program: Path, counts: Path, kernels: Collection[int]
) -> list[str]:
    """The emulator of `board`, whose standard input and output are the transport."""
    plugin = _build_plugin(program.parent)
    arguments = [f"file={_escape(plugin)}", f"out={_escape(counts)}"]
    for kind in _KINDS:
        begin, end = (symbol_address(program, f"odt_mark_{kind}_{at}") for at in ("begin", "end"))
        arguments.append(f"{kind}={begin:x}:{end:x}")
    arguments += [f"kernel={address:x}" for address in kernels]
    semihosting = ("-serial", "none", "-semihosting-config", "enable=on,target=native")
    return [
        find_tool(board.architecture.emulator),
        *("-machine", board.qemu_machine),
        *(("-cpu", board.qemu_cpu) if board.qemu_cpu else ()),
        *board.architecture.emulator_options,
        *("-display", "none", "-monitor", "none"),
        *(("-serial", "stdio") if transport == "uart" else semihosting),
        *("-plugin", ",".join(arguments)),
        *("-kernel", str(program)),
    ]


def _escape(path: Path) -> str:
    """A path as QEMU's option lists want it."""
    return str(path.resolve()).replace(",", ",,")


def _build_plugin(directory: Path) -> Path:
    """Compile the counting plugin into the build directory; it must match this machine's QEMU."""
    plugin = directory / "count_plugin.so"
    if not plugin.exists():
        flags = ["-std=c99", "-O2", "-shared", "-fPIC"]
        result = run_tool(["gcc", *flags, str(_PLUGIN_SOURCE), "-o", str(plugin)])
        if result.returncode:
            raise OdtError(f"device: cannot build the counting plugin: {result.stderr.strip()}")
    return plugin
