"""Kinds of targets: what a sample is trained towards.

LABEL : the number of a class, int32 of shape (1,), for an output of shape (1, classes).
LABEL_MAP : one for each pixel, int32 of shape (1, H, W), for an output of shape (1, classes, H, W).
VALUES : float32 of the output's shape.
PROBABILITIES : the same, each from 0 to 1.
"""

from __future__ import annotations

LABEL, LABEL_MAP, VALUES, PROBABILITIES = "label", "label_map", "values", "probabilities"
KINDS = (LABEL, LABEL_MAP, VALUES, PROBABILITIES)


def classes_of(kind: str, output_shape: tuple[int, ...]) -> int | None:
    """How many classes an output of that shape tells apart; None where targets are no labels."""
    if kind not in (LABEL, LABEL_MAP):
        return None
    return output_shape[-1 if kind == LABEL else 1]
