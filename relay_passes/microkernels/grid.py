"""Planes: their borders, and grids of positions in them that hold numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tvm import sym

from ..tir import tirx
from .nest import Linear, Nest, check

MAX_TAPS = MAX_COLUMNS = 64  # ODT_PHASE_TAPS, ODT_PHASE_SUMS


def even(number: int) -> int:
    """The next even number, or `number` itself."""
    return (number + 1) // 2 * 2


@dataclass(frozen=True)
class Grid:
    """A plane of `rows` x `columns` that is 0 but for `height` x `width` numbers.

    top, left : of the first one; down, across : from one to the next.
    """

    rows: int
    columns: int
    top: int
    left: int
    down: int
    across: int
    height: int
    width: int

    @property
    def stored(self) -> dict[str, int]:
        """What odt_window_phases wants of it: without what lies between the numbers."""
        top, left = self.top // self.down, self.left // self.across
        rows = top + (self.rows - 1 - self.top) // self.down + 1
        columns = left + (self.columns - 1 - self.left) // self.across + 3
        return {"rows": rows, "columns": columns, "top": top, "left": left, "down": 1, "across": 1}

    def holds(self, height: int, width: int, count: int) -> bool:
        """Whether odt_window_phases can do `height` x `width` taps for rows of `count` results."""
        part = -(-height // self.down) * (-(-width // self.across) + 3)
        stored = self.stored["rows"] * even(self.stored["columns"])
        fits = stored <= self.rows * even(self.columns)
        return fits and part <= MAX_TAPS and count <= MAX_COLUMNS


def grid_in(loops: Sequence[tirx.For], conditions: Iterable[tirx.Expr]) -> Grid:
    """Where the conditions hold in a plane, whose row and column are the loops; raises Unfit."""
    check(len(loops) == 2, "its plane has one row or one column")
    down, across = axes = [_Axis(loop) for loop in loops]
    for test in conditions:
        check(any(axis.take(test) for axis in axes), "its numbers lie on no grid")
    check(down.count and across.count, "its plane holds no numbers")
    rows, columns = (int(loop.extent) for loop in loops)
    return Grid(
        rows,
        columns,
        top=down.first,
        left=across.first,
        down=down.step,
        across=across.step,
        height=down.count,
        width=across.count,
    )


def numbers_on(grid: Grid, loops: Sequence[tirx.For], index: tirx.Expr) -> Linear:
    """The index of a grid's numbers: of the first, and their steps; raises Unfit."""

    def at(row: int, column: int) -> tirx.Expr:
        analyzer = sym.Analyzer()
        first = grid.top + row * grid.down, grid.left + column * grid.across
        for loop, position in zip(loops, first, strict=True):
            analyzer.bind(loop.loop_var, tirx.const(position, loop.loop_var.ty.dtype))
        return analyzer.simplify(index)

    first, simplify = at(0, 0), sym.Analyzer().simplify
    last = grid.height - 1, grid.width - 1
    steps = [simplify(at(*point) - first) for point in ((1, 0), (0, 1), last)]
    check(all(isinstance(step, tirx.IntImm) for step in steps), "its numbers lie apart")
    down, across, whole = map(int, steps)
    check(whole == down * last[0] + across * last[1], "its numbers lie apart")
    numbers = Linear(first, ())
    numbers.of = dict(zip(loops, (down, across), strict=True))
    return numbers


def grid_of(nest: Nest) -> tuple[Grid, Linear]:
    """Of a nest that fills a plane, and the index of what it reads."""
    grid = grid_in(nest.loops, nest.form.conditions)
    return grid, numbers_on(grid, nest.loops, nest.form.loads[0].indices[0])


class _Axis:
    """The values of a loop's variable for which conditions hold: first, first + step, ..."""

    def __init__(self, loop: tirx.For) -> None:
        self.loop, self.low, self.high = loop, 0, int(loop.extent)
        self.step, self.residue = 1, 0

    def take(self, test: tirx.Expr) -> bool:
        """Whether `test` is about this loop alone, and understood."""
        kind, variable = type(test).__name__, self.loop.loop_var
        if kind in ("LE", "LT") and isinstance(test.a, tirx.IntImm) and test.b.same_as(variable):
            self.low = max(self.low, int(test.a) + (kind == "LT"))
        elif kind in ("LE", "LT") and isinstance(test.b, tirx.IntImm) and test.a.same_as(variable):
            self.high = min(self.high, int(test.b) + (kind == "LE"))
        else:
            return kind == "EQ" and self._take_residue(test)
        return True

    def _take_residue(self, test: tirx.Expr) -> bool:
        """``(variable + constant) % step == 0``"""
        is_zero = isinstance(test.b, tirx.IntImm) and int(test.b) == 0
        if not is_zero or type(test.a).__name__ not in ("Mod", "FloorMod") or self.step != 1:
            return False
        constant = sym.Analyzer().simplify(test.a.a - self.loop.loop_var)
        if not isinstance(constant, tirx.IntImm):
            return False
        self.step = int(test.a.b)
        self.residue = -int(constant) % self.step
        return True

    @property
    def first(self) -> int:
        return self.low + (self.residue - self.low) % self.step

    @property
    def count(self) -> int:
        return len(range(self.first, self.high, self.step))
