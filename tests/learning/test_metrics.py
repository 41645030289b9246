"""Figures of classes beside scikit-learn's, means of epochs beside a loop."""

import numpy as np
import pytest
from sklearn import metrics as sk

from tvm_ondevice_train.learning.metrics import confusion_of, epoch_losses, per_class

RANDOM = np.random.default_rng(0)
LABELS = RANDOM.integers(0, 4, 50)
OUTPUTS = RANDOM.normal(size=(50, 5)).astype(np.float32) + 2 * np.eye(5, dtype=np.float32)[LABELS]


def test_confusion_recall_and_precision_are_scikit_learns():
    taken, confusion = OUTPUTS.argmax(axis=1), confusion_of(5, OUTPUTS, LABELS)
    assert (confusion == sk.confusion_matrix(LABELS, taken, labels=range(5))).all()
    precision, recall, _, counts = sk.precision_recall_fscore_support(
        LABELS, taken, labels=range(5), zero_division=np.nan
    )
    rows = per_class(confusion.tolist(), np.bincount(LABELS, minlength=5).tolist())
    assert [row["count"] for row in rows] == counts.tolist()
    for row, r, p in zip(rows, recall, precision, strict=True):
        assert row["recall"] == (None if np.isnan(r) else pytest.approx(r))
        assert row["precision"] == (None if np.isnan(p) else pytest.approx(p))
    assert rows[4]["count"] == 0 and rows[4]["recall"] is None


def test_samples_without_a_prediction_are_not_recognized():
    rows = per_class([[1, 0], [0, 2]], [4, 2])
    assert [row["recall"] for row in rows] == [0.25, 1.0]


@pytest.mark.parametrize(("first", "diverged"), [(0, []), (7, [8, 12]), (4, [5, 6])])
def test_means_of_epochs(first, diverged):
    losses = RANDOM.normal(size=11).tolist()
    left, expected = iter(losses), {}
    for step in range(first + 1, first + 12 + len(diverged)):
        if step not in diverged:
            expected.setdefault((step - 1) // 5 + 1, []).append(next(left))
    assert epoch_losses(losses, diverged, first, 5) == [
        {"epoch": epoch, "steps": len(part), "loss": pytest.approx(np.mean(part))}
        for epoch, part in expected.items()
    ]
