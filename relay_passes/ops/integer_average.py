"""Means of codes: LiteRT's average pool, and those between a dequantize and a quantize."""

from __future__ import annotations

import math

import numpy as np
from tvm import relax

from ..graph import Shape, Values, shape_of
from .codes import codes_of
from .convolution import lists_of
from .groups import Epilogue
from .masks import INT8_MAX, INT8_MIN
from .pooling import covering_pads, window_taps
from .quantized import requantization
from .registry import Attributes, call


def average_of_codes(pool: relax.Call) -> relax.Call:
    """What ``avg_pool2d(codes)`` of int8 is in LiteRT: means of codes, half away from zero."""
    taps, geometry = _windows(pool, shape_of(pool))
    quotient = {"input_zero_point": 0, "zero_point": 0, "low": INT8_MIN, "high": INT8_MAX}
    quotient |= {"multiplier": math.prod(int(t[0]) for t in taps), "shift": 0}
    unbounded = {"activation": False, "acc_low": 0, "acc_high": 0, "mask": False}
    return call(
        "qavg_pool2d",
        pool.args[0],
        *_counts(taps),
        **{"rounding": "quotient away", "shape": list(shape_of(pool))},
        **geometry,
        **quotient,
        **unbounded,
    )


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
    taps, geometry = _windows(pool, shape_of(real))
    counts = _counts(taps)
    if counts and (epilogue.active or data[1:] != (epilogue.scale, epilogue.zero_point)):
        return None, []  # each count of taps would have a multiplier and bounds of its own
    count = math.prod(int(t[0]) for t in taps)
    coding = _coding(data[1], data[2], count, shape_of(real), epilogue)
    coding |= {"rounding": "quotient even"} if counts else {}
    return call("qavg_pool2d", data[0], *counts, **geometry, **coding), []


def _windows(pool: relax.Call, result: Shape) -> tuple[list[np.ndarray], Attributes]:
    """How many taps count of each row and column of windows, and the pool's geometry."""
    source = shape_of(pool.args[0])
    geometry = lists_of(pool.attrs, "pool_size", "strides", "dilation")
    geometry["padding"] = covering_pads(pool.attrs, source, result)
    taps = window_taps(pool.attrs, source, result)
    return [np.maximum(along, 1).astype(np.int32) for along in taps], geometry


def _counts(taps: list[np.ndarray]) -> list[relax.Expr]:
    """`taps` as operands, none where all windows have as many."""
    uniform = all(np.all(along == along[0]) for along in taps)
    return [] if uniform else [relax.const(along) for along in taps]


def _coding(
    scale: float, zero_point: int, count: int, shape: Shape, epilogue: Epilogue
) -> Attributes:
    """Attributes of the operator that makes codes of sums of `count` codes.

    A mean in the coding of what it is of is a quotient of integers: a tie is one.
    """
    low, high = epilogue.bounds(scale / count)
    attributes = {
        **{"input_zero_point": zero_point, "activation": epilogue.active},
        **{"acc_low": int(low), "acc_high": int(high)},
        **epilogue.attributes(shape),
    }
    exact = count & (count - 1) == 0  # as a multiplier and a shift, and without a division
    if (scale, zero_point) == (epilogue.scale, epilogue.zero_point) and not exact:
        return attributes | {"multiplier": count, "shift": 0, "rounding": "quotient even"}
    multiplier, shift, rounding = requantization(np.array([scale / count / epilogue.scale]))
    multiplication = {"multiplier": int(multiplier[0]), "shift": int(shift[0])}
    return attributes | multiplication | {"rounding": rounding}
