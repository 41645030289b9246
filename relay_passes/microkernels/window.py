"""odt_window.h: planes of int16 with their border, filters, and windows over a plane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tvm import sym

from .formula import Solution
from .grid import Grid, even, grid_of
from .nest import Linear, check
from .record import records

HEADER = "odt_window.h"


@dataclass(frozen=True)
class Taps:
    """odt_taps' arrangement of a filter."""

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


def window(taps: Sequence[tuple[int, int]], pixels: Sequence[tuple[int, int]]) -> Window:
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


def _tile(pixels: Sequence[tuple[int, int]], pitch: int) -> tuple[int, int, int]:
    """(stride, rows, columns) of a window's results; `pitch` 0 where filters have one row."""
    if not pixels:
        return 1, 1, 1
    *down, (count, stride) = pixels
    if down:
        check(len(down) == 1 and pitch > 0, "odt_window has no one-row filters over more rows")
        check(down[0][1] == stride * pitch, "odt_window has one stride, and no dilation")
        return stride, down[0][0], count
    if pitch and stride % pitch == 0:
        return stride // pitch, count, 1
    return stride, 1, count


def as_window(solution: Solution) -> Window:
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


def _with_taps(solution: Solution) -> None:
    sizes = as_window(solution)
    taps = solution.accesses["taps"].source
    solution.nest.scratch.keep(taps, Taps(sizes.height, sizes.width))


def from_the_end(solution: Solution) -> None:
    """Let weights that are read backwards begin with the last one that is read."""
    check(solution.numbers["step"] == -1, "its weights are no neighbours")
    w = solution.linears["w"]
    w.base = sym.Analyzer().simplify(w.base - (solution.numbers["K"] - 1))


def check_image(grid: Grid, x: Linear) -> None:
    """Whether a plane holds all columns of an image, as odt_widen_plane has it."""
    walk = grid.down, grid.across, *x.of.values()
    check(walk == (1, 1, grid.width, 1), "it holds no whole rows of the image")


def _image(solution: Solution) -> None:
    grid, x = grid_of(solution.nest)
    check_image(grid, x)
    check(solution.numbers["pitch"] == even(grid.columns), "its plane lies otherwise")
    bottom = grid.rows - grid.top - grid.height
    right = grid.columns - grid.left - grid.width
    solution.linears["x"] = x
    solution.numbers.update(vars(grid), bottom=bottom, right=right)


records(
    HEADER,
    """
sums over a plane: odt_window(acc, plane, pitch, taps, height, width, stride, rows, columns)
    acc{i} = (own + (int16 plane * int16 taps{k}))

taps: odt_taps(taps, w, height, width)
    taps{k} = int8 w[k]

turned taps: odt_taps_flipped(taps, w, height, width)
    taps{k} = int8 w[k*step]

plane: odt_widen_plane(plane, x, height, width, top, left, bottom, right, zero_point)
    plane{r*pitch + q} = int8 x
    plane{r*pitch + q} = inside(int8 x)
""",
    odt_window={"beside": _with_taps},
    odt_taps={"fills": Taps},
    odt_taps_flipped={"fills": Taps, "beside": from_the_end},
    odt_widen_plane={"beside": _image},
)
