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
_SHOWN = 8  # classes that a line names
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
    guess : see `Manifest.guess`, of the classes that are in use.
    """
    filled = saturated(values[0][1], values[-1][1])
    return [
        *_of_losses(losses, guess),
        *_of_evaluations(evaluations),
        *_still(values),
        *(f"{line}; use a smaller learning rate" for line in filled.values()),
    ]


def saturated(before: Values, after: Values) -> dict[str, str]:
    """A line for each tensor many more of whose codes are at the end of their range now."""
    shares = saturation(before)
    return {
        name: f"{share:.0%} of the codes of {name} are at the end of their range, "
        f"{shares[name]:.0%} before the run"
        for name, share in saturation(after).items()
        if share > shares[name] + _MORE_SATURATED
    }


def of_labels(classes: int, labels: np.ndarray, test_labels: np.ndarray | None) -> list[str]:
    """A line for data that cannot teach every class: too few samples, or none of a class.

    test_labels : of what the run is judged by; None where that are the same samples.
    """
    lines = []
    if len(labels) < classes:
        lines.append(f"data: {len(labels)} samples to learn {classes} classes from")
    missing = _missing(classes, labels)
    if missing:
        lines.append(f"data: no sample to learn from of {_named(missing)}")
    if test_labels is not None and (untested := _missing(classes, test_labels)):
        lines.append(f"data: no sample to test with of {_named(untested)}")
    return lines


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
        return
    middle = (len(losses) - count) // 2
    then = float(np.mean(losses[middle : middle + count], dtype=np.float64))
    if guess is not None and after > _HIGHER * guess and after * _HIGHER > then:
        yield (
            f"the loss does not fall any more and is {after:.4g} in the last {count} steps; "
            f"guessing has {guess:.4g}"
        )


def _of_evaluations(evaluations: Sequence[Mapping[str, float]]) -> Iterator[str]:
    if not evaluations:
        return
    last = evaluations[-1]
    first = next(found for found in evaluations if found.get("of") == last.get("of"))
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


def _missing(classes: int, labels: np.ndarray) -> list[int]:
    labels = labels[(labels >= 0) & (labels < classes)]  # of a map, some may not count
    return np.flatnonzero(np.bincount(labels, minlength=classes) == 0).tolist()


def _named(missing: Sequence[int]) -> str:
    shown = ", ".join(map(str, missing[:_SHOWN]))
    more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
    return f"class{'es' if len(missing) > 1 else ''} {shown}{more}"


def _at_the_end(codes: np.ndarray) -> np.ndarray:
    limit = _LIMITS[str(codes.dtype)]
    return (codes >= limit) | (codes <= -limit)
