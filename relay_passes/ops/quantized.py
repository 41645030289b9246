"""Integer operators: int8 in, int32 accumulators, int8 out, a gradient mask where one is wanted.

Each computes ``code = round(acc * multiplier / 2**shift) + zero_point`` (rounded half to even, see
runtime/c/include/odt_requantize.h) and ``y = clamp(code, low, high)``. With ``mask`` it also gives
the boolean tensor of where the gradient passes: the code lies in the int8 range and, for a ReLU or
a clip between the layer and its quantize, the accumulator inside the activation's bounds.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from tvm import relax, te

from ..graph import shape_of
from ..tir import Scalar, tirx
from . import numbering
from .convolution import GEOMETRY, channel_multiplier, macs_of_convolution
from .masks import INT8_MAX, INT8_MIN
from .pooling import average_of_codes_gradient
from .registry import Attributes, Outputs, register
from .runtime_functions import (
    odt_clamp8,
    odt_divide_away,
    odt_divide_even,
    odt_is_int8,
    odt_narrow,
    odt_requantize,
    odt_requantize_high,
    odt_requantize_wide,
    odt_scaled_sum,
    odt_scaled_sum_narrow,
    odt_shift_round,
)
from .staging import WIDENED, columns_of, planes_of, taps_of, widen, window_tap
from .sum_in_32_bits import SumIn32Bits, sum_in_32_bits

# Biases stay within +-BIAS_LIMIT and no accumulator has more than `most_taps` products, so that
# their sum cannot leave int32: overflow is undefined behaviour in C. Published int8 models do hold
# biases at the ends of int32, in channels that are dead.
INT32_MAX = 2**31 - 1
BIAS_LIMIT = 2**30 - 1
MAX_SHIFT = 54  # leaves odt_requantize_tile room for the rounding beside the product
Code = Callable[..., tirx.Expr]  # of an element, not clamped
# attributes: of the result, see `groups.Epilogue`, and the accumulators that an activation passes
_RESULT = ("shape", "zero_point", "low", "high", "mask")
_ACTIVATION = ("activation", "acc_low", "acc_high")
# further ways of rounding, of a mean whose codes have the scale and zero point of what it is of
QUOTIENTS = {"quotient even": odt_divide_even, "quotient away": odt_divide_away}


def fixed_point(factor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int32 multiplier and shift with ``factor = multiplier / 2**shift``, to 31 bits.

    Factors below 2^-23, of channels that are dead, have fewer bits: shifts end at MAX_SHIFT, and no
    int32 accumulator is wrong by more than 2^-24 of a code.
    """
    factor = np.asarray(factor, np.float64)
    _, exponent = np.frexp(factor)
    shift = np.minimum(31 - exponent, MAX_SHIFT)
    multiplier = np.rint(np.ldexp(factor, shift)).astype(np.int64)
    carried = multiplier == 2**31
    multiplier[carried] //= 2
    return multiplier.astype(np.int32), np.maximum(shift - carried, 1).astype(np.int32)


def requantization(factor: np.ndarray) -> tuple[np.ndarray, np.ndarray, str]:
    """Multiplier, shift and ``rounding``, the cheapest way of rounding that is exact for `factor`.

    high : by the upper half of the product. Every shift is at least 33, and counted from there,
        and no code is a tie: for a tie ``acc * multiplier`` is an odd multiple of
        ``2**(shift - 1)``, less than 512 of them within int8 whatever the zero point, so that the
        odd part of the multiplier is less than 512 too; and a product below 2**53 is none.
    even : any factor below 1.
    wide : any factor.
    """
    multiplier, shift = fixed_point(factor)
    if np.any(shift < 31):
        return multiplier, shift, "wide"
    odd_part = multiplier // np.maximum(multiplier & -multiplier, 1)
    untied = (odd_part >= 512) | (multiplier < 2**22)
    if np.all((shift >= 33) & untied | (multiplier == 0)):
        return multiplier, np.maximum(shift - 33, 0), "high"
    return multiplier, shift, "even"


def _outputs(expr: relax.Call) -> relax.Type:
    shape = [int(n) for n in expr.attrs["shape"]]
    codes = relax.TensorType(shape, "int8")
    if not bool(expr.attrs["mask"]):
        return codes
    return relax.TupleType([codes, relax.TensorType(shape, "bool")])


def _finish(attrs: Attributes, rounded: Code, inside: Callable[..., list[tirx.Expr]]) -> Outputs:
    """Codes, and the mask if wanted.

    ``rounded(*i)`` is the code, not clamped; ``inside(*i)`` are the activation's conditions.
    """
    shape = attrs["shape"]
    code = te.compute(shape, rounded, name="code")
    low, high = attrs["low"], attrs["high"]

    def clamped(*i: tirx.Var) -> tirx.Expr:
        if (low, high) == (INT8_MIN, INT8_MAX):
            return odt_clamp8(code(*i)).astype("int8")
        return te.max(te.min(code(*i), high), low).astype("int8")

    y = te.compute(shape, clamped, name="quantized")
    if not attrs["mask"]:
        return y

    def passes(*i: tirx.Var) -> tirx.Expr:
        return tirx.all(odt_is_int8(code(*i)), *inside(*i))

    return y, te.compute(shape, passes, name="mask")


def _requantize(
    attrs: Attributes, acc: Scalar, multiplier: Scalar | int, shift: Scalar | int
) -> tirx.Expr:
    """The code of an accumulator, not clamped; for a quotient it is divided by the multiplier."""
    operands, zero_point = (acc, multiplier, shift), attrs["zero_point"]
    if attrs["rounding"] in QUOTIENTS:
        return QUOTIENTS[attrs["rounding"]](acc, multiplier) + zero_point
    if attrs["rounding"] == "high":
        offset = 2 * zero_point + 1
        return odt_requantize_high(*operands, offset)
    function = {"even": odt_requantize, "wide": odt_requantize_wide}[attrs["rounding"]]
    return function(*operands) + zero_point


def _macs(expr: relax.Call) -> int:
    shape = [int(n) for n in expr.attrs["shape"]]
    return macs_of_convolution(shape, shape_of(expr.args[1]))


def most_taps(weight_zero_point: int) -> int:
    """How many products of an accumulator, each of 9 bits by a weight, lie within +-2^30."""
    return 2**30 // (255 * (128 + abs(weight_zero_point)))


@register(
    "qconv2d",
    _outputs,
    ("input_zero_point", "weight_zero_point", "rounding", *GEOMETRY, *_RESULT),
    macs=_macs,
)
def _qconv2d(
    attrs: Attributes,
    data: te.Tensor,
    weight: te.Tensor,
    bias: te.Tensor,
    multiplier: te.Tensor,
    shift: te.Tensor,
    least: te.Tensor | None = None,
    greatest: te.Tensor | None = None,
) -> Outputs:
    """acc[n,o,h,w] = bias[o] + sum over c,i,j of (x - input_zero_point) * w'[o,c,i,j].

    ``w' = w - weight_zero_point``, which is 0 but for weights that were quantized asymmetrically.
    multiplier, shift : int32, one for each output channel.
    least, greatest : for an activation the accumulators that it passes.
    """
    depthwise = channel_multiplier(weight.shape, attrs["groups"]) is not None
    acc = (_depthwise if depthwise else _dense)(attrs, data, weight)
    biased = te.compute(attrs["shape"], lambda n, o, h, w: acc(n, o, h, w) + bias[o], name="biased")

    def rounded(n: tirx.Var, o: tirx.Var, h: tirx.Var, w: tirx.Var) -> tirx.Expr:
        return _requantize(attrs, biased[n, o, h, w], multiplier[o], shift[o])

    def inside(*i: tirx.Var) -> list[tirx.Expr]:
        if least is None or greatest is None:
            return []
        return [biased(*i) >= least[i[1]], biased(*i) <= greatest[i[1]]]

    return _finish(attrs, rounded, inside)


def _dense(attrs: Attributes, data: te.Tensor, weight: te.Tensor) -> Callable[..., Scalar]:
    """Accumulators (n, o, h, w) from columns: each input channel of a group meets each output."""
    outputs, *kernel = (int(n) for n in weight.shape)
    batch, _, out_h, out_w = attrs["shape"]
    columns = columns_of(data, attrs["input_zero_point"], kernel, attrs, (out_h, out_w))
    outputs_per_group = outputs // attrs["groups"]
    centre = attrs["weight_zero_point"]
    widened = te.compute(weight.shape, lambda *at: widen(weight[at], centre), name=WIDENED)
    taps = [te.reduce_axis((0, n), name) for n, name in zip(kernel, "cij", strict=True)]

    def element(n: tirx.Var, o: tirx.Var, p: tirx.Var) -> tirx.Expr:
        column = columns[(n, o // outputs_per_group, p, *taps)]
        return te.sum(column.astype("int32") * widened[(o, *taps)].astype("int32"), axis=taps)

    acc = te.compute([batch, outputs, out_h * out_w], element, name="acc")
    return lambda n, o, h, w: acc[n, o, h * out_w + w]


def _depthwise(attrs: Attributes, data: te.Tensor, weight: te.Tensor) -> te.Tensor:
    """Accumulators (n, o, h, w) of a convolution with one input channel a group."""
    _, _, kernel_h, kernel_w = (int(n) for n in weight.shape)
    (stride_h, stride_w), (dilation_h, dilation_w) = attrs["strides"], attrs["dilation"]
    planes = planes_of(
        data, attrs["input_zero_point"], (kernel_h, kernel_w), attrs, attrs["shape"][2:]
    )
    filters = taps_of(weight, attrs["weight_zero_point"])
    outputs_per_group = int(weight.shape[0]) // attrs["groups"]
    i, j = te.reduce_axis((0, kernel_h), "i"), te.reduce_axis((0, kernel_w), "j")

    def element(n: tirx.Var, o: tirx.Var, h: tirx.Var, w: tirx.Var) -> tirx.Expr:
        row, column = h * stride_h + i * dilation_h, w * stride_w + j * dilation_w
        tap = planes[n, o // outputs_per_group, row, column]
        return te.sum(tap.astype("int32") * filters[o, i, j].astype("int32"), axis=[i, j])

    return te.compute(attrs["shape"], element, name="acc")


@register(
    "qadd",
    _outputs,
    (
        *("left_multiplier", "left_zero_point", "right_multiplier", "right_zero_point", "shift"),
        *_ACTIVATION,
        *_RESULT,
    ),
)
def _qadd(attrs: Attributes, left: te.Tensor, right: te.Tensor) -> Outputs:
    """((a - za) * left_multiplier + (b - zb) * right_multiplier) / 2**shift."""
    multipliers = attrs["left_multiplier"], attrs["right_multiplier"]
    zero_points = attrs["left_zero_point"], attrs["right_zero_point"], attrs["zero_point"]
    bounds = (attrs["acc_low"], attrs["acc_high"]) if attrs["activation"] else None
    short = sum_in_32_bits(*multipliers, attrs["shift"], zero_points, bounds)
    if short is None:
        (total, rounded), limits = _exact_sum(attrs, left, right), bounds
    else:
        total, rounded = _short_sum(attrs, left, right, short)
        limits = bounds and (short.low, short.high)

    def inside(*i: tirx.Var) -> list[tirx.Expr]:
        if limits is None:
            return []
        low, high = (tirx.const(limit, total.dtype) for limit in limits)
        return [total(*i) >= low, total(*i) <= high]

    return _finish(attrs, rounded, inside)


def _short_sum(
    attrs: Attributes, left: te.Tensor, right: te.Tensor, short: SumIn32Bits
) -> tuple[te.Tensor, Code]:
    """The sum of `qadd` in int32."""

    def element(*i: tirx.Var) -> tirx.Expr:
        a, b = (t(*i).astype("int32") for t in (left, right))
        return odt_scaled_sum_narrow(a, short.left, b, short.right, short.offset)

    total = te.compute(attrs["shape"], element, name="total")
    return total, lambda *i: total(*i) >> short.shift


def _exact_sum(attrs: Attributes, left: te.Tensor, right: te.Tensor) -> tuple[te.Tensor, Code]:
    """The sum of `qadd` in int64."""

    def element(*i: tirx.Var) -> tirx.Expr:
        a = left(*i).astype("int32") - attrs["left_zero_point"]
        b = right(*i).astype("int32") - attrs["right_zero_point"]
        return odt_scaled_sum(a, attrs["left_multiplier"], b, attrs["right_multiplier"])

    total = te.compute(attrs["shape"], element, name="total")

    def rounded(*i: tirx.Var) -> tirx.Expr:
        return odt_narrow(odt_shift_round(total(*i), attrs["shift"])) + attrs["zero_point"]

    return total, rounded


@register(
    "qmean",
    _outputs,
    ("input_zero_point", "multiplier", "shift", "rounding", *_ACTIVATION, *_RESULT),
)
def _qmean(attrs: Attributes, data: te.Tensor) -> Outputs:
    """Mean over the spatial axes of NCHW: sum of (x - input_zero_point), divided while scaling."""
    _, _, height, width = (int(n) for n in data.shape)
    i, j = te.reduce_axis((0, height), "i"), te.reduce_axis((0, width), "j")

    def element(n: tirx.Var, c: tirx.Var, *_: tirx.Var) -> tirx.Expr:
        tap = data[n, c, i, j].astype("int32") - attrs["input_zero_point"]
        return te.sum(tap, axis=[i, j])

    acc = te.compute(attrs["shape"], element, name="acc")
    return _average(attrs, acc, lambda *_: attrs["multiplier"])


@register(
    "qavg_pool2d",
    _outputs,
    (
        *("pool_size", "strides", "padding", "dilation"),
        *("input_zero_point", "multiplier", "shift", "rounding"),
        *_ACTIVATION,
        *_RESULT,
    ),
    gradient=average_of_codes_gradient,
    channels=numbering.same,
)
def _qavg_pool2d(
    attrs: Attributes,
    data: te.Tensor,
    row_taps: te.Tensor | None = None,
    column_taps: te.Tensor | None = None,
) -> Outputs:
    """Mean over windows of NCHW, as `qmean`; the one integer operator that model files have.

    row_taps, column_taps : int32, for a quotient whose windows differ: how many taps of each row
        and column of windows count; the multiplier is then of no meaning.
    """
    i, j = (te.reduce_axis((0, n), name) for n, name in zip(attrs["pool_size"], "ij", strict=True))

    def centred(code: tirx.Expr) -> tirx.Expr:
        return code.astype("int32") - attrs["input_zero_point"]

    acc = te.compute(
        attrs["shape"],
        lambda *at: te.sum(window_tap(data, attrs, at, (i, j), centred), axis=[i, j]),
        name="acc",
    )

    def divisor(_n: tirx.Var, _c: tirx.Var, h: tirx.Var, w: tirx.Var) -> Scalar | int:
        if row_taps is None or column_taps is None:
            return attrs["multiplier"]
        return row_taps[h] * column_taps[w]

    return _average(attrs, acc, divisor)


def _average(attrs: Attributes, acc: te.Tensor, multiplier: Callable[..., Scalar | int]) -> Outputs:
    """Codes of sums; ``multiplier(*i)`` is that of an element."""

    def rounded(*i: tirx.Var) -> tirx.Expr:
        return _requantize(attrs, acc(*i), multiplier(*i), attrs["shift"])

    def inside(*i: tirx.Var) -> list[tirx.Expr]:
        if not attrs["activation"]:
            return []
        return [acc(*i) >= attrs["acc_low"], acc(*i) <= attrs["acc_high"]]

    return _finish(attrs, rounded, inside)
