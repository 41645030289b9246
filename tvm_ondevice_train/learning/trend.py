"""Whether the loss rises, asked after every step."""

from __future__ import annotations

import math

import numpy as np

LEAST, MOST, PARTS = 20, 200, 20  # steps of a window: a part of the run, within these
_HIGHER = 1.5  # times as large as the lowest mean of a window
_ERRORS = 4  # standard errors that the difference of both means exceeds


class RisingLoss:
    """Compares the mean loss of each window of steps with the lowest mean of one before it.

    steps : of the run. Losses in, in their order; the same losses give the same answers.
    """

    def __init__(self, steps: int) -> None:
        self._size = min(max(LEAST, steps // PARTS), MOST)
        self._window: list[float] = []
        self._lowest: tuple[float, float] | None = None  # mean, and its variance

    def add(self, loss: float) -> str | None:
        """A line where the loss has risen; it is said again only once it has risen further."""
        self._window.append(loss)
        if len(self._window) < self._size:
            return None
        mean, variance = float(np.mean(self._window)), float(np.var(self._window)) / self._size
        self._window.clear()
        if self._lowest is None or mean < self._lowest[0]:
            self._lowest = mean, variance
            return None
        before, its_variance = self._lowest
        if mean - before <= _ERRORS * math.sqrt(variance + its_variance):
            return None
        if mean <= _HIGHER * before:
            return None
        self._lowest = mean, variance
        return f"the loss rose from {before:.4g} to {mean:.4g} (means of {self._size} steps)"
