"""odt_window.h: planes of int16 with their border, filters, and windows over a plane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from tvm import sym

from .nest import Nest, check, narrow
from .record import PLANE, PLANE_SUMS, TAPS, TURNED, record

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


class Window(NamedTuple):
    """The sizes of odt_window.

    height, width : of the filter; pitch : of the plane; rows, columns : of the results.
    """

    height: int
    width: int
    pitch: int
    stride: int
    rows: int
    columns: int


def even(number: int) -> int:
    """The next even number, or `number` itself."""
    return (number + 1) // 2 * 2


def window(taps, pixels) -> Window:
    """The sizes of a window whose loops have these (extent, step in the plane), outermost first.

    Loops of extent 1 are none. Raises Unfit.
    """
    # what is left of one or two loops moves along a row of the plane, or down
    down = taps[:-1] if len(taps) == 2 else [tap for tap in taps if tap[1] != 1]
    across = [tap for tap in taps if tap not in down]
    check(len(taps) <= 2 and all(step == 1 for _, step in across), "it has no dilation")
    pitch = down[0][1] if down else 0
    height, width = (part[0][0] if part else 1 for part in (down, across))
    return Window(height, width, pitch, *_tile(pixels, pitch))


def _tile(pixels, pitch: int) -> tuple[int, int, int]:
    """(stride, rows, columns) of a window's results; `pitch` 0 where filters have one row."""
    if not pixels:
        return 1, 1, 1
    *down, (count, stride) = pixels
    if down:
        check(len(down) == 1 and pitch > 0, "it takes filters of one row to one row of results")
        check(down[0][1] == stride * pitch, "it has one stride, and no dilation")
        return stride, down[0][0], count
    if pitch and stride % pitch == 0:
        return stride // pitch, count, 1
    return stride, 1, count


def as_window(solution) -> Window:
    """Find the sizes of a window, and where its plane begins."""
    plane, scratch = solution.nest.linear(solution.accesses["plane"]), solution.nest.scratch
    whole = scratch.elements.get(solution.accesses["taps"].source) == solution.numbers["K"]
    check(whole and solution.accesses["plane"].source in scratch, "its operands are not staged")
    walks = (
        [(int(loop.extent), plane.of[loop]) for loop in reversed(solution.loops[axis])]
        for axis in "ki"
    )
    sizes = window(*walks)
    solution.linears["plane"] = plane
    solution.numbers.update(sizes._asdict())
    return sizes


def _with_taps(solution) -> None:
    sizes = as_window(solution)
    taps = solution.accesses["taps"].source
    solution.nest.scratch.keep(taps, Taps(sizes.height, sizes.width))


def window_macs(n) -> int:
    return n.height * n.width * n.rows * n.columns


record(
    "odt_window(acc, plane, pitch, taps, height, width, stride, rows, columns)",
    *(HEADER, PLANE_SUMS),
    "acc{i} = (own + (int16 plane * int16 taps{k}))",
    beside=_with_taps,
    macs=window_macs,
)


def _filter(nest: Nest) -> dict:
    order = nest.scratch.orders.get(nest.store.buffer)
    check(isinstance(order, Taps), "no microkernel reads what it fills")
    return vars(order)


def from_the_end(solution) -> None:
    """Let weights that are read backwards begin with the last one that is read."""
    w = solution.linears["w"]
    w.base = sym.Analyzer().simplify(w.base - (solution.numbers["K"] - 1))


_WEIGHTS = "taps{k} = int8 w[k]", "taps{k} = int8 w[k*step]"
record("odt_taps(taps, w, height, width)", HEADER, TAPS, _WEIGHTS[0], before=_filter)
record(
    "odt_taps_flipped(taps, w, height, width)",
    *(HEADER, TURNED, _WEIGHTS[1]),
    before=lambda nest: {"step": -1, **_filter(nest)},
    beside=from_the_end,
)


def image_in(loops, conditions, x) -> list:
    """Which rows, and which columns, of a plane hold an image that is as wide: two intervals."""
    check(len(loops) == 2, "its plane has one row or one column")
    bounds = {loop: [0, int(loop.extent)] for loop in loops}
    check(all(narrow(bounds, test) for test in conditions), "its border is none")
    row, column = loops
    left, right = bounds[column]
    check((x.of[row], x.of[column]) == (right - left, 1), "it holds no whole rows of the image")
    return list(bounds.values())


def _image(solution) -> None:
    nest, x = solution.nest, solution.nest.linear(solution.accesses["x"])
    (top, bottom), (left, right) = image_in(nest.loops, nest.form.conditions, x)
    rows, columns = (int(loop.extent) for loop in nest.loops)
    check(solution.numbers["pitch"] == even(columns), "its plane lies otherwise")
    x.base = sym.Analyzer().simplify(x.base + (top * (right - left) + left))
    solution.linears["x"] = x
    borders = {"top": top, "left": left, "bottom": rows - bottom, "right": columns - right}
    solution.numbers.update(height=bottom - top, width=right - left, **borders)


record(
    "odt_widen_plane(plane, x, height, width, top, left, bottom, right, zero_point)",
    *(HEADER, PLANE, "plane{r*pitch + q} = int8 x", "plane{r*pitch + q} = inside(int8 x)"),
    beside=_image,
)
