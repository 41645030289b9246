"""Started devices at a TCP port and at a serial line, for whoever connects."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
import tty
from contextlib import contextmanager

from tvm_ondevice_train.boards import board as find_board
from tvm_ondevice_train.device import build


class OnTcp:
    """The host's program, which serves one connection after the other."""

    board = "host"

    def __init__(self, directory, program):
        with socket.create_server(("127.0.0.1", 0)) as free:
            number = free.getsockname()[1]
        self.process = subprocess.Popen([program.resolve(), str(number)], cwd=directory)
        self.port = f"socket://127.0.0.1:{number}"
        for _ in range(100):
            if socket.socket().connect_ex(("127.0.0.1", number)) == 0:
                return
            time.sleep(0.05)
        raise AssertionError("nobody listens")

    def send(self, data):
        host, number = self.port.removeprefix("socket://").split(":")
        with socket.create_connection((host, int(number))) as line:
            line.sendall(data)


class OnSerial:
    """A board in QEMU, whose UART is a pseudo-terminal of this computer."""

    board = "virt-rv32imac"  # QEMU counts its cycles

    def __init__(self, directory, program):
        board = find_board(self.board)
        command = [board.architecture.emulator, *board.architecture.emulator_options]
        command += ["-machine", board.qemu_machine, "-serial", "pty", "-kernel", str(program)]
        command += ["-display", "none", "-monitor", "none"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.port = re.search(r"/dev/pts/\d+", self.process.stdout.readline())[0]

    def send(self, data):
        line = os.open(self.port, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(line)
        os.write(line, data)
        time.sleep(0.2)
        os.close(line)


@contextmanager
def started(kind, directory):
    """A device of `kind` that runs the project in `directory`, one for a UART if it is serial."""
    device = kind(directory, build(directory))
    device.directory = directory
    try:
        yield device
    finally:
        device.process.kill()
        device.process.wait()
