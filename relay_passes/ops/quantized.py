"""Integer operators: int8 in, int32 accumulators, int8 out, a gradient mask where one is wanted.

Each computes ``code = round(acc * multiplier) + zero_point`` and ``y = clamp(code, low, high)``.
With ``mask`` it also gives the boolean tensor of where the gradient passes: the code lies in the
int8 range and, for a ReLU (``positive``) or a clip (``real_low``, ``real_high``, in units of the
output scale) between the layer and its quantize, inside that too.
"""

from __future__ import annotations

from tvm import relax, te, tirx

from .masks import INT8_MAX, INT8_MIN, requantized_code
from .registry import register

# Biases stay within +-BIAS_LIMIT and no accumulator has more than MAX_TAPS products of 255 * 128,
# so that their sum cannot leave int32: overflow is undefined behaviour in C. Published int8 models
# do hold biases at the ends of int32, in channels that are dead.
BIAS_LIMIT = 2**30 - 1
MAX_TAPS = 2**30 // (255 * 128)
UNBOUNDED = 1e30


def _outputs(expr):
    shape = [int(n) for n in expr.attrs["shape"]]
    codes = relax.TensorType(shape, "int8")
    if not bool(expr.attrs["mask"]):
        return codes
    return relax.TupleType([codes, relax.TensorType(shape, "bool")])


def _requantize(attrs, value, multiplier):
    """Codes, and the mask if wanted, of ``value(*index) * multiplier(*index)``."""
    shape = attrs["shape"]
    code = te.compute(
        shape,
        lambda *i: requantized_code(value(*i), multiplier(*i), attrs["zero_point"]),
        name="code",
    )
    low, high = attrs["low"], attrs["high"]
    y = te.compute(
        shape, lambda *i: te.max(te.min(code(*i), high), low).astype("int8"), name="quantized"
    )
    if not attrs["mask"]:
        return y

    def passes(*i):
        conditions = [code(*i) >= INT8_MIN, code(*i) <= INT8_MAX]
        if attrs["positive"]:
            conditions.append(value(*i) > 0)
        scaled = value(*i) * multiplier(*i)
        if attrs["real_low"] > -UNBOUNDED:
            conditions.append(scaled >= tirx.const(attrs["real_low"], "float32"))
        if attrs["real_high"] < UNBOUNDED:
            conditions.append(scaled <= tirx.const(attrs["real_high"], "float32"))
        return tirx.all(*conditions)

    return y, te.compute(shape, passes, name="mask")


@register("qconv2d", _outputs)
def _qconv2d(attrs, data, weight, bias, multiplier):
    """acc[n,o,h,w] = bias[o] + sum over c,i,j of (x - input_zero_point) * w[o,c,i,j]."""
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

    def total(n, o, h, w):
        return acc[n, o, h, w] + bias[o]

    return _requantize(attrs, _as_float(total), lambda n, o, h, w: multiplier[o])


@register("qadd", _outputs)
def _qadd(attrs, left, right):
    """(a - za) * sa/sy + (b - zb) * sb/sy."""
    scales = [tirx.const(attrs[key], "float32") for key in ("left_scale", "right_scale")]
    zeros = [attrs[key] for key in ("left_zero_point", "right_zero_point")]

    def value(*i):
        a, b = (
            (t(*i).astype("int32") - zero).astype("float32") * scale
            for t, zero, scale in zip((left, right), zeros, scales, strict=True)
        )
        return a + b

    return _requantize(attrs, value, lambda *i: tirx.const(1.0 / attrs["scale"], "float32"))


@register("qmean", _outputs)
def _qmean(attrs, data):
    """Mean over the spatial axes of NCHW: sum of (x - input_zero_point), divided while scaling."""
    _, _, height, width = (int(n) for n in data.shape)
    i, j = te.reduce_axis((0, height), "i"), te.reduce_axis((0, width), "j")

    def element(n, c, *_):
        tap = data[n, c, i, j].astype("int32") - attrs["input_zero_point"]
        return te.sum(tap, axis=[i, j])

    acc = te.compute(attrs["shape"], element, name="acc")
    factor = attrs["input_scale"] / (attrs["scale"] * height * width)
    return _requantize(attrs, _as_float(acc), lambda *i: tirx.const(factor, "float32"))


def _as_float(value):
    return lambda *i: value(*i).astype("float32")
