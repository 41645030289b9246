"""Numbers that losses are computed with: `delta` of Huber's, weights of classes.

No TVM is loaded here, so that the command line can list them at once.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

NUMBER, INTEGER, NUMBERS = "number", "integer", "numbers"
_MOST_SHOWN = 60  # characters of a value


@dataclass(frozen=True)
class LossParameter:
    """A parameter, which means the same in every loss that has it.

    kind : NUMBER, INTEGER, or NUMBERS, one for each class. default : None for none.
    allowed : what a value may be, in words; `is_allowed` says it of a value of this kind.
    """

    name: str
    kind: str
    default: Any
    help: str
    allowed: str
    is_allowed: Callable[[Any], bool]

    def check(self, value: Any) -> Any:
        """`value` as plain Python; ValueError, in one line, for what it may not be."""
        if value is None and self.default is None:
            return None
        plain = _KINDS[self.kind](value)
        if plain is None or not self.is_allowed(plain):
            found = json.dumps(value, default=repr)
            found = found if len(found) <= _MOST_SHOWN else f"{found[: _MOST_SHOWN - 3]}..."
            raise ValueError(f"{self.name} is {found}; it must be {self.allowed}")
        return plain


def _number(value: Any) -> float | None:
    """As a float, if it is finite as a float32 and does not become 0."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return None
    try:
        held = struct.unpack("f", struct.pack("f", float(value)))[0]
    except OverflowError:
        return None
    return float(value) if math.isfinite(held) and (held == 0) == (value == 0) else None


def _integer(value: Any) -> int | None:
    is_one = isinstance(value, Integral) and not isinstance(value, bool)
    return int(value) if is_one and -(1 << 31) <= value < 1 << 31 else None


def _numbers(value: Any) -> tuple[float, ...] | None:
    if isinstance(value, (str, bytes, dict)) or not isinstance(value, Iterable):
        return None
    numbers = [_number(one) for one in value]
    return None if None in numbers else tuple(one for one in numbers if one is not None)


_KINDS: dict[str, Callable[[Any], Any]] = {NUMBER: _number, INTEGER: _integer, NUMBERS: _numbers}

PARAMETERS = {
    one.name: one
    for one in (
        LossParameter(
            "class_weights",
            NUMBERS,
            None,
            "A factor for the loss of each class.",
            "a number of 0 or more for each class, not all 0",
            lambda weights: len(weights) > 1 and min(weights) >= 0 and max(weights) > 0,
        ),
        LossParameter(
            "label_smoothing",
            NUMBER,
            0.0,
            "How much of a label all classes share.",
            "0 or more, and below 1",
            lambda smoothing: 0 <= smoothing < 1,
        ),
        LossParameter(
            "ignore_index",
            INTEGER,
            None,
            "Pixels of this label, which is that of no class, count nothing.",
            "an integer of 32 bits",
            lambda _: True,
        ),
        LossParameter(
            "positive_weight",
            NUMBER,
            1.0,
            "A factor for the loss of what is true.",
            "above 0, and finite, as a float32",
            lambda weight: weight > 0,
        ),
        LossParameter(
            "delta",
            NUMBER,
            1.0,
            "The difference up to which the loss is a square.",
            "above 0, and finite, as a float32",
            lambda delta: delta > 0,
        ),
    )
}
