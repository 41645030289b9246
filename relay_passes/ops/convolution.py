"""The two gradients of a convolution, in the form that needs no temporary.

TVM's own rule tiles the adjoint by the number of input channels, megabytes for a small layer.
Layouts: activations NCHW, weights OIHW; ``padding`` is (top, left, bottom, right).
"""

from __future__ import annotations

from tvm import relax, te, tirx

from .channels import indices_of, ranges_of, source_channel, take_channels
from .registry import attributes, call, float_of_shape, register


def conv2d_input_grad(adjoint, weight, shape, conv_attrs) -> relax.Call:
    """dL/dx of ``y = conv2d(x, weight)``; `adjoint` is dL/dy, `shape` that of x."""
    return call("conv2d_input_grad", adjoint, weight, shape=list(shape), **geometry(conv_attrs))


def conv2d_weight_grad(adjoint, data, shape, conv_attrs) -> relax.Call:
    """dL/dweight of ``y = conv2d(data, weight)``; `shape` is that of the weight."""
    attrs = geometry(conv_attrs)
    return call("conv2d_weight_grad", adjoint, data, shape=list(shape), rows=[0, shape[0]], **attrs)


def conv2d_weight_grad_slice(gradient: relax.Call, ranges: list[int], axis: int) -> relax.Call:
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


def geometry(attrs) -> dict:
    """strides, padding, dilation and groups of a relax.nn.conv2d as plain integers."""
    lists = {
        key: [int(n) for n in getattr(attrs, key)] for key in ("strides", "padding", "dilation")
    }
    return {**lists, "groups": int(attrs.groups)}


@register("conv2d_input_grad", float_of_shape)
def _input_grad(attrs, adjoint, weight):
    """dx[n,c,h,w] = sum over o,i,j of dy[n,o,(h+top-i*di)/sh,(w+left-j*dj)/sw] * w[o,c,i,j]."""
    _, _, out_height, out_width = (int(n) for n in adjoint.shape)
    outputs, inputs_per_group, height, width = (int(n) for n in weight.shape)
    outputs_per_group = outputs // attrs["groups"]
    (stride_h, stride_w), (dilation_h, dilation_w) = attrs["strides"], attrs["dilation"]
    top, left = attrs["padding"][:2]
    o = te.reduce_axis((0, outputs_per_group), "o")
    i = te.reduce_axis((0, height), "i")
    j = te.reduce_axis((0, width), "j")

    def element(n, c, h, w):
        channel = c // inputs_per_group * outputs_per_group + o
        row, column = h + top - i * dilation_h, w + left - j * dilation_w
        inside = window_conditions(row, stride_h, out_height)
        inside += window_conditions(column, stride_w, out_width)
        tap = adjoint[n, channel, row // stride_h, column // stride_w]
        zero = tirx.const(0, "float32")
        tap = tirx.if_then_else(tirx.all(*inside), tap, zero) if inside else tap
        return te.sum(tap * weight[channel, c % inputs_per_group, i, j], axis=[o, i, j])

    return te.compute(attrs["shape"], element, name="input_grad")


def window_conditions(position, stride, extent):
    """Where ``position / stride`` is a whole output coordinate in [0, extent): a list of tests."""
    if stride == 1:
        return [position >= 0, position < extent]
    return [position >= 0, position < extent * stride, tirx.indexmod(position, stride) == 0]


@register("conv2d_weight_grad", float_of_shape)
def _weight_grad(attrs, adjoint, data):
    """dw[o,c,i,j] = sum over n,h,w of dy[n,rows(o),h,w] * x[n,g+c,h*sh+i*di-top,w*sw+j*dj-left]."""
    batch, _, out_height, out_width = (int(n) for n in adjoint.shape)
    _, _, height, width = (int(n) for n in data.shape)
    (stride_h, stride_w), (dilation_h, dilation_w) = attrs["strides"], attrs["dilation"]
    top, left = attrs["padding"][:2]
    outputs, inputs_per_group = attrs["shape"][:2]
    outputs_per_group = outputs // attrs["groups"]
    n = te.reduce_axis((0, batch), "n")
    h = te.reduce_axis((0, out_height), "h")
    w = te.reduce_axis((0, out_width), "w")

    def element(o, c, i, j):
        row = h * stride_h + i * dilation_h - top
        column = w * stride_w + j * dilation_w - left
        channel = o // outputs_per_group * inputs_per_group + c
        inside = [row >= 0, row < height, column >= 0, column < width]
        zero = tirx.const(0, "float32")
        tap = tirx.if_then_else(tirx.all(*inside), data[n, channel, row, column], zero)
        row_of_adjoint = source_channel(attrs["rows"], o)
        return te.sum(adjoint[n, row_of_adjoint, h, w] * tap, axis=[n, h, w])

    return te.compute(attrs["shape"], element, name="weight_grad")
