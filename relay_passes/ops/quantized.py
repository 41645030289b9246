"""Integer operators: int8 in, int32 accumulators, int8 out, a gradient mask where one is wanted.

Each computes ``code = round(acc * multiplier / 2**shift) + zero_point`` (rounded half to even, see
runtime/c/include/odt_requantize.h) and ``y = clamp(code, low, high)``. With ``mask`` it also gives
the boolean tensor of where the gradient passes: the code lies in the int8 range and, for a ReLU or
a clip between the layer and its quantize, the accumulator inside the activation's bounds.
"""

from __future__ import annotations

import numpy as np
from tvm import relax, te, tirx

from .masks import INT8_MAX, INT8_MIN
from .registry import register

# Biases stay within +-BIAS_LIMIT and no accumulator has more than MAX_TAPS products of 255 * 128,
# so that their sum cannot leave int32: overflow is undefined behaviour in C. Published int8 models
# do hold biases at the ends of int32, in channels that are dead.
INT32_MAX = 2**31 - 1
BIAS_LIMIT = 2**30 - 1
MAX_TAPS = 2**30 // (255 * 128)


def fixed_point(factor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int32 multiplier in [2^30, 2^31) and shift with ``factor = multiplier / 2**shift``.

    Factors below 2^-31 cannot move any int32 accumulator by half a code; they become 0.
    """
    mantissa, exponent = np.frexp(np.asarray(factor, np.float64))
    multiplier = np.rint(np.ldexp(mantissa, 31)).astype(np.int64)
    carried = multiplier == 2**31
    multiplier[carried] //= 2
    shift = 31 - exponent - carried
    tiny = shift > 62
    multiplier[tiny] = 0
    return multiplier.astype(np.int32), np.clip(shift, 1, 62).astype(np.int32)


def _outputs(expr):
    shape = [int(n) for n in expr.attrs["shape"]]
    codes = relax.TensorType(shape, "int8")
    if not bool(expr.attrs["mask"]):
        return codes
    return relax.TupleType([codes, relax.TensorType(shape, "bool")])


def _finish(attrs, rounded, inside):
    """Codes, and the mask if wanted.

    ``rounded(*i)`` is the code less the zero point; ``inside(*i)`` are the activation's conditions.
    """
    shape = attrs["shape"]
    code = te.compute(shape, lambda *i: rounded(*i) + attrs["zero_point"], name="code")
    low, high = attrs["low"], attrs["high"]
    y = te.compute(
        shape, lambda *i: te.max(te.min(code(*i), high), low).astype("int8"), name="quantized"
    )
    if not attrs["mask"]:
        return y

    def passes(*i):
        return tirx.all(code(*i) >= INT8_MIN, code(*i) <= INT8_MAX, *inside(*i))

    return y, te.compute(shape, passes, name="mask")


def _requantize(attrs, acc, multiplier, shift):
    function = "odt_requantize_wide" if attrs["wide"] else "odt_requantize"
    return tirx.call_pure_extern("int32", function, acc, multiplier, shift)


@register("qconv2d", _outputs)
def _qconv2d(attrs, data, weight, bias, multiplier, shift, *bounds):
    """acc[n,o,h,w] = bias[o] + sum over c,i,j of (x - input_zero_point) * w[o,c,i,j].

    multiplier, shift : int32, one for each output channel.
    bounds : for an activation the least and the greatest accumulator that it passes.
    """
    _, _, height, width = (int(n) for n in data.shape)
    outputs, inputs_per_group, kernel_h, kernel_w = (int(n) for n in weight.shape)
    outputs_per_group = outputs // attrs["groups"]
    (stride_h, stride_w), (dilation_h, dilation_w) = attrs["strides"], attrs["dilation"]
    top, left, bottom, right = attrs["padding"]
    c = te.reduce_axis((0, inputs_per_group), "c")
    i = te.reduce_axis((0, kernel_h), "i")
    j = te.reduce_axis((0, kernel_w), "j")

    def element(n, o, h, w):
        row, column = h * stride_h + i * dilation_h - top, w * stride_w + j * dilation_w - left
        channel = o // outputs_per_group * inputs_per_group + c
        tap = data[n, channel, row, column].astype("int32") - attrs["input_zero_point"]
        if top or left or bottom or right:
            inside = tirx.all(row >= 0, row < height, column >= 0, column < width)
            tap = tirx.if_then_else(inside, tap, 0)
        return te.sum(tap * weight[o, c, i, j].astype("int32"), axis=[c, i, j])

    acc = te.compute(attrs["shape"], element, name="acc")

    def rounded(n, o, h, w):
        return _requantize(attrs, acc[n, o, h, w] + bias[o], multiplier[o], shift[o])

    def inside(n, o, h, w):
        total = acc[n, o, h, w] + bias[o]
        return [total >= bounds[0][o], total <= bounds[1][o]] if bounds else []

    return _finish(attrs, rounded, inside)


@register("qadd", _outputs)
def _qadd(attrs, left, right):
    """((a - za) * left_multiplier + (b - zb) * right_multiplier) / 2**shift."""

    def scaled_sum(*i):
        a, b = (
            t(*i).astype("int32") - attrs[f"{side}_zero_point"]
            for t, side in ((left, "left"), (right, "right"))
        )
        multipliers = [attrs["left_multiplier"], attrs["right_multiplier"]]
        return tirx.call_pure_extern(
            "int64", "odt_scaled_sum", a, multipliers[0], b, multipliers[1]
        )

    total = te.compute(attrs["shape"], scaled_sum, name="total")

    def rounded(*i):
        return tirx.call_pure_extern(
            "int32",
            "odt_narrow",
            tirx.call_pure_extern("int64", "odt_shift_round", total(*i), attrs["shift"]),
        )

    def inside(*i):
        if not attrs["activation"]:
            return []
        bounds = [tirx.const(attrs[key], "int64") for key in ("acc_low", "acc_high")]
        return [total(*i) >= bounds[0], total(*i) <= bounds[1]]

    return _finish(attrs, rounded, inside)


@register("qmean", _outputs)
def _qmean(attrs, data):
    """Mean over the spatial axes of NCHW: sum of (x - input_zero_point), divided while scaling."""
    _, _, height, width = (int(n) for n in data.shape)
    i, j = te.reduce_axis((0, height), "i"), te.reduce_axis((0, width), "j")

    def element(n, c, *_):
        tap = data[n, c, i, j].astype("int32") - attrs["input_zero_point"]
        return te.sum(tap, axis=[i, j])

    acc = te.compute(attrs["shape"], element, name="acc")

    def rounded(*i):
        return _requantize(attrs, acc(*i), attrs["multiplier"], attrs["shift"])

    def inside(*i):
        if not attrs["activation"]:
            return []
        return [acc(*i) >= attrs["acc_low"], acc(*i) <= attrs["acc_high"]]

    return _finish(attrs, rounded, inside)
