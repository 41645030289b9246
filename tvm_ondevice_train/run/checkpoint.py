"""What a run can be continued from: `checkpoint.npz`, written by the host as the run goes on."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..data import Data
from ..device.snapshot import Snapshot, tensors_in
from ..errors import OdtError
from ..files.npz import npz_bytes, read_npz
from ..files.whole_file import write_whole
from ..learning.health import Values
from ..learning.training import Best, Training
from .options import RunOptions

NAME = "checkpoint.npz"
_SECONDS = 10.0  # from one to the next
_SHARE = 20  # and so many times as long as one takes, over a serial line
_FORMAT = "ondevice-train checkpoint 1"
_ARRAYS = ("losses", "rates")
_PLAIN = (*("diverged", "evaluations", "learning_rate", "lowered", "waited", "saturated"),)


@dataclass(frozen=True)
class Beginning:
    """What tells one run from another.

    data : a digest of it. first, learning_rate : see `Plan`; the rate before any was lowered.
    """

    model_hash: int
    data: str
    options: RunOptions
    first: int
    learning_rate: float


@dataclass(frozen=True)
class Checkpoint:
    """A run as far as it came: the learner's snapshot, and the state of its `Training`."""

    beginning: Beginning
    snapshot: Snapshot
    state: dict[str, Any]


class Keeper:
    """Writes a checkpoint from time to time.

    also : called whenever it does, with the directory, the run and the trained tensors.
    """

    def __init__(
        self, directory: Path, beginning: Beginning, also: Callable[[Path, Training, Values], None]
    ) -> None:
        self._directory, self._beginning, self._also = directory, beginning, also
        self._due = time.monotonic() + _SECONDS

    def between(self, run: Training) -> None:
        """See `Training`."""
        started = time.monotonic()
        if started < self._due and run.stopped is None:
            return
        made = Checkpoint(self._beginning, run.learner.snapshot(), run.state())
        write_whole(self._directory / NAME, npz_bytes(_arrays(made)), "run")
        tensors = run.learner.manifest.trained_parameters
        learned = tensors_in(made.snapshot.params, tensors)
        self._also(self._directory, run, learned)
        now = time.monotonic()
        self._due = now + max(_SECONDS, _SHARE * (now - started))


def digest(data: Data) -> str:
    """Of what is learned from, and judged by on the way."""
    found = hashlib.sha256()
    for array in (data.x, data.y, data.x_val, data.y_val):
        found.update(b"" if array is None else str(array.shape).encode() + array.tobytes())
    found.update(repr(data.augment).encode())
    return found.hexdigest()


def read_checkpoint(directory: Path) -> Checkpoint:
    """That of the run in `directory`; OdtError where there is none, or a damaged one."""
    path = directory / NAME
    if not path.exists():
        raise OdtError(f"run: {directory} holds no run to continue; one that ended leaves none")
    arrays = read_npz(path, "run")
    try:
        return _checkpoint(arrays)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        if isinstance(error, OdtError):
            raise
        raise OdtError(f"run: {path} is damaged; begin anew without --continue") from None


def _arrays(made: Checkpoint) -> dict[str, np.ndarray]:
    state, best = made.state, made.state["best"]
    about = {
        "format": _FORMAT,
        "beginning": asdict(made.beginning),
        "snapshot": _without_params(made.snapshot),
        "plain": {name: state[name] for name in _PLAIN},
        "watched": [step for step, _ in state["values"]],
        "best": best and [best.step, best.rank, best.snapshot and _without_params(best.snapshot)],
    }
    arrays = {"about": _bytes(json.dumps(about).encode()), "params": _bytes(made.snapshot.params)}
    if best is not None and best.snapshot is not None:
        arrays["best"] = _bytes(best.snapshot.params)
    arrays |= {name: np.array(state[name], np.float64) for name in _ARRAYS}
    for at, (_, values) in enumerate(state["values"]):
        arrays |= {f"values/{at}/{name}": value for name, value in values.items()}
    return arrays


def _checkpoint(arrays: dict[str, np.ndarray]) -> Checkpoint:
    about = json.loads(arrays["about"].tobytes())
    if about["format"] != _FORMAT:
        raise ValueError
    begun = about["beginning"]
    beginning = Beginning(**{**begun, "options": RunOptions(**begun["options"])})
    state = {name: about["plain"][name] for name in _PLAIN}
    state |= {name: arrays[name].tolist() for name in _ARRAYS}
    state["values"] = [
        (step, _named(arrays, f"values/{at}/")) for at, step in enumerate(about["watched"])
    ]
    state["best"] = None
    if about["best"] is not None:
        step, rank, rest = about["best"]
        snapshot = None if rest is None else Snapshot(arrays["best"].tobytes(), **rest)
        state["best"] = Best(step, tuple(rank), snapshot)
    return Checkpoint(beginning, Snapshot(arrays["params"].tobytes(), **about["snapshot"]), state)


def _without_params(snapshot: Snapshot) -> dict[str, Any]:
    rest = asdict(replace(snapshot, params=b""))
    del rest["params"]
    return rest


def _named(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {n.removeprefix(prefix): value for n, value in arrays.items() if n.startswith(prefix)}


def _bytes(content: bytes) -> np.ndarray:
    return np.frombuffer(content, np.uint8)
