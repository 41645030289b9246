"""The gradient of max pooling, with ties decided as PyTorch decides them.

TVM's rule keeps a 64-bit index for each output and breaks ties its own way; ties are common behind
a ReLU, where whole windows are zero.
"""

from __future__ import annotations

from tvm import relax, te, tirx

from .convolution import window_conditions
from .registry import call, register


def max_pool2d_input_grad(adjoint, data, attrs) -> relax.Call:
    """dL/dx of ``y = max_pool2d(x)``: each window's adjoint goes to its first maximum."""
    names = ("pool_size", "strides", "padding", "dilation")
    geometry = {name: [int(n) for n in getattr(attrs, name)] for name in names}
    return call("max_pool2d_input_grad", adjoint, data, **geometry)


@register("max_pool2d_input_grad", lambda expr: relax.TensorType(expr.args[1].ty.shape, "float32"))
def _input_grad(attrs, adjoint, data):
    """dx[n,c,h,w] = sum of dy over the windows whose first maximum lies at (h, w)."""
    height, width = attrs["pool_size"]
    (stride_h, stride_w), (dilation_h, dilation_w) = attrs["strides"], attrs["dilation"]
    top, left = attrs["padding"][:2]
    first = _first_maximum(attrs, adjoint.shape, data)
    _, _, out_height, out_width = (int(n) for n in adjoint.shape)
    i, j = te.reduce_axis((0, height), "i"), te.reduce_axis((0, width), "j")

    def element(n, c, h, w):
        row, column = h + top - i * dilation_h, w + left - j * dilation_w
        oh, ow = tirx.indexdiv(row, stride_h), tirx.indexdiv(column, stride_w)
        inside = window_conditions(row, stride_h, out_height)
        inside += window_conditions(column, stride_w, out_width)
        inside.append(first[n, c, oh, ow] == i * width + j)
        zero = tirx.const(0, "float32")
        return te.sum(
            tirx.if_then_else(tirx.all(*inside), adjoint[n, c, oh, ow], zero), axis=[i, j]
        )

    return te.compute(data.shape, element, name="input_grad")


def _first_maximum(attrs, shape, data):
    """Number of the tap (row by row) that holds each window's first maximum, int32."""
    height, width = attrs["pool_size"]
    (stride_h, stride_w), (dilation_h, dilation_w) = attrs["strides"], attrs["dilation"]
    top, left = attrs["padding"][:2]
    _, _, in_height, in_width = (int(n) for n in data.shape)
    i, j = te.reduce_axis((0, height), "i"), te.reduce_axis((0, width), "j")
    lowest = tirx.min_value(data.dtype)

    def better(best, tap):
        wins = tap[1] > best[1]
        return tirx.Select(wins, tap[0], best[0]), tirx.Select(wins, tap[1], best[1])

    reducer = te.comm_reducer(better, lambda *_: (tirx.const(0, "int32"), lowest), name="first")

    def window(n, c, h, w):
        row, column = h * stride_h + i * dilation_h - top, w * stride_w + j * dilation_w - left
        inside = tirx.all(row >= 0, row < in_height, column >= 0, column < in_width)
        value = tirx.if_then_else(inside, data[n, c, row, column], lowest)
        return reducer((i * width + j, value), axis=[i, j])

    return te.compute(shape, window, name="maximum")[0]
