"""Gradients of convolutions in integer arithmetic: blocks of int16 codes that share an exponent.

The adjoints that one sum reads make a block. Its peak is the largest magnitude in it, and each
adjoint becomes the int16 ``round(adjoint * limit / peak)``, so that no sum can leave int32; the
result is ``sum * (peak / limit)``. Weights, and activations less their zero point, are the int8
codes as they are stored. See runtime/c/include/odt_block_float.h for the arithmetic, which is the
same on every target.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tvm import relax, te

from ..tir import Index, Scalar, tirx
from .channels import source_channel
from .convolution import (
    GEOMETRY,
    adjoint_plane,
    adjoint_tap,
    channel_multiplier,
    is_pointwise,
    macs_of_input_grad,
    macs_of_weight_grad,
)
from .registry import Attributes, attributes, call, float_of_shape, register
from .runtime_functions import odt_block_code, odt_block_factor, odt_peak, odt_real
from .staging import COLUMNS, FACTOR, FILTERS, GATHERED, PEAK, TAPS, UNIT, centred_tap

CODE = 128  # no int8 code is larger
INT16_MAX, INT32_MAX = 2**15 - 1, 2**31 - 1
CENTRED = 255  # no int8 code less its zero point is larger
MAX_TAPS, MAX_PIXELS = (
    INT32_MAX // (code * 512) for code in (CODE, CENTRED)
)  # a block keeps 9 bits


def limit_of(taps: int, largest: int = CODE) -> int:
    """The largest int16 of a block, for sums of `taps` products with numbers up to `largest`."""
    return min(INT16_MAX, INT32_MAX // (largest * taps))


def integer_input_grad(gradient: relax.Call, codes: relax.Expr, scale: relax.Expr) -> relax.Call:
    """What `conv2d_input_grad` gives for the weight ``codes * scale``, int8 and float32 (outputs,).

    `gradient` is that call.
    """
    return call("integer_input_grad", gradient.args[0], codes, scale, **attributes(gradient))


def integer_weight_grad(
    gradient: relax.Call, codes: relax.Expr, scale: float, zero_point: int
) -> relax.Call:
    """What `conv2d_weight_grad` gives for the data ``(codes - zero_point) * scale``, codes int8.

    `gradient` is that call, of a convolution without groups.
    """
    attrs = attributes(gradient) | {"scale": scale, "zero_point": zero_point}
    return call("integer_weight_grad", gradient.args[0], codes, **attrs)


@register("integer_input_grad", float_of_shape, ("shape", *GEOMETRY), macs=macs_of_input_grad)
def _input_grad(
    attrs: Attributes, adjoint: te.Tensor, weight: te.Tensor, scale: te.Tensor
) -> te.Tensor:
    if channel_multiplier(weight.shape, attrs["groups"]) == 1:
        return _channelwise_input_grad(attrs, adjoint, weight, scale)
    return _dense_input_grad(attrs, adjoint, weight, scale)


def _dense_input_grad(
    attrs: Attributes, adjoint: te.Tensor, codes: te.Tensor, scale: te.Tensor
) -> te.Tensor:
    """A block for each pixel and group: what all input channels read there."""
    batch, inputs, rows, columns = attrs["shape"]
    outputs, inputs_per_group, *kernel = (int(n) for n in codes.shape)
    groups, pixels = attrs["groups"], rows * columns
    taps = [outputs // groups, *kernel]
    limit = limit_of(taps[0] * taps[1] * taps[2])
    pointwise = is_pointwise(attrs, taps)

    def scaled(n: tirx.Expr, channel: tirx.Expr, h: tirx.Expr, w: tirx.Expr) -> tirx.Expr:
        return adjoint[n, channel, h, w] * scale[channel]

    tap = adjoint_tap(attrs, adjoint if pointwise else scaled, adjoint.shape, taps)
    gathered = te.compute([batch, groups, *taps, pixels], tap, name=GATHERED)

    def value(n: Index, g: Index, p: Index, o: Index, i: Index, j: Index) -> Scalar:
        element = gathered[n, g, o, i, j, p]
        return element * scale[g * taps[0] + o] if pointwise else element

    axes = _axes(taps, "oij")
    peak = _peak([batch, groups, pixels], lambda n, g, p: value(n, g, p, *axes), axes)
    factor = _factor(peak, limit)
    unit = te.compute(peak.shape, lambda *at: _unit(peak(*at), limit), name=UNIT)
    stage = te.compute(
        [batch, groups, pixels, *taps],
        lambda n, g, p, *at: odt_block_code(value(n, g, p, *at), factor[n, g, p]),
        name=COLUMNS,
    )
    filters = te.compute(
        [groups, inputs_per_group, *taps],
        lambda g, c, o, i, j: codes[g * taps[0] + o, c, i, j].astype("int16"),
        name=FILTERS,
    )
    axes = _axes(taps, "oij")

    def element(n: tirx.Var, c: tirx.Var, p: tirx.Var) -> tirx.Expr:
        g, filter_ = c // inputs_per_group, c % inputs_per_group
        return te.sum(_product(stage[(n, g, p, *axes)], filters[(g, filter_, *axes)]), axis=axes)

    acc = te.compute([batch, inputs, pixels], element, name="acc")

    def real(n: tirx.Var, c: tirx.Var, h: tirx.Var, w: tirx.Var) -> tirx.Expr:
        p = h * columns + w
        return odt_real(acc[n, c, p], unit[n, c // inputs_per_group, p])

    return te.compute(attrs["shape"], real, name="input_grad")


def _channelwise_input_grad(
    attrs: Attributes, adjoint: te.Tensor, codes: te.Tensor, scale: te.Tensor
) -> te.Tensor:
    """A block for each channel: its plane, under the filter turned by 180 degrees."""
    batch, channels = attrs["shape"][:2]
    _, _, height, width = (int(n) for n in codes.shape)
    limit = limit_of(height * width)
    gathered = te.compute(adjoint.shape, lambda *at: adjoint(*at), name=GATHERED)
    axes = _axes([int(n) for n in adjoint.shape[2:]], "hw")
    peak = _peak([batch, channels], lambda n, c: gathered[(n, c, *axes)], axes)
    factor = _factor(peak, limit)
    unit = te.compute(peak.shape, lambda n, c: _unit(peak[n, c], limit) * scale[c], name=UNIT)
    step_h, step_w = attrs["dilation"]

    def coded(n: tirx.Expr, c: tirx.Expr, r: tirx.Expr, s: tirx.Expr) -> tirx.Expr:
        return odt_block_code(gathered[n, c, r, s], factor[n, c])

    plane = adjoint_plane(attrs, coded, adjoint.shape, (height, width))
    taps = te.compute(
        [channels, height, width],
        lambda c, i, j: codes[c, 0, height - 1 - i, width - 1 - j].astype("int16"),
        name=TAPS,
    )
    i, j = _axes([height, width], "ij")

    def element(n: tirx.Var, c: tirx.Var, h: tirx.Var, w: tirx.Var) -> tirx.Expr:
        return te.sum(
            _product(plane[n, c, h + i * step_h, w + j * step_w], taps[c, i, j]), axis=[i, j]
        )

    acc = te.compute(attrs["shape"], element, name="acc")

    def real(n: tirx.Var, c: tirx.Var, h: tirx.Var, w: tirx.Var) -> tirx.Expr:
        return odt_real(acc[n, c, h, w], unit[n, c])

    return te.compute(attrs["shape"], real, name="input_grad")


@register(
    "integer_weight_grad",
    float_of_shape,
    ("shape", "rows", "scale", "zero_point", *GEOMETRY),
    macs=macs_of_weight_grad,
    adjoint=False,
)
def _weight_grad(attrs: Attributes, adjoint: te.Tensor, data: te.Tensor) -> te.Tensor:
    """A block for each output channel: its adjoints of all pixels."""
    batch, _, out_height, out_width = (int(n) for n in adjoint.shape)
    outputs, inputs, kernel_h, kernel_w = attrs["shape"]
    pixels, taps = batch * out_height * out_width, inputs * kernel_h * kernel_w
    limit = limit_of(pixels, CENTRED)

    def pixel(p: tirx.Var) -> tuple[tirx.Expr, tirx.Expr, tirx.Expr]:
        return p // (out_height * out_width), p // out_width % out_height, p % out_width

    def column(_n: tirx.Var, _g: tirx.Var, r: tirx.Var, p: tirx.Var) -> Scalar:
        n, h, w = pixel(p)
        c, i, j = r // (kernel_h * kernel_w), r // kernel_w % kernel_h, r % kernel_w
        return centred_tap(data, attrs["zero_point"], attrs, (n, c, h, w), (i, j))

    def number(o: tirx.Var, p: tirx.Var) -> Scalar:
        n, h, w = pixel(p)
        return adjoint[n, source_channel(attrs["rows"], o), h, w]

    columns = te.compute([1, 1, taps, pixels], column, name=COLUMNS)
    gathered = te.compute([outputs, pixels], number, name=GATHERED)
    axes = _axes([pixels], "p")
    peak = _peak([outputs], lambda o: gathered[(o, *axes)], axes)
    factor = _factor(peak, limit)
    scale = tirx.const(attrs["scale"], "float32")
    unit = te.compute(peak.shape, lambda o: _unit(peak[o], limit) * scale, name=UNIT)
    filters = te.compute(
        [outputs, pixels], lambda o, p: odt_block_code(gathered[o, p], factor[o]), name=FILTERS
    )
    p = te.reduce_axis((0, pixels), "p")
    acc = te.compute(
        [outputs, taps],
        lambda o, r: te.sum(_product(columns[0, 0, r, p], filters[o, p]), axis=p),
        name="acc",
    )

    def real(o: tirx.Var, c: tirx.Var, i: tirx.Var, j: tirx.Var) -> tirx.Expr:
        return odt_real(acc[o, (c * kernel_h + i) * kernel_w + j], unit[o])

    return te.compute(attrs["shape"], real, name="weight_grad")


largest_magnitude = te.comm_reducer(
    lambda peak, x: odt_peak(peak, x),
    lambda dtype: tirx.const(0, dtype),
    name="largest",
)


def _axes(extents: Sequence[int], names: str) -> list[tirx.IterVar]:
    return [te.reduce_axis((0, n), name) for n, name in zip(extents, names, strict=True)]


def _peak(
    shape: Sequence[int], element: Callable[..., Scalar], axes: list[tirx.IterVar]
) -> te.Tensor:
    return te.compute(shape, lambda *at: largest_magnitude(element(*at), axis=axes), name=PEAK)


def _factor(peak: te.Tensor, limit: int) -> te.Tensor:
    largest = tirx.const(limit, "float32")
    return te.compute(peak.shape, lambda *at: odt_block_factor(peak(*at), largest), name=FACTOR)


def _product(code: Scalar, weight: Scalar) -> tirx.Expr:
    return code.astype("int32") * weight.astype("int32")


def _unit(peak: Scalar, limit: int) -> tirx.Expr:
    """What a code of 1 stands for."""
    return peak * tirx.const(1 / limit, "float32")
