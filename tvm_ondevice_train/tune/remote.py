"""Candidates on other machines, through TVM's own RPC tracker.

    python -m tvm.exec.rpc_tracker --port 9190
    python -m tvm_ondevice_train.tune.remote 127.0.0.1:9190 emulator
    ondevice-train tune model.onnx --tracker 127.0.0.1:9190:emulator

A worker has a compiler and an emulator, or a board of its own. It gets the C of a batch and answers
what each candidate costs.

TVM's RPC does whatever who connects asks for: it runs code and writes files, without a password.
So a worker listens to its own machine alone. On another one it is started with --bind ADDRESS, one
of that machine's in a network where all are trusted (or it is reached by an SSH tunnel).
"""

from __future__ import annotations

import argparse
import json
import socket
from functools import partial

import tvm
from tvm import rpc

from ..errors import OdtError
from .extra import check_extra
from .firmware import Batch
from .runners import EmulatorRunner, HostRunner, Measured, Runner

_FUNCTION = "odt.tune.measure"
_CONNECT_SECONDS = 5.0
LOOPBACK = "127.0.0.1"
_LOCAL = {"emulator": EmulatorRunner, "host": HostRunner}


class RemoteRunner(Runner):
    """Sends each batch to the next free worker of a tracker.

    local : the class of runner that the workers have; it tells what costs mean.
    """

    def __init__(
        self, host: str, port: int, key: str, local: type[Runner] = EmulatorRunner
    ) -> None:
        super().__init__()
        self.host, self.port, self.key = host, port, key
        self.unit = local.unit

    def measure(self, batch: Batch, flash_growth: int | None = None) -> list[Measured]:
        request = json.dumps({"batch": batch.as_dict(), "flash_growth": flash_growth})
        try:
            # TVM would try for a minute
            socket.create_connection((self.host, self.port), _CONNECT_SECONDS).close()
            tracker = rpc.connect_tracker(self.host, self.port)
            session = tracker.request(self.key, session_timeout=self.seconds * batch.count + 600)
            answer = json.loads(session.get_function(_FUNCTION)(request))
        except (RuntimeError, OSError) as error:
            reason = str(error).strip().splitlines()[-1]
            raise OdtError(
                f"tuning: no answer from {self.key} at {self.host}:{self.port}: {reason}"
            ) from None
        return [Measured(**one) for one in answer]


def start_worker(
    host: str, port: int, key: str, runner: str = "emulator", bind: str = LOOPBACK
) -> rpc.Server:
    """Serve batches to the tracker at `host` until the server is terminated.

    bind : the address of this machine to listen at. Whoever reaches it can run code here.
    """
    return rpc.Server(
        host=bind,
        port=9091,
        port_end=9991,
        tracker_addr=(host, port),
        key=key,
        silent=True,
        server_init_callback=partial(_register, runner),
    )


def _register(runner: str) -> None:
    """Runs in the server's process: offers the one function."""
    local = _LOCAL[runner]()

    @tvm.register_global_func(_FUNCTION, override=True)
    def _measure(request: str) -> str:
        content = json.loads(request)
        measured = local.measure(Batch(**content["batch"]), content["flash_growth"])
        return json.dumps([one.as_dict() for one in measured])


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure candidates for a tracker.")
    parser.add_argument("tracker", metavar="HOST:PORT")
    parser.add_argument("key")
    parser.add_argument("--runner", choices=sorted(_LOCAL), default="emulator")
    parser.add_argument(
        "--bind",
        metavar="ADDRESS",
        default=LOOPBACK,
        help="Of this machine, to listen at; whoever reaches it can run code here.  "
        "[default: %(default)s, only this machine]",
    )
    options = parser.parse_args()
    host, _, port = options.tracker.rpartition(":")
    if not (host and port.isdecimal()):
        parser.error(f"the tracker is {options.tracker!r}; it must be HOST:PORT")
    check_extra()
    try:
        socket.create_server((options.bind, 0)).close()
    except OSError as error:
        parser.error(f"cannot listen at {options.bind}: {error.strerror or error}")
    worker = start_worker(host, int(port), options.key, options.runner, options.bind)
    print(opened(options.bind, worker.port), flush=True)
    worker.proc.join()


def opened(bind: str, port: int) -> str:
    """What a worker says of the port that it has opened."""
    if bind in (LOOPBACK, "::1", "localhost"):
        return f"Listening at {bind}:{port}, for programs of this machine only."
    where = "all addresses of this machine" if bind in ("0.0.0.0", "::") else bind
    return (
        f"Listening at {where}, port {port}: whoever reaches it can run code and write files here, "
        "without a password."
    )


if __name__ == "__main__":
    main()
