"""A run as tables that any program reads: `losses.csv` and `evaluations.csv`."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..files.whole_file import write_whole

_EVALUATION = ("step", "of", "accuracy", "error", "loss", "not_finite")


def write_tables(directory: Path, result: Mapping[str, Any]) -> None:
    """result : see docs/learning.md. An empty cell is what there is no value for."""
    columns = steps_of(result), result["losses"], result["learning_rates"]
    head = ("step", "loss", "learning_rate")
    _write(directory / "losses.csv", head, zip(*columns, strict=True))
    rows = ([found.get(key) for key in _EVALUATION] for found in result["evaluations"])
    _write(directory / "evaluations.csv", _EVALUATION, rows)


def steps_of(result: Mapping[str, Any]) -> list[int]:
    """The number of each step that has a loss."""
    first, lost = result["first_step"] + 1, set(result["diverged"])
    return [step for step in range(first, first + result["steps"]) if step not in lost]


def _write(path: Path, head: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    write_whole(path, text.getvalue().encode(), "run")
