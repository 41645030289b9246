"""tune.json: which decision was best for which kernel, found by `ondevice-train tune`."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..boards import Board
from ..errors import OdtError
from ..files.limited_text import limited_text

if TYPE_CHECKING:  # which take TVM with them
    from relay_passes.schedule.tiled import Choose
    from relay_passes.tir import Schedule, tirx

VERSION = 1
UNTUNED = "none"  # in the place of a file: the default schedules
_DEFAULTS = Path(__file__).with_name("default")
_STEP_FIELDS = {"default_cost": int, "cost": int}
_KERNEL_FIELDS = {
    "name": str,
    "decisions": dict,
    "cost": int,
    "default_cost": int,
    "flash_bytes": int,
    "scratch_bytes": int,
    "trials": int,
}


@dataclass(frozen=True)
class Tuned:
    """What is known of a kernel.

    name : of the first op that it was seen in.
    decisions : by the names that `relay_passes.schedule.tiled` asks for.
    cost, default_cost : with these decisions and with the default ones, in the tuning's unit.
    flash_bytes, scratch_bytes : of its code alone, and of its working memory in the arena.
    trials : candidates that were built and run.
    """

    name: str
    decisions: Mapping[str, int]
    cost: int
    default_cost: int
    flash_bytes: int
    scratch_bytes: int
    trials: int


@dataclass(frozen=True)
class Tuning:
    """The content of a tune.json.

    target : "cpu" and compiler "flags" of the boards that it is for.
    unit : of costs: "guest instructions", "ns" or "cycles".
    made_by : the command that made it.
    step : what it gave the model that was tuned last: sums of "cost" and of "default_cost" over
        the calls of its tuned kernels in a training step. None until such a search came to its end.
    kernels : by `signature`; any other kernel keeps its default schedule.
    strict : whether a decision that its schedule does not allow (any more) is an error; otherwise
        the default is taken. It is not part of the file.
    """

    target: Mapping[str, Any]
    unit: str = "guest instructions"
    seed: int = 0
    made_by: str = ""
    step: Mapping[str, int] | None = None
    kernels: Mapping[str, Tuned] = field(default_factory=dict)
    strict: bool = field(default=True, compare=False)
    refused: list[str] = field(default_factory=list, init=False, repr=False, compare=False)

    def chooser(self, function: tirx.PrimFunc, limit: int | None) -> Choose:
        """What `DefaultSchedule` asks: the function that takes the decisions of a kernel."""
        from .signature import signature

        tuned = self.kernels.get(signature(function, limit))
        if tuned is None:
            return _by_default

        def choose(_schedule: Schedule, name: str, candidates: list[int], default: int) -> int:
            value = tuned.decisions.get(name, default)
            if value in candidates:
                return value
            if self.strict:
                allowed = ", ".join(map(str, candidates))
                self.refused.append(
                    f"tuning: {name} of kernel {tuned.name} is {value}; allowed are {allowed}. "
                    "Tune again with this version"
                )
            return default

        return choose

    def check(self) -> None:
        """OdtError if a decision that `chooser` was asked for is none of its candidates.

        It cannot be raised at once: TVM would make another error of it on the way.
        """
        if self.refused:
            raise OdtError(self.refused[0])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file, all of it or nothing; the same content gives the same bytes."""
        path = Path(path)
        content = {"version": VERSION, **asdict(self)}
        kernels = content.pop("kernels")
        del content["strict"], content["refused"]
        lines = [f"  {json.dumps(key)}: {json.dumps(kernels[key])}" for key in sorted(kernels)]
        head = json.dumps(content, indent=1).removesuffix("\n}")
        text = f'{head},\n "kernels": {{\n' + ",\n".join(lines) + "\n }\n}\n"
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
            file.write(text)
        os.chmod(file.name, 0o644)
        os.replace(file.name, path)


def default_tunings() -> dict[str, Path]:
    """The package's own files, by CPU."""
    return {path.stem: path for path in sorted(_DEFAULTS.glob("*.json"))}


def target_of(board: Board) -> dict[str, Any]:
    """What a tuning for `board` is good for."""
    return {"cpu": board.cpu, "flags": list(board.core.cflags)}


def tuning_for(
    tuning: str | os.PathLike[str] | Mapping[str, Any] | Tuning | None, board: Board
) -> Tuning:
    """The tuning that `compile` was given, checked against `board`.

    None is the package's own for that CPU, if there is one, as far as it holds for this version of
    the schedules and for the board's flags; "none" is no tuning at all.
    """
    expected = target_of(board)
    source: str | os.PathLike[str] = "the tuning"
    if isinstance(tuning, Tuning):
        found = tuning
    elif isinstance(tuning, Mapping):
        found = _parse(tuning, source)
    elif tuning == UNTUNED:
        return Tuning(expected)
    elif tuning is None:
        own = default_tunings().get(board.cpu)
        found = replace(load_tuning(own), strict=False) if own else Tuning(expected)
        return found if dict(found.target) == expected else Tuning(expected)
    else:
        found, source = load_tuning(tuning), tuning
    if dict(found.target) != expected:
        raise OdtError(
            f"tuning: {source} is for {_describe(found.target)}; {board.name} is "
            f"{_describe(expected)}. Tune for this board"
        )
    return found


def load_tuning(path: str | os.PathLike[str]) -> Tuning:
    """Read a tune.json; OdtError if it is none."""
    try:
        content = json.loads(limited_text(path))
    except FileNotFoundError:
        raise OdtError(f"tuning: {path} does not exist") from None
    except (OSError, ValueError, RecursionError) as error:
        raise OdtError(f"tuning: cannot read {path}: {error}") from None
    return _parse(content, path)


def _parse(content: object, source: str | os.PathLike[str]) -> Tuning:
    if not isinstance(content, Mapping) or "kernels" not in content:
        raise OdtError(f"tuning: {source} is not what `ondevice-train tune` writes")
    if content.get("version") != VERSION:
        raise OdtError(
            f"tuning: {source} has version {content.get('version')}; this package reads version "
            f"{VERSION}. Tune again"
        )
    fields = {"target": Mapping, "unit": str, "seed": int, "made_by": str, "kernels": Mapping}
    _check(content, fields, source)
    step = content.get("step")
    if step is not None:
        _check(step, _STEP_FIELDS, f"{source}: step")
    for entry in content["kernels"].values():
        _check(entry, _KERNEL_FIELDS, source)
    kernels = {
        key: Tuned(**{name: entry[name] for name in _KERNEL_FIELDS})
        for key, entry in content["kernels"].items()
    }
    head = {name: content[name] for name in fields if name != "kernels"}
    return Tuning(**head, step=step, kernels=kernels)


def _check(content: object, fields: Mapping[str, type], source: str | os.PathLike[str]) -> None:
    for name, kind in fields.items():
        if not isinstance(content, Mapping) or not isinstance(content.get(name), kind):
            raise OdtError(
                f"tuning: {source}: {name} must be of type {kind.__name__.lower()}; tune again"
            )


def _describe(target: Mapping[str, Any]) -> str:
    return " ".join([str(target.get("cpu")), *map(str, target.get("flags", ()))])


def _by_default(_schedule: Schedule, _name: str, _candidates: list[int], default: int) -> int:
    return default
