"""odt_float.h: float32 sums of products, and weights for them."""

from __future__ import annotations

from .dot import roles
from .nest import address, check, extent_of, is_dense
from .record import COLUMN_SUMS, PLANE_SUMS, PLANES, microkernel
from .window import window_macs, window_of

HEADER = "odt_float.h"
MAX_OUTPUTS = 4  # of odt_dot_f32


@microkernel(
    HEADER,
    COLUMN_SUMS,
    "(own + (float32 * float32))",
    macs=lambda _acc, _a, _stride, _b, rows, outputs, depth: rows * outputs * depth,
)
def odt_dot_f32(nest, left, right):
    """acc[o * rows + p] += sum over k of a[k * stride + p] * b[k * outputs + o], b scratch."""
    sums, a, b = nest.linears(left, right)
    rows, outputs, taps = roles(nest, sums, a, b)
    height, width = extent_of(rows), extent_of(outputs)
    check(len(rows) <= 1 and len(outputs) <= 1 and width <= MAX_OUTPUTS, "its tile is no matrix")
    check(right.source in nest.scratch and b.constant == 0, "its second operand is not staged")
    check(is_dense(rows, sums, a) and is_dense(outputs, b), "its rows are no neighbours")
    check(is_dense(outputs, sums, step=height), "its sums lie otherwise")
    stride = a.of[taps[-1]] if taps else height
    dense = is_dense(taps, b, step=width) and is_dense(taps, a, step=stride)
    check(stride >= height and dense, "its taps are not equally far apart")
    return [
        address(nest.store.buffer, sums.base),
        address(left.source, a.base),
        stride,
        address(right.source),
        *(height, width, extent_of(taps)),
    ]


@microkernel(HEADER, PLANE_SUMS, "(own + (float32 * float32))", macs=window_macs)
def odt_window_f32(nest, plane, taps):
    """`odt_window` of float32; its taps lie row by row."""
    return window_of(nest, plane, taps)


@microkernel(HEADER, PLANES, "(int8 * float32)")
def odt_scale_columns_f32(nest, codes, scale):
    """b[k * width + j] = float32(w[k * stride + j]) * scale[k]."""
    to, w, s = nest.linears(codes, scale)
    taps = [loop for loop in nest.loops if s.of[loop]]
    outputs = [loop for loop in nest.loops if loop not in taps]
    width = extent_of(outputs)
    stride = w.of[taps[-1]] if taps else width
    check(to.constant == 0 and is_dense(outputs, to, w), "its outputs are no neighbours")
    dense = is_dense(taps, s) and is_dense(taps, to, step=width) and is_dense(taps, w, step=stride)
    check(stride >= width and dense, "its taps are not equally far apart")
    return [
        address(nest.store.buffer),
        address(codes.source, w.base),
        stride,
        address(scale.source, s.base),
        *(width, extent_of(taps)),
    ]
