"""How long a run is, and its parts: steps and epochs as they are given."""

from __future__ import annotations

import re

from ..errors import OdtError
from ..files.plain_text import shortened
from ..learning.schedule import CONSTANT, KINDS, Schedule

MOST_STEPS = (1 << 32) - 1  # of odt_t
WARMUP = 0.05  # of a run


def count_steps(samples: int, steps: int | None, epochs: int | None) -> int:
    """Of the run; one epoch where neither is given."""
    if steps is not None and epochs is not None:
        raise OdtError("run: give steps or epochs, not both")
    for name, value in (("steps", steps), ("epochs", epochs)):
        if value is not None and value < 1:
            raise OdtError(f"run: {name} must be at least 1, not {value}")
    total = steps if steps is not None else samples * (epochs or 1)
    if total > MOST_STEPS:
        raise OdtError(f"run: {total:,} steps are more than a device counts, {MOST_STEPS:,}")
    return total


def interval(value: int | str | None, samples: int, name: str) -> int | None:
    """Steps: a number of them, or epochs as "0.5e"."""
    if value is None or isinstance(value, int):
        return value
    found = re.fullmatch(r"(\d+|(\d*\.?\d+)e)", value.strip(), re.A)
    if found is None or not 0 < float(found[2] or found[1]) <= MOST_STEPS:
        raise OdtError(
            f"run: {name} is {shortened(value, 40)!r}; it is a number of steps, or of epochs, as "
            "in 500 or 0.5e"
        )
    return int(value) if found[2] is None else max(1, round(float(found[2]) * samples))


def schedule_of(kind: str, warmup: float | None, first: int, steps: int, samples: int) -> Schedule:
    """The schedule of `first` steps that were done and `steps` more.

    warmup : in epochs; None is `WARMUP` of all, and none where the rate is constant.
    """
    if kind not in KINDS:
        raise OdtError(f"run: schedule is {kind!r}; allowed are {', '.join(KINDS)}")
    whole = first + steps
    if warmup is None:
        return Schedule(kind, whole, 0 if kind == CONSTANT else round(WARMUP * whole))
    if not 0 <= warmup * samples < whole:
        raise OdtError(
            f"run: a warm-up of {warmup:g} epochs is {warmup * samples:,.6g} steps; it must end "
            f"before the {whole:,} of the run"
        )
    return Schedule(kind, whole, round(warmup * samples))
