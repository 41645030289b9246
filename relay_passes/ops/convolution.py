"""The two gradients of a convolution, in the form that needs no temporary.

TVM's own rule tiles the adjoint by the number of input channels, megabytes for a small layer.
Layouts: activations NCHW, weights OIHW; ``padding`` is (top, left, bottom, right).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import tvm
from tvm import relax, te

from ..graph import Shape, shape_of
from ..tir import Scalar, const_like, tirx
from .channels import indices_of, ranges_of, source_channel, take_channels
from .registry import Attributes, Trim, attributes, call, float_of_shape, register
from .staging import COLUMNS, FILTERS, NO_MICROKERNEL, PLANE, TAPS, window_tap


def conv2d_input_grad(
    adjoint: relax.Expr, weight: relax.Expr, shape: Shape, conv_attrs: tvm.ir.Attrs
) -> relax.Call:
    """dL/dx of ``y = conv2d(x, weight)``; `adjoint` is dL/dy, `shape` that of x."""
    return call("conv2d_input_grad", adjoint, weight, shape=list(shape), **geometry(conv_attrs))


def conv2d_weight_grad(
    adjoint: relax.Expr, data: relax.Expr, shape: Shape, conv_attrs: tvm.ir.Attrs
) -> relax.Call:
    """dL/dweight of ``y = conv2d(data, weight)``; `shape` is that of the weight."""
    attrs = geometry(conv_attrs)
    return call("conv2d_weight_grad", adjoint, data, shape=list(shape), rows=[0, shape[0]], **attrs)


def conv2d_weight_grad_slice(
    _narrow: Trim, gradient: relax.Call, ranges: list[int], axis: int
) -> relax.Call:
    """``take_channels(gradient, ranges, axis)`` that computes no more than that.

    `gradient` is a call of `conv2d_weight_grad`. Along axis 1 it reads only those input channels;
    along axis 0, where each group has one input channel, only those groups.
    """
    adjoint, data = gradient.args
    attrs = attributes(gradient)
    outputs, inputs_per_group = attrs["shape"][:2]
    channels, groups = indices_of(ranges), attrs["groups"]
    if axis == 1:
        inputs = [g * inputs_per_group + c for g in range(groups) for c in channels]
        attrs["shape"][1] = len(channels)
    else:
        multiplier = outputs // groups
        inputs = [c // multiplier for c in channels[::multiplier]]
        attrs |= {"shape": [len(channels), *attrs["shape"][1:]], "groups": len(inputs)}
        attrs["rows"] = ranges
    return call("conv2d_weight_grad", adjoint, take_channels(data, ranges_of(inputs)), **attrs)


def channel_multiplier(weight_shape: Sequence[int | tirx.IntImm], groups: int) -> int | None:
    """Outputs of each input channel of a depthwise convolution; None for any other.

    Depthwise is what has several groups, each of one input channel.
    """
    outputs, inputs_per_group = (int(n) for n in weight_shape[:2])
    return outputs // groups if inputs_per_group == 1 and groups > 1 else None


def macs_of_convolution(shape: Sequence[int], weight_shape: Sequence[int]) -> int:
    """Multiply-accumulates for a result or an adjoint of `shape`: the taps of each element."""
    return math.prod(shape) * math.prod(weight_shape[1:])


def macs_of_input_grad(expr: relax.Call) -> int:
    """Of ``input_grad(adjoint, weight, ...)``."""
    return macs_of_convolution(shape_of(expr.args[0]), shape_of(expr.args[1]))


def macs_of_weight_grad(expr: relax.Call) -> int:
    """Of ``weight_grad(adjoint, data)``, for the rows of the weight that it computes."""
    batch, _, height, width = shape_of(expr.args[0])
    return batch * height * width * math.prod(int(n) for n in expr.attrs["shape"])


GEOMETRY = ("strides", "padding", "dilation", "groups")


def geometry(attrs: tvm.ir.Attrs) -> Attributes:
    """strides, padding, dilation and groups of a relax.nn.conv2d as plain integers."""
    return lists_of(attrs, "strides", "padding", "dilation") | {"groups": int(attrs.groups)}


def lists_of(attrs: tvm.ir.Attrs, *names: str) -> dict[str, list[int]]:
    """Attributes that are arrays, as lists of plain integers."""
    return {name: [int(n) for n in getattr(attrs, name)] for name in names}


@register("conv2d_input_grad", float_of_shape, ("shape", *GEOMETRY), macs=macs_of_input_grad)
def _input_grad(attrs: Attributes, adjoint: te.Tensor, weight: te.Tensor) -> te.Tensor:
    """dx[n,c,h,w] = sum over o,i,j of dy[n,o,(h+top-i*di)/sh,(w+left-j*dj)/sw] * w[o,c,i,j]."""
    if channel_multiplier(weight.shape, attrs["groups"]) == 1:
        return _channelwise_input_grad(attrs, adjoint, weight)
    batch, inputs, rows, columns = attrs["shape"]
    outputs, inputs_per_group = (int(n) for n in weight.shape[:2])
    groups = attrs["groups"]
    taps = [outputs // groups, *(int(n) for n in weight.shape[2:])]

    column = adjoint_tap(attrs, adjoint, adjoint.shape, taps)
    stage = te.compute([batch, groups, *taps, rows * columns], column, name=COLUMNS)
    filters = te.compute(
        [groups, *taps, inputs_per_group],
        lambda g, o, i, j, c: weight[g * taps[0] + o, c, i, j],
        name=FILTERS,
    )
    axes = [te.reduce_axis((0, n), name) for n, name in zip(taps, "oij", strict=True)]

    def element(n: tirx.Var, c: tirx.Var, p: tirx.Var) -> tirx.Expr:
        g = c // inputs_per_group
        return te.sum(
            stage[(n, g, *axes, p)] * filters[(g, *axes, c % inputs_per_group)], axis=axes
        )

    acc = te.compute([batch, inputs, rows * columns], element, name="acc")
    return te.compute(
        attrs["shape"], lambda n, c, h, w: acc[n, c, h * columns + w], name="input_grad"
    )


def _channelwise_input_grad(attrs: Attributes, adjoint: te.Tensor, weight: te.Tensor) -> te.Tensor:
    """Of a depthwise convolution: the adjoint's plane under the filter turned by 180 degrees."""
    outputs, _, height, width = (int(n) for n in weight.shape)
    step_h, step_w = attrs["dilation"]
    plane = adjoint_plane(attrs, adjoint, adjoint.shape, (height, width))
    taps = te.compute(
        [outputs, height, width],
        lambda c, i, j: weight[c, 0, height - 1 - i, width - 1 - j],
        name=TAPS,
    )
    i, j = te.reduce_axis((0, height), "i"), te.reduce_axis((0, width), "j")
    acc = te.compute(
        attrs["shape"],
        lambda n, c, h, w: te.sum(
            plane[n, c, h + i * step_h, w + j * step_w] * taps[c, i, j], axis=[i, j]
        ),
        name="acc",
    )
    return te.compute(attrs["shape"], lambda *at: acc(*at), name="input_grad")


def is_pointwise(attrs: Attributes, taps: list[int]) -> bool:
    """Whether each output pixel reads its own input pixel alone; `taps` are (channels, 1, 1)."""
    return taps[1:] == [1, 1] and attrs["strides"] == [1, 1] and not any(attrs["padding"])


def adjoint_tap(
    attrs: Attributes, element: Callable[..., Scalar], shape: Sequence[tirx.Expr], taps: list[int]
) -> Callable[..., Scalar]:
    """``(n, g, o, i, j, p) -> element``: what pixel p of the data gets of an adjoint of `shape`.

    It is weighted with tap (o, i, j) of the outputs in group g; `taps` are their extents.
    """
    columns = attrs["shape"][3]
    (top, left, _, _), (step_h, step_w) = attrs["padding"], attrs["dilation"]
    pointwise = is_pointwise(attrs, taps)

    def tap(n: tirx.Var, g: tirx.Var, o: tirx.Var, i: tirx.Var, j: tirx.Var, p: tirx.Var) -> Scalar:
        channel, h, w = g * taps[0] + o, p // columns, p % columns
        if pointwise:
            return element(n, channel, h, w)
        at = n, channel, h + top - i * step_h, w + left - j * step_w
        return upsampled(attrs, element, shape, *at)

    return tap


def adjoint_plane(
    attrs: Attributes,
    element: Callable[..., Scalar],
    shape: Sequence[tirx.Expr],
    kernel: tuple[int, int],
) -> te.Tensor:
    """Planes of an adjoint of `shape` as the filter, turned by 180 degrees, slides over them."""
    batch, channels, rows, columns = attrs["shape"]
    (step_h, step_w), (top, left, _, _) = attrs["dilation"], attrs["padding"]
    reach_h, reach_w = (kernel[0] - 1) * step_h, (kernel[1] - 1) * step_w

    def pixel(n: tirx.Var, c: tirx.Var, h: tirx.Var, w: tirx.Var) -> Scalar:
        at = n, c, h + (top - reach_h), w + (left - reach_w)
        return upsampled(attrs, element, shape, *at)

    extents = [batch, channels, rows + reach_h, columns + reach_w]
    return te.compute(extents, pixel, name=PLANE)


def upsampled(
    attrs: Attributes,
    element: Callable[..., Scalar],
    shape: Sequence[tirx.Expr],
    n: tirx.Expr,
    channel: tirx.Expr,
    row: tirx.Expr,
    column: tirx.Expr,
) -> tirx.Expr:
    """``element`` of an adjoint of `shape` at ``(row, column) / strides``; 0 where it has none."""
    _, _, out_height, out_width = (int(n) for n in shape)
    stride_h, stride_w = attrs["strides"]
    tap = element(n, channel, row // stride_h, column // stride_w)
    inside = window_conditions(row, stride_h, out_height)
    inside += window_conditions(column, stride_w, out_width)
    return tirx.if_then_else(tirx.all(*inside), tap, const_like(tap, 0))


def window_conditions(position: tirx.Expr, stride: int, extent: int) -> list[tirx.Expr]:
    """Where ``position / stride`` is a whole output coordinate in [0, extent): a list of tests."""
    if stride == 1:
        return [position >= 0, position < extent]
    return [position >= 0, position < extent * stride, tirx.indexmod(position, stride) == 0]


@register(
    "conv2d_weight_grad",
    float_of_shape,
    ("shape", "rows", *GEOMETRY),
    macs=macs_of_weight_grad,
    trimmed=conv2d_weight_grad_slice,
    adjoint=False,
)
def _weight_grad(attrs: Attributes, adjoint: te.Tensor, data: te.Tensor) -> te.Tensor:
    """dw[o,c,i,j] = sum over n,h,w of dy[n,rows(o),h,w] * x[n,g+c,h*sh+i*di-top,w*sw+j*dj-left]."""
    if attrs["groups"] > 1:  # each output has columns of its own: storing them gains nothing
        return _grouped_weight_grad(attrs, adjoint, data)
    batch, _, height, width = (int(n) for n in adjoint.shape)
    outputs, inputs, kernel_h, kernel_w = attrs["shape"]
    taps = inputs * kernel_h * kernel_w

    def column(_: tirx.Var, n: tirx.Var, h: tirx.Var, w: tirx.Var, r: tirx.Var) -> Scalar:
        c, i, j = r // (kernel_h * kernel_w), r // kernel_w % kernel_h, r % kernel_w
        return window_tap(data, attrs, (n, c, h, w), (i, j))

    columns = te.compute([1, batch, height, width, taps], column, name=COLUMNS)
    filters = te.compute(
        [batch, height, width, outputs],
        lambda n, h, w, o: adjoint[n, source_channel(attrs["rows"], o), h, w],
        name=FILTERS,
    )
    extents = batch, height, width
    axes = [te.reduce_axis((0, n), name) for n, name in zip(extents, "nhw", strict=True)]
    acc = te.compute(
        [outputs, taps],
        lambda o, r: te.sum(columns[(0, *axes, r)] * filters[(*axes, o)], axis=axes),
        name="acc",
    )
    return te.compute(
        attrs["shape"],
        lambda o, c, i, j: acc[o, (c * kernel_h + i) * kernel_w + j],
        name="weight_grad",
    )


def _grouped_weight_grad(attrs: Attributes, adjoint: te.Tensor, data: te.Tensor) -> te.Tensor:
    outputs_per_group = attrs["shape"][0] // attrs["groups"]
    extents = [int(adjoint.shape[axis]) for axis in (0, 2, 3)]
    n, h, w = (te.reduce_axis((0, e), name) for e, name in zip(extents, "nhw", strict=True))

    def element(o: tirx.Var, c: tirx.Var, i: tirx.Var, j: tirx.Var) -> tirx.Expr:
        channel = o // outputs_per_group * attrs["shape"][1] + c
        tap = window_tap(data, attrs, (n, channel, h, w), (i, j))
        return te.sum(adjoint[n, source_channel(attrs["rows"], o), h, w] * tap, axis=[n, h, w])

    reason = "no microkernel for weight gradients of grouped convolutions"
    return te.compute(attrs["shape"], element, name="weight_grad", attrs={NO_MICROKERNEL: reason})
