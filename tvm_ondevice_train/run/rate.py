"""The learning rate of a run that was told none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..data import Data
from ..errors import OdtError
from ..learning.schedule import Schedule
from ..manifest import Manifest

LEAST_STEPS = 200  # of a run that is worth a search, which takes seconds


def rate_for(
    directory: str | Path,
    manifest: Manifest,
    data: Data,
    schedule: Schedule,
    seed: int,
    rehearsals: int = 0,
    say: Callable[[str], None] = lambda line: None,
) -> float | None:
    """For the project in `directory`: what short runs in this process find to be good.

    That of the project where it was compiled with another than its optimizer's default; and, which
    is said, where the run is short or there is nothing to search with: the model file is gone, the
    samples are too few. None, the one compiled in, where the manifest tells of no optimizer.
    """
    if manifest.made_from is None:
        return None
    optimizer = manifest.made_from.options.optimizer
    if optimizer.learning_rate != type(optimizer)().learning_rate:
        return optimizer.learning_rate
    if schedule.steps < LEAST_STEPS:
        say(
            f"learning rate {optimizer.learning_rate:g}, since a run of fewer than {LEAST_STEPS} "
            "steps searches none; lr-find does"
        )
        return optimizer.learning_rate
    from ..simulator import find_rate  # here: it compiles

    try:
        return find_rate(directory, data, schedule, seed, rehearsals)
    except OdtError as error:
        say(f"learning rate {optimizer.learning_rate:g}, since none can be searched: {error}")
        return optimizer.learning_rate
