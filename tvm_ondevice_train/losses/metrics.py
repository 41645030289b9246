"""How right outputs are, by the kind of their targets.

Outputs and targets are (N, ...) of any shapes with the same number of elements a sample, but that
a label is one for all outputs of its pixel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from .targets import LABEL, LABEL_MAP, PROBABILITIES, VALUES


def found_labels(outputs: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(class of the largest output, label) of each label that counts, in one dimension.

    Those of no class do not count. The class is -1 where a sample's outputs are not finite.
    """
    pixels = targets[0].size
    scores = outputs.reshape(len(outputs), -1, pixels)
    labels = targets.reshape(len(targets), pixels)
    counts = (labels >= 0) & (labels < scores.shape[1])
    found = np.where(_finite(outputs)[:, None], scores.argmax(axis=1), -1)
    return found[counts], labels[counts]


def _labels(outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """The share of labels that have the largest output."""
    found, labels = found_labels(outputs, targets)
    return {"accuracy": float(np.mean(found == labels))} if len(labels) else {}


def _decisions(outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """The share of logits that are on the target's side of 0."""
    wanted = targets.reshape(outputs.shape) > 0.5
    right = ((outputs > 0) == wanted).reshape(len(outputs), -1) & _finite(outputs)[:, None]
    return {"accuracy": float(np.mean(right))}


def _errors(outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    finite = _finite(outputs)
    if not finite.any():
        return {}
    return {"error": float(np.mean((outputs - targets.reshape(outputs.shape))[finite] ** 2))}


def _finite(outputs: np.ndarray) -> np.ndarray:
    """Whether each sample's output is finite."""
    return np.isfinite(outputs.reshape(len(outputs), -1)).all(axis=1)


METRICS: Mapping[str, Callable[[np.ndarray, np.ndarray], dict[str, float]]] = {
    LABEL: _labels,
    LABEL_MAP: _labels,
    PROBABILITIES: _decisions,
    VALUES: _errors,
}
