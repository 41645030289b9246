"""Whether a run has learned anything: what its losses and its trained values tell, in lines."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

Values = Mapping[str, np.ndarray]  # trained tensors by name

# beyond which an update does not bring a code; docs/numerics.md, "Updates"
_LIMITS = {"int8": 127, "int32": 1 << 30}
_MORE_SATURATED = 0.1  # of a tensor's codes; the largest weight of a channel is one by itself
_LEAST = 20  # losses that say anything
_HIGHER = 1.1  # times as large
_ERRORS = 3  # standard errors that a difference of means exceeds


def saturation(values: Values) -> dict[str, float]:
    """The share of each quantized tensor's codes that are at the end of their range."""
    return {
        name: float(np.mean(_at_the_end(codes)))
        for name, codes in values.items()
        if str(codes.dtype) in _LIMITS
    }


def warnings(
    losses: Sequence[float],
    evaluations: Sequence[Mapping[str, float]],
    values: Sequence[tuple[int, Values]],
    *,
    guess: float | None,
) -> list[str]:
    """A line for each sign that the network did not learn, or was destroyed.

    losses : one for each step that was done.
    evaluations : as `Training.evaluate` gives them, in order.
    values : (training steps of the run before it, trained tensors), in order; the first is that of
        the beginning.
    guess : see `Manifest.guess`.
    """
    return [
        *_of_losses(losses, guess),
        *_of_evaluations(evaluations),
        *_still(values),
        *_saturated(values[0][1], values[-1][1]),
    ]


def _of_losses(losses: Sequence[float], guess: float | None) -> Iterator[str]:
    if len(losses) < _LEAST:
        return
    count = max(_LEAST // 2, len(losses) // 10)
    first, last = np.array(losses[:count], np.float64), np.array(losses[-count:], np.float64)
    before, after = float(first.mean()), float(last.mean())
    error = math.sqrt((first.var() + last.var()) / count)
    if after > _HIGHER * before and after - before > _ERRORS * error:
        yield (
            f"the loss rose from {before:.4g} (mean of the first {count} steps) to {after:.4g} (of "
            "the last); use a smaller learning rate"
        )
    elif guess is not None and after > _HIGHER * guess and after * _HIGHER > before:
        yield (
            f"the loss does not fall and is {after:.4g} in the last {count} steps; guessing has "
            f"{guess:.4g}"
        )


def _of_evaluations(evaluations: Sequence[Mapping[str, float]]) -> Iterator[str]:
    if not evaluations:
        return
    first, last = evaluations[0], evaluations[-1]
    before, after = first.get("loss", math.inf), last.get("loss", 0.0)
    if after > _HIGHER * before:
        yield (
            f"the loss over the samples of the evaluation rose from {before:.4g} to {after:.4g}; "
            "use a smaller learning rate"
        )
    if "not_finite" in last:
        yield f"{last['not_finite']} samples of the last evaluation had no finite prediction"


def _still(values: Sequence[tuple[int, Values]]) -> Iterator[str]:
    """Nothing moves: every gradient is zero, or too small for the codes."""
    last_step, last = values[-1]
    for step, before in values[:-1]:
        if step < last_step and all(np.array_equal(before[name], last[name]) for name in last):
            yield (
                f"no trained value changed in the last {last_step - step} steps: every gradient "
                "is zero, or the learning rate too small"
            )
            return


def _saturated(before: Values, after: Values) -> Iterator[str]:
    shares = saturation(before)
    for name, share in saturation(after).items():
        if share > shares[name] + _MORE_SATURATED:
            yield (
                f"{share:.0%} of the codes of {name} are at the end of their range, "
                f"{shares[name]:.0%} before the run; use a smaller learning rate"
            )


def _at_the_end(codes: np.ndarray) -> np.ndarray:
    limit = _LIMITS[str(codes.dtype)]
    return (codes >= limit) | (codes <= -limit)
