"""`load` and `compile` on damaged model files, in children that may die; `make fuzz` runs it.

python fuzz_models.py SECONDS DIRECTORY [load|compile [FIRST]]    each format for SECONDS

A file is known by its number (`mutations`). One child tries many, one after another, in what this
process has imported; where it dies, hangs or grows, the next goes on behind that file. What was
found stays in DIRECTORY, one file a kind of failure.
"""

from __future__ import annotations

import gc
import os
import resource
import select
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

KINDS = ("onnx", "tflite", "pt2")
SECONDS, MEMORY_BYTES = 60.0, 4 << 30  # for one file
_A_CHILD = 400  # files; what TVM keeps of each grows
_LONGEST = 700  # characters of a refusal
ACCEPTED, REFUSED = "accepted", "refused"
UNTOLD = "untold"  # refused by the guard around everything: a line, but no diagnosis
_GUARD = "it could not be read ("  # what that says


@dataclass(frozen=True)
class Outcome:
    """What became of file `number`.

    name : "accepted", "refused", "untold", or a failure: "traceback", "crash", "hang", "memory",
        "text".
    detail : what tells kinds of it apart.
    """

    number: int
    name: str
    detail: str = ""

    @property
    def is_failure(self) -> bool:
        return self.name not in (ACCEPTED, REFUSED, UNTOLD)


def prepare() -> None:
    """Import what children use, so that a child starts at once."""
    os.environ.update(OMP_NUM_THREADS="1", TVM_NUM_THREADS="1")
    import onnxruntime  # noqa: F401
    import torch
    import tvm.relax.frontend.onnx
    import tvm.relax.frontend.tflite
    import tvm.relax.frontend.torch  # noqa: F401

    import tvm_ondevice_train.compiler
    import tvm_ondevice_train.frontend.onnx
    import tvm_ondevice_train.frontend.tflite
    import tvm_ondevice_train.frontend.torch  # noqa: F401

    torch.set_num_threads(1)
    gc.collect()
    gc.freeze()  # `load` collects: it need not look at all of TVM and PyTorch each time


def outcome_of(number: int, path: Path, work: Callable[[Path], object]) -> Outcome:
    """Try one file in this process."""
    from tvm_ondevice_train.errors import OdtError

    try:
        work(path)
    except OdtError as error:
        wrong = _wrong_with(str(error))
        return (
            Outcome(number, "text", f"{wrong} {_where(error)}")
            if wrong
            else Outcome(number, REFUSED)
        )
    except MemoryError as error:
        return Outcome(number, "memory", _where(error))
    except BaseException as error:  # also what is no Exception: none may come out
        return Outcome(number, "traceback", _where(error))
    return Outcome(number, ACCEPTED)


def _wrong_with(text: str) -> str | None:
    """With a refusal, which must be one line that a terminal can show."""
    if not text.isprintable():
        return "unprintable"
    return None if 0 < len(text) <= _LONGEST else "empty or too long"


def _where(error: BaseException) -> str:
    """Type, the last line of ours and the last of all: one text for each kind of failure."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "tvm_ondevice_train" in f.filename or "relay_passes" in f.filename]
    places = [f"{Path(f.filename).name}:{f.lineno}" for f in (*ours[-1:], *frames[-1:])]
    return f"{type(error).__name__} {' '.join(places)}"


def outcomes(
    kind: str,
    content: Callable[[int], bytes],
    work: Callable[[Path], object],
    numbers: Iterator[int],
    until: float,
    seconds: float = SECONDS,
) -> Iterator[Outcome]:
    """Of each of `numbers` whose turn comes before the time `until`."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, f"model.{kind}")
        while time.monotonic() < until:
            batch = [number for _, number in zip(range(_A_CHILD), numbers, strict=False)]
            if not batch:
                return
            while batch and time.monotonic() < until:
                for outcome in _of_a_child(batch, path, content, work, until, seconds):
                    batch.remove(outcome.number)
                    yield outcome


def _of_a_child(batch, path, content, work, until, seconds) -> Iterator[Outcome]:
    """Those of the files in `batch` up to the first that ends the child.

    Who reads them takes each out of `batch`, whose first is then the file that is under way.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _child(batch, path, content, work, reader, writer)
    os.close(writer)
    buffer = b""
    try:
        while True:
            if not select.select([reader], [], [], seconds)[0]:
                yield Outcome(batch[0], "hang")
                return
            chunk = os.read(reader, 1 << 16)
            if not chunk:
                break
            *lines, buffer = (buffer + chunk).split(b"\n")
            for line in lines:
                number, name, detail = line.decode(errors="replace").split("\t")
                yield Outcome(int(number), name, detail)
            if time.monotonic() > until:
                return
        status = os.waitpid(child, 0)[1]
        child = 0
        if status and batch:
            yield Outcome(batch[0], "crash", f"signal {status & 127}, status {status >> 8}")
    finally:
        os.close(reader)
        if child:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def _child(batch, path, content, work, reader, writer) -> None:
    """Never returns: its outcomes go to `writer`, a line each."""
    try:
        os.close(reader)
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        limit = _data_bytes() + MEMORY_BYTES
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        for number in batch:
            path.write_bytes(content(number))
            outcome = outcome_of(number, path, work)
            detail = " ".join(outcome.detail.split())
            os.write(writer, f"{number}\t{outcome.name}\t{detail}\n".encode())
            if number == batch[0]:
                gc.freeze()  # what was imported on first use
    except BaseException:
        os._exit(99)
    os._exit(0)


def _data_bytes() -> int:
    """What counts towards RLIMIT_DATA."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmData"))


def load(path: Path) -> None:
    import tvm_ondevice_train as odt

    odt.load(path)


def compile(path: Path) -> None:
    import tvm_ondevice_train as odt

    odt.compile(path, board="host", loss="mse")


WORK = {"load": load, "compile": compile}


def main(seconds: str, directory: str, work: str = "load", first: str = "0") -> int:
    """Fuzz all formats, each for `seconds`; 1 where one found something."""
    from itertools import count

    from mutations import mutated

    prepare()
    found = 0
    place = Path(directory).resolve() / "models"
    place.mkdir(parents=True, exist_ok=True)
    for kind in KINDS:
        mutated(kind, 0)  # the seeds are made here, once
        kinds: dict[str, Outcome] = {}
        names: Counter[str] = Counter()
        until = time.monotonic() + float(seconds)

        def content(number: int, kind: str = kind) -> bytes:
            return mutated(kind, number)

        for outcome in outcomes(kind, content, WORK[work], count(int(first)), until):
            names[outcome.name] += 1
            key = f"{outcome.name} {outcome.detail}"
            if outcome.detail and key not in kinds:
                kinds[key] = outcome
                file = place / f"{work}-{outcome.name}-{outcome.number}.{kind}"
                file.write_bytes(content(outcome.number))
                print(f"{file.name}: {key}", flush=True)
        tried = ", ".join(f"{number} {name}" for name, number in sorted(names.items()))
        print(f"{work} of .{kind}: {sum(names.values())} inputs: {tried}", flush=True)
        found += sum(outcome.is_failure for outcome in kinds.values())
    if found:
        print(f"{work}: FAILED, {found} kinds; the files are in {place}", flush=True)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
