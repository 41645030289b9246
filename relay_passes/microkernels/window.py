"""odt_window.h: planes of int16 with their border, filters, and windows over a plane."""

from __future__ import annotations

from dataclasses import dataclass

from tvm import sym

from .nest import Nest, address, check, extent_of, is_dense, narrow
from .dot import roles
from .record import PLANE, PLANE_SUMS, TAPS, TURNED, microkernel

HEADER = "odt_window.h"


@dataclass(frozen=True)
class Taps:
    """odt_taps' order of a filter."""

    height: int
    width: int

    @property
    def elements(self) -> int:
        """Of the largest ODT_TAPS of all targets."""
        return 4 * self.height * max(1, self.width // 2)


def even(number: int) -> int:
    """The next even number, or `number` itself."""
    return (number + 1) // 2 * 2


@dataclass(frozen=True)
class Window:
    """The sizes of odt_window.

    height, width : of the filter; pitch : of the plane; rows, columns : of the results.
    """

    height: int
    width: int
    pitch: int
    stride: int
    rows: int
    columns: int


def window(taps, pixels) -> Window:
    """The sizes of a window whose loops have these (extent, step in the plane), outermost first.

    Loops of extent 1 are none. Raises Unfit.
    """
    # what is left of one or two loops moves along a row of the plane, or down
    down = taps[:-1] if len(taps) == 2 else [tap for tap in taps if tap[1] != 1]
    across = [tap for tap in taps if tap not in down]
    check(len(taps) <= 2 and all(step == 1 for _, step in across), "odt_window has no dilation")
    pitch = down[0][1] if down else 0
    height, width = (part[0][0] if part else 1 for part in (down, across))
    return Window(height, width, pitch, *_tile(pixels, pitch))


def _tile(pixels, pitch: int) -> tuple[int, int, int]:
    """(stride, rows, columns) of a window's results; `pitch` 0 where filters have one row."""
    if not pixels:
        return 1, 1, 1
    *down, (count, stride) = pixels
    if down:
        check(len(down) == 1 and pitch > 0, "odt_window takes filters of one row to one row")
        check(down[0][1] == stride * pitch, "odt_window has one stride, and no dilation")
        return stride, down[0][0], count
    if pitch and stride % pitch == 0:
        return stride // pitch, count, 1
    return stride, 1, count


def sizes_of(nest: Nest, plane, taps) -> tuple[Window, object]:
    """Of the window that a nest is, and where its plane begins."""
    sums, a, b = nest.linears(plane, taps)
    pixels, outputs, loops = roles(nest, sums, a, b)
    check(not outputs, "it has more than one filter")
    check(sums.constant == 0 and is_dense(pixels, sums), "its sums lie otherwise")
    check(b.constant == 0 and is_dense(loops, b), "its taps are no neighbours")
    whole = nest.scratch.elements.get(taps.source) == extent_of(loops)
    check(whole and plane.source in nest.scratch, "its plane or its taps are not staged")
    walks = ([(int(loop.extent), a.of[loop]) for loop in walk] for walk in (loops, pixels))
    return window(*walks), a.base


def window_of(nest: Nest, plane, taps) -> list:
    """The arguments of odt_window, odt_window_f32."""
    sizes, base = sizes_of(nest, plane, taps)
    return [
        address(nest.store.buffer),
        address(plane.source, base),
        sizes.pitch,
        address(taps.source),
        *(sizes.height, sizes.width, sizes.stride, sizes.rows, sizes.columns),
    ]


def window_macs(_acc, _plane, _pitch, _taps, height, width, _stride, rows, columns) -> int:
    return height * width * rows * columns


@microkernel(HEADER, PLANE_SUMS, "(own + (int16 * int16))", macs=window_macs)
def odt_window(nest, plane, taps):
    """acc[r * columns + q] += sum over i, j of plane(r * stride + i, q * stride + j) * w(i, j)."""
    sizes, _ = sizes_of(nest, plane, taps)
    nest.scratch.keep(taps.source, Taps(sizes.height, sizes.width))
    return window_of(nest, plane, taps)


def filter_of(nest: Nest, codes, turned: bool):
    """The first int8 weight of a filter that is staged as it lies, or turned by 180 degrees."""
    index, w = nest.linears(codes)
    check(index.constant == 0 and is_dense(nest.loops, index), "its taps are no neighbours")
    if turned:
        check(all(w.of[at] == -index.of[at] for at in nest.loops), "its weights are not turned")
        return address(codes.source, sym.Analyzer().simplify(w.base - extent_of(nest.loops) + 1))
    check(is_dense(nest.loops, w), "its weights are no neighbours")
    return address(codes.source, w.base)


def _taps(nest: Nest, codes, turned: bool) -> list:
    order = nest.scratch.orders.get(nest.store.buffer)
    check(isinstance(order, Taps), "no microkernel reads what it fills")
    return [
        address(nest.store.buffer),
        filter_of(nest, codes, turned),
        *(order.height, order.width),
    ]


@microkernel(HEADER, TAPS, "int8")
def odt_taps(nest, codes):
    """taps[i * width + j] = w[i][j]."""
    return _taps(nest, codes, turned=False)


@microkernel(HEADER, TURNED, "int8")
def odt_taps_flipped(nest, codes):
    """The same of a filter that is turned by 180 degrees."""
    return _taps(nest, codes, turned=True)


@microkernel(HEADER, PLANE, "int8", "inside(int8)")
def odt_widen_plane(nest, codes):
    """plane[r * pitch + s] = x[...] - zero_point inside the image, 0 in its border."""
    plane, x = nest.linears(codes)
    image = image_in(nest.loops, nest.form.conditions, x)
    rows, columns = (int(loop.extent) for loop in nest.loops)
    walk = plane.constant, *(plane.of[loop] for loop in nest.loops)
    check(walk == (0, even(columns), 1), "its plane lies otherwise")
    row, _ = nest.loops
    (top, bottom), (left, right) = image
    first = sym.Analyzer().simplify(x.base + (top * x.of[row] + left))
    borders = top, left, rows - bottom, columns - right
    return [
        address(nest.store.buffer),
        address(codes.source, first),
        *(bottom - top, right - left, *borders, -codes.addend),
    ]


def image_in(loops, conditions, x) -> list:
    """Which rows, and which columns, of a plane hold an image that is as wide: two intervals."""
    check(len(loops) == 2, "its plane has one row or one column")
    bounds = {loop: [0, int(loop.extent)] for loop in loops}
    check(all(narrow(bounds, test) for test in conditions), "its border is none")
    row, column = loops
    left, right = bounds[column]
    check((x.of[row], x.of[column]) == (right - left, 1), "it holds no whole rows of the image")
    return list(bounds.values())
