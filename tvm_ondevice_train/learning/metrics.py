"""How right outputs are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..losses.metrics import found_labels


def confusion_of(classes: int, outputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How often labels of a class (rows) were taken for one (columns); int64.

    outputs (N, elements), labels : as `losses.metrics.found_labels` has them; what has no finite
        output was taken for none.
    """
    taken, wanted = found_labels(outputs, labels)
    finite = taken >= 0
    found = np.zeros((classes, classes), np.int64)
    np.add.at(found, (wanted[finite], taken[finite]), 1)
    return found


def per_class(confusion: Sequence[Sequence[int]], counts: Sequence[int]) -> list[dict]:
    """For each class its count, recall and precision; None where that is of no sample.

    counts : of each class's samples, those without a finite prediction among them.
    """
    matrix = np.asarray(confusion)
    rows = zip(counts, np.diagonal(matrix).tolist(), matrix.sum(axis=0).tolist(), strict=True)
    return [
        {
            "class": label,
            "count": int(count),
            "recall": right / count if count else None,
            "precision": right / taken if taken else None,
        }
        for label, (count, right, taken) in enumerate(rows)
    ]


def epoch_losses(
    losses: Sequence[float], diverged: Sequence[int], first: int, samples: int
) -> list[dict]:
    """The mean loss of each epoch that a run was in, over the steps of it that it did.

    losses : of the steps after `first` that are not in `diverged`. Epochs count from 1.
    """
    lost = set(diverged)
    steps = (s for s in range(first + 1, first + len(losses) + len(lost) + 1) if s not in lost)
    epochs = np.fromiter(((step - 1) // samples for step in steps), np.int64, len(losses))
    values = np.asarray(losses, np.float64)
    return [
        {
            "epoch": int(epoch) + 1,
            "steps": int(np.sum(epochs == epoch)),
            "loss": float(values[epochs == epoch].mean()),
        }
        for epoch in np.unique(epochs)
    ]
