"""Windows of measured values: a row an instant, a column a channel, in .csv files."""

from __future__ import annotations

import csv
import math
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import OdtError, one_line
from .axes import Axes
from .settings import is_number

_LABEL = ("label", "class")
_TIME = ("time", "timestamp")


class TableReader:
    """Reads windows of `window` rows, one every `stride` rows, of one label each.

    Samples are float32 in the model's `shape`, one axis of which is the window and the other the
    channels: (channels, window), (1, window, channels) or the other way round. A column of the
    name time or timestamp is left out where the model has no channel for it.

    Raises OdtError where `shape` has no such axes, or none of `window`.
    """

    labels_in = "a column label"

    def __init__(self, shape: tuple[int, ...], window: int | None, stride: int | None) -> None:
        self.shape, self.window, self.stride = shape, window, stride
        self._long = [axis for axis, length in enumerate(shape) if length > 1]
        if len(self._long) not in (1, 2):
            raise OdtError(f"data: tables are windows of channels; the model takes {shape}")
        if window is not None and window not in shape:
            raise OdtError(f"data: --window is {window}; the model takes {shape}")
        self.axes = Axes((), image=False)
        self.described = "tables of measured values"
        self._left_out = 0  # runs of rows that are shorter than a window

    def samples(self, path: Path) -> Iterator[tuple[np.ndarray, str | None]]:
        """Each window in `path`, and what its rows have in the column label, if there is one."""
        try:
            with open(path, newline="", encoding="utf-8-sig") as file:
                rows = csv.reader(file)
                header = [name.strip().lower() for name in next(rows, [])]
                yield from self._windows(path, header, rows)
        except (csv.Error, UnicodeDecodeError) as error:
            raise OdtError(f"data: {path} is no readable table: {one_line(error)}") from None

    def notes(self) -> list[str]:
        if not self._left_out:
            return []
        return [f"{self._left_out} runs of rows are shorter than a window, and left out"]

    def _windows(
        self, path: Path, header: list[str], rows: Any
    ) -> Iterator[tuple[np.ndarray, str | None]]:
        label = next((header.index(name) for name in _LABEL if name in header), None)
        channels = self._channels(path, header, label)
        window, channel_first = self._axes(path, header, channels)
        for name, values in _runs(path, header, channels, label, rows):
            self._left_out += len(values) < window
            for first in range(0, len(values) - window + 1, self.stride or window):
                part = values[first : first + window]
                yield (part.T if channel_first else part).reshape(self.shape), name

    def _channels(self, path: Path, header: list[str], label: int | None) -> list[int]:
        columns = [at for at in range(len(header)) if at != label]
        if not columns or is_number(header[columns[0]]):
            raise OdtError(f"data: {path} has no names of columns in its first line")
        without_time = [at for at in columns if header[at] not in _TIME]
        lengths = {self.shape[axis] for axis in self._long} | {1}
        return columns if len(without_time) not in lengths else without_time

    def _axes(self, path: Path, header: list[str], channels: list[int]) -> tuple[int, bool]:
        """Rows of a window, and whether channels are the first axis; which they are if both fit."""
        count, long = len(channels), self._long
        axes = [(0, 1), (1, 0)] if len(long) == 2 else [(-1, 0)]  # of channels and time, in `long`
        lengths = [*(self.shape[axis] for axis in long), 1]
        fitting = [(c, t) for c, t in axes if lengths[c] == count]
        if not fitting:
            names = ", ".join(header[at] for at in channels)
            raise OdtError(
                f"data: {path} has {count} channels ({names}); the model takes {self.shape}"
            )
        for channel, time in fitting:
            if self.window in (None, lengths[time]):
                self.axes = Axes((long[time],), image=False)
                return lengths[time], channel < time
        window = lengths[fitting[0][1]]
        raise OdtError(
            f"data: --window is {self.window}; with {count} channels the model takes {window}"
        )


def _runs(
    path: Path, header: list[str], channels: list[int], label: int | None, rows: Any
) -> Iterator[tuple[str | None, np.ndarray]]:
    """Label and float32 values (rows, channels) of rows in a row that have the same label."""
    name: str | None = None
    values = array("f")
    for row in rows:
        if not row:
            continue
        if len(row) != len(header):
            raise OdtError(
                f"data: {path}, line {rows.line_num}: it has {len(row)} columns; the first line "
                f"has {len(header)}"
            )
        own = None if label is None else row[label].strip()
        if own == "":
            raise OdtError(f"data: {path}, line {rows.line_num}: it has no label")
        if own != name and values:
            yield name, _rows(values, channels)
            values = array("f")
        name = own
        values.extend([_value(path, rows.line_num, header[at], row[at]) for at in channels])
    if values:
        yield name, _rows(values, channels)


def _rows(values: array, channels: list[int]) -> np.ndarray:
    return np.array(values, np.float32).reshape(-1, len(channels))


def _value(path: Path, line: int, column: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise OdtError(
            f"data: {path}, line {line}: {column} is {text.strip()!r}; it must be a finite number"
        )
    return value
