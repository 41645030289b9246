"""Which part of a parameter lies in SRAM and trains."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Slice:
    """Which elements of a parameter, in the model's own numbering, a trained tensor holds.

    `shape` is the whole parameter's. ``stored[i, j] = whole[rows[i], columns[j]]``; None for an
    axis that is whole and in order.
    """

    shape: tuple[int, ...]
    rows: np.ndarray | None = None
    columns: np.ndarray | None = None

    @property
    def is_whole(self) -> bool:
        """Whether the stored tensor is the parameter itself."""
        return self.rows is None and self.columns is None

    def take(self, whole: np.ndarray) -> np.ndarray:
        """The stored tensor: a copy of the elements of `whole` that it holds."""
        return np.asarray(whole)[self._index()]

    def put(self, whole: np.ndarray, stored: np.ndarray) -> np.ndarray:
        """A copy of `whole` with the elements of `stored`."""
        result = np.array(whole)
        result[self._index()] = stored
        return result

    def _index(self) -> tuple[np.ndarray, ...]:
        axes = zip(self.shape, (self.rows, self.columns), strict=False)
        return np.ix_(*(np.arange(n) if chosen is None else chosen for n, chosen in axes))
