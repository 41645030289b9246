"""Builds the fuzzers of the protocol and of the store, and runs them; `make fuzz` runs this file.

python fuzzing.py SECONDS DIRECTORY     each for SECONDS; what was found stays in DIRECTORY
"""

from __future__ import annotations

import math
import re
import struct
import subprocess
import sys
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tvm_ondevice_train.device.protocol import Frame, pack_frame
from tvm_ondevice_train.project import runtime_dir

_HERE = Path(__file__).resolve().parent
_STORE = _HERE.parent / "runtime" / "store"
_FLAGS = (
    "-std=c11 -g -O2 -Wall -Wextra -Wpedantic -Wmissing-prototypes -Werror "
    "-fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all"
).split()
FAKE_MODEL = _HERE.parent / "device" / "fake_model"
FAKE_ARENA_BYTES = 256  # less than an input can hold


@dataclass(frozen=True)
class Target:
    """A harness with what it drives, and inputs to begin with, none longer than `longest`."""

    name: str
    sources: Sequence[Path]
    flags: Sequence[str]
    longest: int
    seeds: Sequence[bytes]

    def build(self, directory: Path, edits: Mapping[str, tuple[str, str]] | None = None) -> Path:
        """Compile into `directory`. `edits` replace text in files by their names, for a test that
        plants a mistake."""
        sources = [_edited(path, directory, (edits or {}).get(path.name)) for path in self.sources]
        program = directory / self.name
        command = ["clang", *_FLAGS, *self.flags, *map(str, sources), "-o", str(program)]
        subprocess.run(command, check=True)
        return program

    def run(self, program: Path, *limits: str) -> subprocess.CompletedProcess:
        """Fuzz with libFuzzer's options `limits` and a fixed seed; the corpus lies beside."""
        corpus = program.with_suffix(".corpus")
        corpus.mkdir(exist_ok=True)
        for number, seed in enumerate(self.seeds):
            (corpus / f"seed-{number}").write_bytes(seed)
        options = ["-seed=1", "-timeout=20", f"-max_len={self.longest}", "-print_final_stats=1"]
        options += ["-verbosity=0", f"-artifact_prefix={program.parent}/"]
        command = [str(program), *options, *limits, str(corpus)]
        return subprocess.run(command, capture_output=True, text=True, errors="replace")


def executed(done: subprocess.CompletedProcess) -> int:
    """How many inputs a run has tried."""
    return int(re.search(r"number_of_executed_units: *(\d+)", done.stderr)[1])


def _edited(path: Path, directory: Path, edit: tuple[str, str] | None) -> Path:
    if edit is None:
        return path
    text = path.read_text()
    assert text.count(edit[0]) == 1, f"{path.name} has {text.count(edit[0])} times {edit[0]!r}"
    copy = directory / path.name
    copy.write_text(text.replace(*edit))
    return copy


def protocol(model: Path, input_bytes: int, target_bytes: int, *flags: str) -> Target:
    """The server around the model.c in `model`, and requests of every type as seeds."""
    runtime = runtime_dir()
    sources = [_HERE / "protocol.c", _HERE / "fuzz.c", _STORE / "nor.c", model / "model.c"]
    names = ("crc", "frame", "marks", "protocol", "replay", "ring_flash", "ring_ram", "store")
    sources += [runtime / "src" / f"odt_{name}.c" for name in names]
    include = [f"-I{path}" for path in (model, runtime / "include", _STORE)]
    sample, target = bytes(input_bytes), bytes(target_bytes)
    payloads = {
        Frame.HELLO: b"",
        Frame.TRAIN: sample + target,
        Frame.PREDICT: sample,
        Frame.EVALUATE: sample + target,
        Frame.GET_PARAMS: b"",
        Frame.PUT_PARAMS: struct.pack("<I", 8) + bytes(range(40)),
        Frame.SET_LR: struct.pack("<f", 0.5),
        Frame.SET_SEED: struct.pack("<I", 7),
        Frame.STATS: b"",
        Frame.SAVE: b"",
        Frame.RESET: b"",
        Frame.LOAD: b"",
        Frame.REMEMBER: sample + target,
        Frame.REHEARSE: b"",
        Frame.FORGET: b"",
        Frame.ADD_CLASS: b"",
        Frame.IMPRINT: sample + target,
        Frame.GET_STATE: b"",
        Frame.PUT_STATE: struct.pack("<fII", 0.5, 7, 9),
        Frame.APPLY: b"",
        Frame.EXIT: b"",
    }
    frames = [pack_frame(kind, payload) for kind, payload in payloads.items()]
    streams = [*frames, b"".join(frames), b"noise" + frames[0] + frames[1][:-3] + frames[2]]
    seeds = [bytes([0]) + struct.pack("<H", len(stream) // 2) + stream for stream in streams]
    return Target("protocol", sources, [*include, *flags], 6144, seeds)


def fake_protocol(_directory: Path) -> Target:
    """The server around the hand-written classifier, with a small arena and replay in flash."""
    replay = ("SLOTS=3u", "POLICY=1", "IN_FLASH=1")
    flags = [f"-DODT_REPLAY_{value}" for value in replay]
    return protocol(FAKE_MODEL, 64, 4, f"-DODT_ARENA_BYTES={FAKE_ARENA_BYTES}u", *flags)


def generated_protocol(directory: Path) -> Target:
    """The server around a generated model: an int8 network that trains all of its parameters."""
    from tiny_models import compiled

    model = compiled("cnn_int8", "full", board="host")
    project = model.save(directory / "project", "host")
    return protocol(project, math.prod(model.manifest.input.shape), 4)


def growing_protocol(directory: Path) -> Target:
    """The server around a model that learns from batches, and whose classes can be added."""
    from tiny_models import compiled

    head = {"classes": 2, "max_classes": 4, "head": "cosine"}
    model = compiled("cnn_int8", "head", board="host", batch=3, **head)
    project = model.save(directory / "project", "host")
    return protocol(project, math.prod(model.manifest.input.shape), 4)


def store(_directory: Path) -> Target:
    """The store, and as seeds pairs of images: whole, damaged, of others."""
    sources = [_HERE / "store.c", _HERE / "fuzz.c", _STORE / "nor.c", _STORE / "device.c"]
    sources += [runtime_dir() / "src" / f"odt_{name}.c" for name in ("crc", "store")]
    flags = [f"-I{runtime_dir() / 'include'}", f"-I{_STORE}"]
    nothing, last = b"\xff" * 651, 2**32 - 1
    pairs = [
        (nothing, nothing),
        (_image(1), nothing),
        (_image(1), _image(2)),
        (_image(0), _image(last)),
        (_image(3)[:-1] + b"?", _image(2)),
        (_image(4, model_hash=1), _image(2, model_hash=1)),
        (_image(5, learning_rate=float("nan")), _image(4)),
    ]
    never = 99
    failures = [(0, never, never, 0), (1, 8, never, 0), (2, 3, 4, 1)]  # see store.c
    controls = [struct.pack("<5BHB", 0, *failure, 9, 3) for failure in failures]
    seeds = [control + first + second for control in controls for first, second in pairs]
    return Target("store", sources, flags, 2600, seeds)


TARGETS = {
    "protocol": fake_protocol,
    "generated": generated_protocol,
    "growing": growing_protocol,
    "store": store,
}


def _image(sequence: int, model_hash: int = 0x5EED5EED, learning_rate: float = 0.5) -> bytes:
    """An image of the model in tests/runtime/store/model.h, in flash of any byte's size."""
    params = bytes((sequence + i) % 256 for i in range(603))
    fields = (0x3153444F, model_hash, sequence, 1, 0, learning_rate, 9, sequence % 100)
    header = struct.pack("<5IfII", *fields)
    header += struct.pack("<3I", len(params), zlib.crc32(params), 0)
    return header + struct.pack("<I", zlib.crc32(header)) + params


def main(seconds: str, directory: str) -> int:
    """Run all fuzzers, each for `seconds`; 1 where one found something."""
    clean = True
    for name, make in TARGETS.items():
        place = Path(directory).resolve() / name
        place.mkdir(parents=True, exist_ok=True)
        target = make(place)
        done = target.run(target.build(place), f"-max_total_time={seconds}")
        if done.returncode == 0:
            print(f"{name}: {executed(done)} inputs, nothing found", flush=True)
        else:
            print(f"{done.stderr[-4000:]}\n{name}: FAILED; the input is in {place}", flush=True)
            clean = False
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
