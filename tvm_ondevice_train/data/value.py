"""Samples and targets of a run, as a value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPLITS = (TRAIN, VALIDATION, TEST)


@dataclass(frozen=True)
class Data:
    """Samples and targets as the device reads them; what a data set lacks is None.

    x_val, y_val : what a run is judged by on its way. x_test, y_test : and what it is in the end.
    class_names : in the order of the labels; empty where the data has no names for them.
    augment : (encoded sample, seed and step of the run) -> the encoded sample that the step trains
        on; None where every step trains on the sample as it is.
    """

    x: np.ndarray
    y: np.ndarray
    x_test: np.ndarray | None = None
    y_test: np.ndarray | None = None
    x_val: np.ndarray | None = None
    y_val: np.ndarray | None = None
    class_names: tuple[str, ...] = ()
    augment: Callable[[np.ndarray, int, int], np.ndarray] | None = None

    def samples(self, *wanted: str) -> tuple[str, np.ndarray, np.ndarray]:
        """Name, samples, targets of the first set that is there of those wanted; else "training".

        wanted : "validation", "test".
        """
        sets = {VALIDATION: (self.x_val, self.y_val), TEST: (self.x_test, self.y_test)}
        for name in wanted:
            x, y = sets[name]
            if x is not None and y is not None:
                return name, x, y
        return "training", self.x, self.y

    def training_sample(self, index: int, seed: int, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Sample and target number `index`, as step `step` of a run with `seed` has them."""
        x = self.x[index]
        return (x if self.augment is None else self.augment(x, seed, step)), self.y[index]
