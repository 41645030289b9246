"""odt_window_phases.h: windows over a plane of int16 codes that are no neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import tvm
from tvm import sym, tirx

from .nest import Linear, Nest, Unfit, address, check, narrow
from .record import PHASES, PLANE, record
from .window import as_window, even, from_the_end

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


def _codes(solution) -> None:
    nest, grid = solution.nest, grid_of(solution.nest)
    spread = grid.spread
    check(solution.numbers["pitch"] == spread.pitch, "its plane lies otherwise")
    check(nest.is_still(solution.read["factor"]), "its factor changes")
    geometry = vars(spread)
    if nest.store.buffer in nest.scratch.orders:
        rows, columns, top, left = spread.stored
        geometry = {"rows": rows, "columns": columns, "top": top, "left": left}
        geometry |= {"down": 1, "across": 1}
    solution.linears["x"] = grid.numbers
    counts = {"height": grid.down.count, "width": grid.across.count}
    solution.numbers.update(**geometry, **counts, step=grid.numbers.of[nest.loops[0]])


_CODES = "odt_block_code(float32 x, float32 factor)"
record(
    "odt_block_plane(plane, rows, columns, top, left, down, across, x, step, height, width, factor)",
    *(
        HEADER,
        PLANE,
        f"plane{{r*pitch + q}} = {_CODES}",
        f"plane{{r*pitch + q}} = inside({_CODES})",
    ),
    beside=_codes,
)


def _phases(solution) -> None:
    sizes, nest = as_window(solution), solution.nest
    plane, taps = (solution.accesses[name].source for name in ("plane", "taps"))
    filled = nest.scratch.filled.get(plane, ())
    check(len(filled) > 0, "nothing fills its plane")
    spread = grid_of(filled[0]).spread
    analyzer = sym.Analyzer()
    for loop in nest.around:
        analyzer.bind(loop.loop_var, tvm.ir.Range.from_min_extent(loop.min, loop.extent))
    base = solution.linears["plane"].base
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
    nest.scratch.keep(plane, spread)
    nest.scratch.keep(taps, PhaseTaps(*shape, spread.down, spread.across, int(residue)))
    solution.numbers.update(down=spread.down, across=spread.across, row=row, column=column)
    solution.numbers.update(plane=address(plane), pitch=even(spread.stored[1]))


record(
    "odt_window_phases(acc, plane, pitch, taps, height, width, down, across, row, column, "
    "rows, columns)",
    *(HEADER, PHASES, "acc{i} = (own + (int16 plane * int16 taps{k}))"),
    beside=_phases,
    macs=lambda n: n.height * n.width * n.rows * n.columns // (n.down * n.across),
)


def _filter(nest: Nest) -> dict:
    order = nest.scratch.orders.get(nest.store.buffer)
    check(isinstance(order, PhaseTaps), "no microkernel reads what it fills")
    return vars(order)


def _turned(solution) -> None:
    turned = solution.numbers["step"] < 0
    check(abs(solution.numbers["step"]) <= 1, "its weights are no neighbours")
    solution.numbers["turned"] = int(turned)
    if turned:
        from_the_end(solution)


record(
    "odt_taps_phases(taps, w, turned, height, width, down, across, column)",
    *(HEADER, PHASES, "taps{k} = int8 w[k*step]"),
    before=_filter,
    beside=_turned,
)
