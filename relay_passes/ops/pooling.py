"""Gradients of pooling.

Max: ties are decided as PyTorch decides them. TVM's rule keeps a 64-bit index for each output and
breaks ties its own way; ties are common behind a ReLU, where whole windows are zero.
Average: TVM's rule divides by the wrong count where `ceil_mode` lets a window leave the input.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import tvm
from tvm import relax, te
from tvm.relax.op.grad import no_grad

from ..graph import Shape, constant_value, dtype_of, shape_of
from ..tir import Scalar, const_like, tirx
from .canonical import as_float
from .convolution import lists_of, window_conditions
from .registry import Attributes, call, float_of_shape, register


def max_pool2d_argmax(data: relax.Expr, shape: Shape, attrs: tvm.ir.Attrs) -> relax.Call:
    """Which tap, row by row, holds the first maximum of each window of ``max_pool2d(data)``.

    `shape` is that of the pool's result. With it the gradient needs no operand: one byte a window
    is saved (four for windows of more than 256 taps) instead of the whole input.
    """
    return call("max_pool2d_argmax", data, saved=True, shape=list(shape), **_geometry(attrs))


def max_pool2d_input_grad(
    adjoint: relax.Expr, argmax: relax.Expr, shape: Shape, attrs: tvm.ir.Attrs
) -> relax.Call:
    """dL/dx of ``y = max_pool2d(x)``: each window's adjoint goes to its first maximum.

    `argmax` is what `max_pool2d_argmax` gives, `shape` that of x.
    """
    geometry = _geometry(attrs)
    return call("max_pool2d_input_grad", adjoint, argmax, shape=list(shape), **geometry)


_GEOMETRY = ("pool_size", "strides", "padding", "dilation")


def _geometry(attrs: tvm.ir.Attrs) -> dict[str, list[int]]:
    return lists_of(attrs, *_GEOMETRY)


@register("max_pool2d_input_grad", float_of_shape, ("shape", *_GEOMETRY))
def _input_grad(attrs: Attributes, adjoint: te.Tensor, argmax: te.Tensor) -> te.Tensor:
    """dx[n,c,h,w] = sum of dy over the windows whose first maximum lies at (h, w)."""

    def share(n: tirx.Expr, c: tirx.Expr, oh: tirx.Expr, ow: tirx.Expr, tap: tirx.Expr) -> Scalar:
        chosen = argmax[n, c, oh, ow].astype("int32") == tap
        part = adjoint[n, c, oh, ow]
        return tirx.Select(chosen, part, const_like(part, 0))

    return _over_windows(attrs, adjoint.shape, attrs["shape"], share)


def _over_windows(
    attrs: Attributes,
    windows: Sequence[tirx.Expr],
    shape: Sequence[int],
    share: Callable[..., Scalar],
) -> te.Tensor:
    """dx[n,c,h,w] = sum of ``share(n, c, oh, ow, tap)`` over the windows that hold (h, w).

    (oh, ow) is the window's place among `windows` (NCHW), `tap` counts (h, w) in it row by row.
    """
    height, width = attrs["pool_size"]
    (stride_h, stride_w), (dilation_h, dilation_w) = attrs["strides"], attrs["dilation"]
    top, left = attrs["padding"][:2]
    _, _, out_height, out_width = (int(n) for n in windows)
    i, j = te.reduce_axis((0, height), "i"), te.reduce_axis((0, width), "j")

    def element(n: tirx.Var, c: tirx.Var, h: tirx.Var, w: tirx.Var) -> tirx.Expr:
        row, column = h + top - i * dilation_h, w + left - j * dilation_w
        oh, ow = tirx.indexdiv(row, stride_h), tirx.indexdiv(column, stride_w)
        inside = window_conditions(row, stride_h, out_height)
        inside += window_conditions(column, stride_w, out_width)
        part = share(n, c, oh, ow, i * width + j)
        return te.sum(tirx.if_then_else(tirx.all(*inside), part, const_like(part, 0)), axis=[i, j])

    return te.compute(shape, element, name="input_grad")


def _tap_number(attrs: Attributes | tvm.ir.Attrs) -> str:
    height, width = (int(n) for n in attrs["pool_size"])
    return "uint8" if height * width <= 256 else "int32"


def _argmax_type(expr: relax.Call) -> relax.Type:
    return relax.TensorType([int(n) for n in expr.attrs["shape"]], _tap_number(expr.attrs))


@register("max_pool2d_argmax", _argmax_type, ("shape", *_GEOMETRY))
def _argmax(attrs: Attributes, data: te.Tensor) -> te.Tensor:
    height, width = attrs["pool_size"]
    (stride_h, stride_w), (dilation_h, dilation_w) = attrs["strides"], attrs["dilation"]
    top, left = attrs["padding"][:2]
    _, _, in_height, in_width = (int(n) for n in data.shape)
    i, j = te.reduce_axis((0, height), "i"), te.reduce_axis((0, width), "j")
    lowest = tirx.min_value(data.dtype)

    def better(best: Sequence[tirx.Expr], tap: Sequence[tirx.Expr]) -> tuple[tirx.Expr, tirx.Expr]:
        wins = tap[1] > best[1]
        return tirx.Select(wins, tap[0], best[0]), tirx.Select(wins, tap[1], best[1])

    reducer = te.comm_reducer(better, lambda *_: (tirx.const(0, "int32"), lowest), name="first")

    def window(n: tirx.Var, c: tirx.Var, h: tirx.Var, w: tirx.Var) -> tuple[tirx.Expr, tirx.Expr]:
        row, column = h * stride_h + i * dilation_h - top, w * stride_w + j * dilation_w - left
        inside = tirx.all(row >= 0, row < in_height, column >= 0, column < in_width)
        value = tirx.if_then_else(inside, data[n, c, row, column], lowest)
        return reducer((i * width + j, value), axis=[i, j])

    first = te.compute(attrs["shape"], window, name="maximum")[0]
    dtype = _tap_number(attrs)
    return te.compute(attrs["shape"], lambda *i: first(*i).astype(dtype), name="argmax")


def avg_pool2d_input_grad(adjoint: relax.Expr, data: relax.Expr, attrs: tvm.ir.Attrs) -> relax.Call:
    """dL/dx of ``y = avg_pool2d(x)``: each window's adjoint is shared out evenly to its taps."""
    geometry = _geometry(attrs)
    shares = [
        relax.const((1 / np.maximum(taps, 1)).astype(dtype_of(adjoint)))
        for taps in window_taps(attrs, shape_of(data), shape_of(adjoint))
    ]
    shape = list(shape_of(data))
    return call("avg_pool2d_input_grad", adjoint, *shares, shape=shape, **geometry)


def average_of_codes_gradient(
    _var: relax.Var, pool: relax.Call, adjoint: relax.Var, builder: relax.BlockBuilder
) -> list[relax.Expr]:
    """Of ``qavg_pool2d``, in the real domain: as of the pool of what the codes stand for."""
    data, *counts = pool.args
    real = as_float(builder, "float32", adjoint)
    count = int(pool.attrs["multiplier"])
    if shape_of(adjoint)[2:] == (1, 1) and count == math.prod(shape_of(data)[2:]):
        share = builder.emit(relax.op.divide(real, relax.const(float(count), "float32")))
        return [relax.op.broadcast_to(share, shape_of(data))]  # as of a mean over the map
    taps = [constant_value(along) for along in counts]
    if not taps:
        taps = [np.full(n, 1) for n in shape_of(adjoint)[2:]]
        taps[0] = taps[0] * count
    shares = [relax.const((1 / along).astype(np.float32)) for along in taps]
    geometry = {name: [int(n) for n in pool.attrs[name]] for name in _GEOMETRY}
    gradient = call("avg_pool2d_input_grad", real, *shares, shape=list(shape_of(data)), **geometry)
    return [gradient, *map(no_grad, counts)]


def window_taps(attrs: tvm.ir.Attrs, source: Shape, result: Shape) -> list[np.ndarray]:
    """How many taps count of each row, and of each column, of windows of an average pool.

    They are those in the input, and in its border where ``count_include_pad`` says so.
    """
    geometry = _geometry(attrs)
    top, left, bottom, right = geometry["padding"]
    counted = [(top, bottom), (left, right)] if attrs.count_include_pad else [(0, 0), (0, 0)]
    found = []
    for axis, border in enumerate(counted):
        size, stride, before, dilation = (values[axis] for values in geometry.values())
        first = np.arange(result[2 + axis])[:, None] * stride - before
        position = first + np.arange(size) * dilation
        inside = (position >= -border[0]) & (position < source[2 + axis] + border[1])
        found.append(np.sum(inside, axis=1))
    return found


def covering_pads(attrs: tvm.ir.Attrs, source: Shape, result: Shape) -> list[int]:
    """Pads that every window of a pool lies in, also where ``ceil_mode`` lets one reach further."""
    pads = lists_of(attrs, "padding")["padding"]
    for axis in (0, 1):
        size, stride, dilation = (
            int(values[axis]) for values in (attrs.pool_size, attrs.strides, attrs.dilation)
        )
        reach = (result[2 + axis] - 1) * stride + (size - 1) * dilation + 1
        pads[2 + axis] = max(reach - source[2 + axis] - pads[axis], 0)
    return pads


@register("avg_pool2d_input_grad", float_of_shape, ("shape", *_GEOMETRY))
def _average_input_grad(
    attrs: Attributes, adjoint: te.Tensor, row_share: te.Tensor, column_share: te.Tensor
) -> te.Tensor:
    """dx[n,c,h,w] = sum of dy * share over the windows that hold (h, w)."""

    def share(n: tirx.Expr, c: tirx.Expr, oh: tirx.Expr, ow: tirx.Expr, _tap: tirx.Expr) -> Scalar:
        return adjoint[n, c, oh, ow] * row_share[oh] * column_share[ow]

    return _over_windows(attrs, adjoint.shape, attrs["shape"], share)
