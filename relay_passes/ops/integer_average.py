"""Means of codes: spatial means and average pools between a dequantize and a quantize."""

from __future__ import annotations

import math

import numpy as np
from tvm import relax

from ..graph import Shape, Values, shape_of
from .codes import codes_of
from .convolution import lists_of
from .groups import AWAY, EVEN, Epilogue
from .pooling import covering_pads, window_taps
from .quantized import requantization
from .registry import Attributes, call

_TIES = "odt.average_ties"


def average_ties(function: relax.Function) -> str:
    """How means of codes round that lie between two codes: `EVEN`, or `AWAY`."""
    return str((function.attrs or {}).get(_TIES, EVEN))


def rounding_away(function: relax.Function) -> relax.Function:
    """`function`, whose average pools round as LiteRT's: the mean of codes half away from zero."""
    return function.with_attr(_TIES, AWAY)


def integer_mean(
    values: Values, real: relax.Var, epilogue: Epilogue
) -> tuple[relax.Call | None, list[relax.Var]]:
    """``quantize(mean(x, [2, 3]))``."""
    mean = values[real]
    data = codes_of(values.get(mean.args[0]))
    axes = [int(a) for a in mean.attrs.axis or ()]
    if data is None or axes != [2, 3] or not mean.attrs.keepdims:
        return None, []
    count = math.prod(shape_of(mean.args[0])[2:])
    return call("qmean", data[0], **_coding(data[1], data[2], count, shape_of(real), epilogue)), []


def integer_avg_pool2d(
    values: Values, real: relax.Var, epilogue: Epilogue
) -> tuple[relax.Call | None, list[relax.Var]]:
    """``quantize(avg_pool2d(x))``."""
    pool = values[real]
    data = codes_of(values.get(pool.args[0]))
    if data is None or str(pool.attrs.layout) != "NCHW":
        return None, []
    shapes = shape_of(pool.args[0]), shape_of(real)
    by_axis = [np.maximum(taps, 1) for taps in window_taps(pool.attrs, *shapes)]
    uniform = all(len(set(taps)) == 1 for taps in by_axis)
    same = data[1:] == (epilogue.scale, epilogue.zero_point)
    if not uniform and (epilogue.active or not same):
        return None, []  # each count of taps would have a multiplier and bounds of its own
    counts = () if uniform else (relax.const(np.asarray(taps, np.int32)) for taps in by_axis)
    coding = _coding(
        data[1], data[2], math.prod(int(taps[0]) for taps in by_axis), shapes[1], epilogue
    )
    geometry = lists_of(pool.attrs, "pool_size", "strides", "dilation")
    geometry["padding"] = covering_pads(pool.attrs, *shapes)
    return call("qavg_pool2d", data[0], *counts, **geometry, **coding), []


def _coding(
    scale: float, zero_point: int, count: int, shape: Shape, epilogue: Epilogue
) -> Attributes:
    """Attributes of the operator that makes codes of sums of `count` codes.

    A mean in the coding of what it is of is a quotient of integers: a tie is one. LiteRT rounds
    the mean of the codes as they are, others that of the codes less their zero point.
    """
    low, high = epilogue.bounds(scale / count)
    attributes = {
        **{"input_zero_point": zero_point, "activation": epilogue.active},
        **{"acc_low": int(low), "acc_high": int(high)},
        **epilogue.attributes(shape),
    }
    if (scale, zero_point) != (epilogue.scale, epilogue.zero_point):
        multiplier, shift, rounding = requantization(np.array([scale / count / epilogue.scale]))
        return attributes | {
            **{"multiplier": int(multiplier[0]), "shift": int(shift[0]), "rounding": rounding},
        }
    attributes |= {"multiplier": count, "shift": 0, "rounding": f"quotient {epilogue.ties}"}
    if epilogue.ties == AWAY:
        moved = zero_point * count if epilogue.active else 0
        attributes |= {"input_zero_point": 0, "zero_point": 0}
        attributes |= {"acc_low": int(low) + moved, "acc_high": int(high) + moved}
    return attributes
