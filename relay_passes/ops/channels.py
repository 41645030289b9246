"""A part of a tensor's channels, and a weight put together from its trained and frozen channels.

Channels are given as ranges: ``[first, end, first, end, ...]`` along an axis, ascending, disjoint.
One range costs one addition in the index; nothing is ever gathered through a table.
"""

from __future__ import annotations

from collections.abc import Iterable

from tvm import relax, te

from ..graph import dtype_of, shape_of
from ..tir import tirx
from .registry import Attributes, call, register


def ranges_of(indices: Iterable[int]) -> list[int]:
    """Ascending indices as ranges: ``[0, 1, 2, 7] -> [0, 3, 7, 8]``."""
    bounds: list[int] = []
    for index in indices:
        if bounds and bounds[-1] == index:
            bounds[-1] += 1
        else:
            bounds += [index, index + 1]
    return bounds


def indices_of(ranges: list[int]) -> list[int]:
    """The inverse of `ranges_of`."""
    return [i for first, end in _pairs(ranges) for i in range(first, end)]


def take_channels(data: relax.Expr, ranges: list[int], axis: int = 1) -> relax.Call:
    """Channels `ranges` of `data` along `axis`, in their order."""
    return call("take_channels", data, ranges=ranges, axis=axis)


def merge_channels(
    trained: relax.Expr, frozen: relax.Expr, ranges: list[int], axis: int
) -> relax.Call:
    """The tensor whose channels `ranges` along `axis` are `trained`, its others `frozen`."""
    return call("merge_channels", trained, frozen, ranges=ranges, axis=axis)


def _pairs(ranges: list[int]) -> list[tuple[int, int]]:
    return list(zip(ranges[::2], ranges[1::2], strict=True))


def _with_extent(expr: relax.Call, extent: int) -> relax.Type:
    shape = [int(n) if isinstance(n, tirx.IntImm) else n for n in expr.args[0].ty.shape]
    shape[int(expr.attrs["axis"])] = extent
    return relax.TensorType(shape, dtype_of(expr.args[0]))


def _taken(expr: relax.Call) -> relax.Type:
    ranges = [int(n) for n in expr.attrs["ranges"]]
    return _with_extent(expr, len(indices_of(ranges)))


def _merged(expr: relax.Call) -> relax.Type:
    axis = int(expr.attrs["axis"])
    return _with_extent(expr, sum(shape_of(part)[axis] for part in expr.args))


def source_channel(ranges: list[int], position: tirx.Expr) -> tirx.Expr:
    """Index into the whole of channel `position` of the part that `ranges` make."""
    pairs = _pairs(ranges)
    taken, offsets = 0, []
    for first, end in pairs:
        offsets.append((taken, first - taken))
        taken += end - first
    index = position + offsets[0][1]
    for start, offset in offsets[1:]:
        index = tirx.Select(position >= start, position + offset, index)
    return index


@register("take_channels", _taken, ("ranges", "axis"), adjoint=False)
def _take(attrs: Attributes, data: te.Tensor) -> te.Tensor:
    axis, ranges = attrs["axis"], attrs["ranges"]
    shape = list(data.shape)
    shape[axis] = len(indices_of(ranges))

    def element(*index: tirx.Var) -> tirx.Expr:
        return data(*index[:axis], source_channel(ranges, index[axis]), *index[axis + 1 :])

    return te.compute(shape, element, name="taken")


@register("merge_channels", _merged, ("ranges", "axis"))
def _merge(attrs: Attributes, trained: te.Tensor, frozen: te.Tensor) -> te.Tensor:
    axis, pairs = attrs["axis"], _pairs(attrs["ranges"])
    shape = [int(n) for n in trained.shape]
    shape[axis] += int(frozen.shape[axis])

    def element(*index: tirx.Var) -> tirx.Expr:
        def at(part: te.Tensor, channel: tirx.Expr) -> tirx.Expr:
            return part(*index[:axis], channel, *index[axis + 1 :])

        channel = index[axis]
        before = sum(end - first for first, end in pairs)  # trained channels below `channel`
        value = None if pairs[-1][1] == shape[axis] else at(frozen, channel - before)
        for first, end in reversed(pairs):
            before -= end - first
            inside = at(trained, channel - first + before)
            if value is not None:
                inside = tirx.if_then_else(tirx.likely(channel < end), inside, value)
            value = inside
            if first:
                below = tirx.likely(channel < first)
                value = tirx.if_then_else(below, at(frozen, channel - before), value)
        return value

    return te.compute(shape, element, name="merged")
