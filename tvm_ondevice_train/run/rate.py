"""The learning rate of a run that was told none."""

from __future__ import annotations

from pathlib import Path

from ..data import Data
from ..learning.schedule import Schedule
from ..manifest import Manifest


def rate_for(
    directory: str | Path, manifest: Manifest, data: Data, schedule: Schedule, seed: int
) -> float | None:
    """For the project in `directory`: that of its optimizer; None, the one compiled in."""
    return (
        None if manifest.made_from is None else manifest.made_from.options.optimizer.learning_rate
    )
