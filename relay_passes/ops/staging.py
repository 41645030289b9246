"""Operands of convolutions as the microkernels want them: int16, zero padded, a tile at a time.

`DefaultSchedule` computes such a stage where it is read, so that only a tile of it is ever stored;
the block's name says what it holds, and is all that the schedule goes by.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tvm import te

from ..tir import Index, Scalar, const_like, tirx
from .registry import Attributes

COLUMNS = "columns"  # [batch, group, pixel, *tap]: what one output pixel reads, im2col
PLANE = "plane"  # [batch, channel, row, column]: one channel with its border
TAPS = "taps"  # [output, row, column]: the filter of one channel
FILTERS = "filters"  # [*tap, output]: what a tile of columns is multiplied with
WIDENED = "widened"  # [output, *tap]: weights that a microkernel takes as they are, or as int16
GATHERED = "gathered"  # [batch, group, *tap, pixel] or NCHW, float32: what becomes columns, planes
PEAK = "peak"  # [batch, group, pixel] or [batch, channel]: of the blocks of `integer_gradient`
FACTOR = "factor"  # the same: what turns numbers into codes
UNIT = "unit"  # the same: what a code of 1 stands for
FRESH = "fresh"  # [block, element], float32: of `block_states`, before it is coded
NO_MICROKERNEL = "no_microkernel"  # attribute of a block without stages: why it is plain loops
STAGES = (COLUMNS, FILTERS, WIDENED, PLANE, TAPS, GATHERED, PEAK, FACTOR, UNIT, FRESH)


def columns_of(
    data: te.Tensor,
    zero_point: int,
    kernel: Sequence[int],
    geometry: Attributes,
    out_size: Sequence[int],
) -> te.Tensor:
    """int16 columns of `data` (int8, NCHW): ``x - zero_point``, 0 outside the image.

    kernel : (input channels of a group, height, width); out_size : (height, width) of the output.
    """
    batch, channels, _, _ = (int(n) for n in data.shape)
    out_h, out_w = out_size

    def element(
        n: tirx.Var, g: tirx.Var, p: tirx.Var, c: tirx.Var, i: tirx.Var, j: tirx.Var
    ) -> Scalar:
        at = n, g * kernel[0] + c, p // out_w, p % out_w
        return centred_tap(data, zero_point, geometry, at, (i, j))

    shape = [batch, channels // kernel[0], out_h * out_w, *kernel]
    return te.compute(shape, element, name=COLUMNS)


def centred_tap(
    data: te.Tensor,
    zero_point: int,
    geometry: Attributes,
    at: Sequence[Index],
    tap: Sequence[Index],
) -> Scalar:
    """int16 ``x - zero_point`` at `window_tap`."""
    return window_tap(data, geometry, at, tap, lambda code: _centred(code, zero_point))


def window_tap(
    data: te.Tensor,
    geometry: Attributes,
    at: Sequence[Index],
    tap: Sequence[Index],
    read: Callable[[te.TensorSlice], Scalar] = lambda x: x,
) -> Scalar:
    """``read(x)`` where tap (i, j) lies for (n, c, h, w) of the output; 0 outside the image."""
    _, _, height, width = (int(n) for n in data.shape)
    (n, c, h, w), (i, j) = at, tap
    (stride_h, stride_w), (dilation_h, dilation_w) = geometry["strides"], geometry["dilation"]
    top, left = geometry["padding"][:2]
    row, column = h * stride_h + i * dilation_h - top, w * stride_w + j * dilation_w - left
    value = read(data[n, c, row, column])
    return _inside(value, geometry["padding"], (row, height), (column, width))


def planes_of(
    data: te.Tensor,
    zero_point: int,
    kernel: Sequence[int],
    geometry: Attributes,
    out_size: Sequence[int],
) -> te.Tensor:
    """int16 planes of `data` (int8, NCHW) with their border: ``x - zero_point``, 0 outside.

    kernel : (height, width); out_size : (height, width) of the output.
    """
    batch, channels, height, width = (int(n) for n in data.shape)
    top, left = geometry["padding"][:2]
    rows, columns = (
        (out - 1) * stride + (size - 1) * dilation + 1
        for out, stride, size, dilation in zip(
            out_size, geometry["strides"], kernel, geometry["dilation"], strict=True
        )
    )

    def element(n: tirx.Var, c: tirx.Var, h: tirx.Var, w: tirx.Var) -> Scalar:
        row, column = h - top, w - left
        tap = _centred(data[n, c, row, column], zero_point)
        return _inside(tap, geometry["padding"], (row, height), (column, width))

    return te.compute([batch, channels, rows, columns], element, name=PLANE)


def taps_of(weight: te.Tensor, zero_point: int) -> te.Tensor:
    """int16 filters of `weight` (int8, one input channel a group): ``w - zero_point``."""
    outputs, _, height, width = (int(n) for n in weight.shape)
    return te.compute(
        [outputs, height, width],
        lambda o, i, j: widen(weight[o, 0, i, j], zero_point),
        name=TAPS,
    )


def widen(code: Scalar, zero_point: int) -> tirx.Expr:
    """int16 ``w - zero_point``; with zero point 0 a microkernel can read the codes themselves."""
    return _centred(code, zero_point) if zero_point else code.astype("int16")


def _centred(code: Scalar, zero_point: int) -> tirx.Expr:
    return (code.astype("int32") - zero_point).astype("int16")


def _inside(
    value: Scalar,
    padding: Sequence[int],
    row: tuple[tirx.Expr, int],
    column: tuple[tirx.Expr, int],
) -> Scalar:
    if not any(padding):
        return value
    conditions = [test for at, extent in (row, column) for test in (at >= 0, at < extent)]
    return tirx.if_then_else(tirx.all(*conditions), value, const_like(value, 0))
