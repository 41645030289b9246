"""odt_window_phases.h: windows over a plane of int16 codes that are no neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import tvm
from tvm import sym, tirx

from .nest import Linear, Nest, Unfit, address, check, narrow
from .record import PHASES, PLANE, PLANE_SUMS, microkernel
from .window import even, filter_of, sizes_of

HEADER = "odt_block_float.h"  # which includes odt_window_phases.h
MAX_TAPS = MAX_COLUMNS = 64  # ODT_PHASE_TAPS, ODT_PHASE_SUMS


@dataclass(frozen=True)
class Spread:
    """A plane of numbers `down` rows and `across` columns apart, stored without what lies between.

    rows, columns : of the whole plane; top, left : of its first number.
    """

    rows: int
    columns: int
    top: int
    left: int
    down: int
    across: int

    @property
    def pitch(self) -> int:
        """Of the whole plane."""
        return even(self.columns)

    @property
    def stored(self) -> tuple[int, int, int, int]:
        """(rows, columns, top, left) of what is stored, as odt_window_phases wants it."""
        top, left = self.top // self.down, self.left // self.across
        rows = top + (self.rows - 1 - self.top) // self.down + 1
        return rows, left + (self.columns - 1 - self.left) // self.across + 3, top, left

    def holds(self, height: int, width: int, count: int) -> bool:
        """Whether odt_window_phases can do `height` x `width` taps for rows of `count` results."""
        rows, columns, _, _ = self.stored
        part = -(-height // self.down) * (-(-width // self.across) + 3)
        fits = rows * even(columns) <= self.rows * self.pitch
        return fits and part <= MAX_TAPS and count <= MAX_COLUMNS


@dataclass(frozen=True)
class PhaseTaps:
    """odt_taps_phases' order of a filter; `column` is where windows start, modulo 2 * across."""

    height: int
    width: int
    down: int
    across: int
    column: int

    @property
    def elements(self) -> int:
        """At most, on any target."""
        widths = [-(-self.width // self.across) + 3] * min(self.across, self.width)
        heights = [-(-self.height // self.down)] * min(self.down, self.height)
        return sum(4 * h * max(1, w // 2) for h in heights for w in widths)


class Grid:
    """The positions of a plane, its two loops, that hold numbers: in equal steps.

    numbers : the index of what they hold, with loops that count the points of the grid.
    """

    def __init__(self, loops, conditions, index):
        check(len(loops) == 2, "its plane has one row or one column")
        self.loops = tuple(loops)
        self.down, self.across = self._axes = [_Axis(loop) for loop in loops]
        for test in conditions:
            check(any(axis.take(test) for axis in self._axes), "its numbers lie on no grid")
        check(self.down.count and self.across.count, "its plane holds no numbers")
        self.numbers = Linear(self._at_points(index), loops)
        check(self.numbers.of[loops[1]] == 1, "its numbers are no neighbours")

    @property
    def spread(self) -> Spread:
        rows, columns = (int(loop.extent) for loop in self.loops)
        first = self.down.first, self.across.first
        return Spread(rows, columns, *first, self.down.step, self.across.step)

    def _at_points(self, index):
        analyzer = sym.Analyzer()
        for axis in self._axes:
            analyzer.bind(axis.loop.loop_var, tvm.ir.Range(0, axis.count))

        def rebuilt(expr):
            for axis in self._axes:
                if expr.same_as(axis.loop.loop_var):
                    return expr * axis.step + axis.first
            if type(expr).__name__ == "RShift":
                return tirx.floordiv(rebuilt(expr.a), 1 << int(expr.b))
            if type(expr).__name__ in ("Add", "Sub", "Mul", "Div", "FloorDiv"):
                return type(expr)(rebuilt(expr.a), rebuilt(expr.b))
            return expr

        return analyzer.simplify(rebuilt(index))


def grid_of(nest: Nest) -> Grid:
    """Of a nest that fills a plane."""
    conditions, numbers = nest.form.conditions, nest.form.operands[0].load
    return Grid(nest.loops, conditions, numbers.indices[0])


class _Axis:
    """The values of a loop's variable for which conditions hold: first, first + step, ..."""

    def __init__(self, loop):
        self.loop, self.bounds = loop, {loop: [0, int(loop.extent)]}
        self.step, self.residue = 1, 0

    def take(self, test) -> bool:
        """Whether `test` is about this loop alone, and understood."""
        if narrow(self.bounds, test):
            return True
        if type(test).__name__ != "EQ" or type(test.a).__name__ not in ("Mod", "FloorMod"):
            return False
        try:
            position = Linear(test.a.a, (self.loop,))
        except Unfit:
            return False
        if position.constant is None or position.of[self.loop] != 1:
            return False
        if not isinstance(test.b, tirx.IntImm) or int(test.b) or self.step != 1:
            return False
        self.step = int(test.a.b)
        self.residue = -position.constant % self.step
        return True

    @property
    def first(self) -> int:
        low = self.bounds[self.loop][0]
        return low + (self.residue - low) % self.step

    @property
    def count(self) -> int:
        return len(range(self.first, self.bounds[self.loop][1], self.step))


@microkernel(
    HEADER, PLANE, "odt_block_code(float32, float32)", "inside(odt_block_code(float32, float32))"
)
def odt_block_plane(nest, numbers, factor):
    """plane[r * pitch + s] = odt_block_code(x[...], factor) on a grid of positions, 0 elsewhere."""
    grid, (row, column) = grid_of(nest), nest.loops
    plane, spread, x = nest.linear(nest.store), grid.spread, grid.numbers
    walk = plane.constant, plane.of[row], plane.of[column]
    check(walk == (0, spread.pitch, 1), "its plane lies otherwise")
    check(nest.is_still(factor.load), "its factor changes")
    geometry = spread.rows, spread.columns, spread.top, spread.left, spread.down, spread.across
    if nest.store.buffer in nest.scratch.orders:
        geometry = *spread.stored, 1, 1
    return [
        address(nest.store.buffer),
        *geometry,
        address(numbers.source, x.base),
        *(x.of[row], grid.down.count, grid.across.count, factor.load),
    ]


def _phases_macs(*sizes) -> int:
    _, _, _, _, height, width, down, across, _, _, rows, columns = sizes
    return height * width * rows * columns // (down * across)


@microkernel(HEADER, PHASES, "(own + (int16 * int16))", macs=_phases_macs)
def odt_window_phases(nest, plane, taps):
    """`odt_window` over a plane whose zeros are not stored."""
    sizes, base = sizes_of(nest, plane, taps)
    filled = nest.scratch.filled.get(plane.source, ())
    check(len(filled) > 0, "nothing fills its plane")
    spread = grid_of(filled[0]).spread
    analyzer = sym.Analyzer()
    for loop in nest.around:
        analyzer.bind(loop.loop_var, tvm.ir.Range.from_min_extent(loop.min, loop.extent))
    row, column = (
        analyzer.simplify(analyzer.simplify(operation(base, spread.pitch)) + step - first % step)
        for operation, step, first in (
            (tirx.floordiv, spread.down, spread.top),
            (tirx.floormod, spread.across, spread.left),
        )
    )
    residue = analyzer.simplify(tirx.floormod(column, 2 * spread.across))
    shape = sizes.height, sizes.width
    check(sizes.stride == 1 and spread.holds(*shape, sizes.columns), "its plane is too large")
    check(isinstance(residue, tirx.IntImm), "its windows do not start alike")
    for start in (row, column):
        Linear(start, nest.around)  # a tile in several rows of the plane has none
    nest.scratch.keep(plane.source, spread)
    nest.scratch.keep(
        taps.source, PhaseTaps(*shape, spread.down, spread.across, int(residue))
    )
    return [
        address(nest.store.buffer),
        address(plane.source),
        even(spread.stored[1]),
        address(taps.source),
        *(*shape, spread.down, spread.across, row, column, sizes.rows, sizes.columns),
    ]


@microkernel(HEADER, PHASES, "int8")
def odt_taps_phases(nest, codes):
    """The taps of each phase, of a filter as it lies or turned by 180 degrees."""
    order = nest.scratch.orders.get(nest.store.buffer)
    check(isinstance(order, PhaseTaps), "no microkernel reads what it fills")
    w = nest.linear(codes.load)
    turned = all(w.of[at] < 0 for at in nest.loops)
    sizes = order.height, order.width, order.down, order.across, order.column
    return [address(nest.store.buffer), filter_of(nest, codes, turned), int(turned), *sizes]
