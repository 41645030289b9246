"""What a run writes while it goes on, for whoever watches it: `progress.jsonl`, a line an event."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from ..manifest import Manifest

NAME = "progress.jsonl"


class ProgressLog:
    """Writes the log of one run; a context manager, so that its end is written too.

    first, last : training steps of the device before the run, and after it.
    """

    def __init__(self, directory: str | Path, manifest: Manifest, first: int, last: int):
        self._first = first
        self.stopped: str | None = None  # why the run ends early, where that is no exception
        path = Path(directory) / NAME
        path.unlink(missing_ok=True)  # who watches the last run still has its file
        self._file = open(path, "w", buffering=1)  # noqa: SIM115 - see __exit__
        facts = {key: getattr(manifest, key) for key in ("model", "board", "scheme")}
        started = {"pid": os.getpid(), "time": time.time(), "first": first, "last": last}
        self._write({**facts, **started})

    def __enter__(self) -> ProgressLog:
        return self

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        end = self.stopped if error is None else str(error) or type(error).__name__
        self._write({"end": end})
        self._file.close()

    def step(self, step: int, loss: float) -> None:
        self._write({"step": step, "loss": loss, "time": time.time()})

    def diverged(self, step: int) -> None:
        """A step that changed nothing, as its loss or a gradient was not finite."""
        self._write({"step": step, "diverged": True})

    def evaluation(self, step: int, values: Mapping[str, Any]) -> None:
        """values : "accuracy" or "error", "loss" and "not_finite", over the set "of"."""
        self._write({"step": step, "evaluation": dict(values)})

    def again(
        self,
        losses: Sequence[float],
        diverged: Sequence[int],
        evaluations: Iterable[Mapping[str, Any]],
    ) -> None:
        """What was done before, of a run that is continued; see `Training`."""
        done, lost, left = iter(losses), set(diverged), list(evaluations)
        for step in range(self._first, self._first + len(losses) + len(lost) + 1):
            if step in lost:
                self.diverged(step)
            elif step > self._first:
                self.step(step, next(done))
            while left and left[0]["step"] <= step:
                found = dict(left.pop(0))
                self.evaluation(found.pop("step"), found)

    def _write(self, event: Mapping) -> None:
        self._file.write(json.dumps(event) + "\n")


@dataclass
class Progress:
    """What the log of a run says so far.

    times : when each step ended, in seconds since 1970.
    diverged : how many steps changed nothing; `losses` and `times` leave them out.
    evaluations : (step, values) as in `ProgressLog.evaluation`.
    state : "running", "done", or why it ended.
    """

    facts: dict = field(default_factory=dict)
    losses: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    diverged: int = 0
    evaluations: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    state: str = "running"

    @property
    def step(self) -> int:
        """The last step that was trained."""
        return self.facts["first"] + len(self.losses) + self.diverged

    def take(self, event: Mapping) -> None:
        """Add what one line of the log says."""
        if "pid" in event:
            self.facts, self.times = dict(event), [event["time"]]
        elif "end" in event:
            self.state = "done" if event["end"] is None else event["end"]
        elif "evaluation" in event:
            self.evaluations.append((event["step"], event["evaluation"]))
        elif "diverged" in event:
            self.diverged += 1
        else:
            self.losses.append(event["loss"])
            self.times.append(event["time"])


class Follower:
    """Reads the log in `directory` as it grows; `progress` is None until there is one."""

    def __init__(self, directory: str | Path):
        self._path = Path(directory) / NAME
        self._file: TextIO | None = None
        self._rest = ""
        self.progress: Progress | None = None

    def update(self) -> bool:
        """Read what is new; False once nothing more will come."""
        if self._file is None or self._replaced(self._file):
            self._open()
        if self._file is None:
            return True
        *lines, self._rest = (self._rest + self._file.read()).split("\n")
        for line in lines:
            self.progress = self.progress or Progress()
            self.progress.take(json.loads(line))
        if self.progress is None or self.progress.state != "running":
            return self.progress is None
        if not _is_alive(self.progress.facts["pid"]):
            self.progress.state = "the run was stopped"
        return self.progress.state == "running"

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _open(self) -> None:
        self.close()
        try:
            self._file = open(self._path)  # noqa: SIM115 - see close
        except FileNotFoundError:
            self._file = None
        self._rest, self.progress = "", None

    def _replaced(self, file: TextIO) -> bool:
        """Whether another run has begun, and its log is in the place of this one."""
        try:
            return os.stat(self._path).st_ino != os.fstat(file.fileno()).st_ino
        except FileNotFoundError:
            return False


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's
    return True
