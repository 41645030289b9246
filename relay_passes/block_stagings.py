"""Nests that make blocks of int16 codes (runtime/c/include/odt_block_float.h), and their calls."""

from __future__ import annotations

from dataclasses import dataclass

import tvm
from tvm import sym, tirx

from .microkernels import (
    Leaf,
    Linear,
    Match,
    extent_of,
    extern_arguments,
    inside,
    is_dense,
    is_load,
    microkernel,
    narrow,
)
from .orders import Columns, Spread, even


def packed_blocks(leaf: Leaf, order: Columns, index, rows, taps):
    """columns[p * depth + k] = odt_block_code(x, factor[p]).

    x is ``x[k * stride + p] * scale[k]`` or ``x[p * stride + k]``.
    """
    arguments = extern_arguments(leaf.store.value, "odt_block_code")
    if not arguments:
        return None
    planes = _scaled_planes(leaf, arguments[0], rows, taps)
    numbers = planes or _number_rows(leaf, arguments[0], rows, taps)
    if not numbers or index.constant != 0 or not is_dense(taps, index):
        return None
    if extent_of(rows) != order.rows or extent_of(taps) != order.depth:
        return None
    factor = arguments[1]
    at = Linear(factor.indices[0], leaf.loops) if is_load(factor) else None
    if at is None or not at.found or at.constant != 0:
        return None
    if not is_dense(rows, at) or any(at.of[k] for k in taps):
        return None
    return microkernel(
        "odt_pack_planes" if planes else "odt_pack_rows_f32",
        tirx.address_of(leaf.store.buffer[0]),
        *numbers,
        tirx.address_of(factor.source[0]),
        *(order.rows, order.depth),
    )


def peaks(leaf: Leaf) -> Match | None:
    """peak[p] = odt_peak(peak[p], x), x as `packed_blocks` has it."""
    arguments = extern_arguments(leaf.store.value, "odt_peak")
    if not arguments or not is_load(arguments[0]):
        return None
    to = Linear(leaf.store.indices[0], leaf.loops)
    if not arguments[0].source.same_as(leaf.store.buffer) or not to.found or to.constant != 0:
        return None
    rows = [loop for loop in leaf.loops if to.of[loop]]
    taps = [loop for loop in leaf.loops if loop not in rows]
    planes = _scaled_planes(leaf, arguments[1], rows, taps)
    numbers = planes or _number_rows(leaf, arguments[1], rows, taps)
    if numbers is None or not is_dense(rows, to):
        return None
    sizes = extent_of(rows), extent_of(taps)
    target = tirx.address_of(leaf.store.buffer[0])
    function = "odt_peak_planes" if planes else "odt_peak_rows"
    return Match([microkernel(function, target, *numbers, *sizes)])


def _scaled_planes(leaf: Leaf, value, rows, taps):
    """(x, stride, scale) of ``x[k * stride + p] * scale[k]``, p over `rows`, k over `taps`.

    A null pointer stands for scales of 1.
    """
    factors = [value.a, value.b] if type(value).__name__ == "Mul" else [value]
    if not all(is_load(f) and str(f.source.ty.dtype) == "float32" for f in factors):
        return None
    x, *scales = (Linear(load.indices[0], leaf.loops) for load in factors)
    if not (x.found and is_dense(rows, x)):
        return None
    stride = x.of[taps[-1]] if taps else extent_of(rows)
    if stride < extent_of(rows) or not is_dense(taps, x, step=stride):
        return None
    for scale in scales:
        if not (scale.found and is_dense(taps, scale)) or any(scale.of[p] for p in rows):
            return None
    scale = [tirx.address_of(f.source[s.base]) for f, s in zip(factors[1:], scales, strict=True)]
    return tirx.address_of(factors[0].source[x.base]), stride, *(scale or [0])


def _number_rows(leaf: Leaf, value, rows, taps):
    """(x, stride) of float32 ``x[p * stride + k]``, p over `rows`, k over `taps`."""
    if not is_load(value) or str(value.source.ty.dtype) != "float32" or len(rows) > 1:
        return None
    x = Linear(value.indices[0], leaf.loops)
    if not (x.found and is_dense(taps, x)):
        return None
    stride = x.of[rows[0]] if rows else extent_of(taps)
    return (tirx.address_of(value.source[x.base]), stride) if stride >= extent_of(taps) else None


def codes_on_grid(leaf: Leaf, stored: Spread | None = None) -> Match | None:
    """plane[r * pitch + s] = odt_block_code(x[...], factor) on a grid of positions, 0 elsewhere.

    stored : what lies between the positions is not stored.
    """
    found = _grid_of(leaf)
    if found is None:
        return None
    (down, across), x, factor = found
    rows, columns = (int(loop.extent) for loop in leaf.loops)
    geometry = rows, columns, down.first, across.first, down.step, across.step
    if stored:
        geometry = *stored.stored, 1, 1
    row, _ = leaf.loops
    call = microkernel(
        "odt_block_plane",
        tirx.address_of(leaf.store.buffer[0]),
        *geometry,
        tirx.address_of(x.source[x.index.base]),
        *(x.index.of[row], down.count, across.count, factor),
    )
    return Match([call])


def spread_codes(leaf: Leaf) -> Spread | None:
    """The plane that `codes_on_grid` fills, where its codes are no neighbours."""
    found = _grid_of(leaf)
    if found is None:
        return None
    down, across = found[0]
    if down.step == across.step == 1:
        return None
    rows, columns = (int(loop.extent) for loop in leaf.loops)
    return Spread(rows, columns, down.first, across.first, down.step, across.step)


@dataclass(frozen=True)
class _Numbers:
    source: tirx.Buffer
    index: Linear  # of the points of the grid


def _grid_of(leaf: Leaf):
    """((rows, columns), x, factor) of `codes_on_grid`, or None."""
    value, conditions = inside(leaf.store.value)
    arguments = extern_arguments(value, "odt_block_code")
    plane = Linear(leaf.store.indices[0], leaf.loops)
    if not arguments or not all(map(is_load, arguments)) or len(leaf.loops) != 2:
        return None
    (load, factor), (row, column) = arguments, leaf.loops
    down, across = (_Grid(loop) for loop in leaf.loops)
    if not all(down.take(test) or across.take(test) for test in conditions):
        return None
    pitch = even(int(column.extent))
    if not plane.found or (plane.constant, plane.of[row], plane.of[column]) != (0, pitch, 1):
        return None
    x = Linear(_at_points(load.indices[0], (down, across)), leaf.loops)
    scales = Linear(factor.indices[0], leaf.loops)
    if not (down.count and across.count and x.found and x.of[column] == 1 and scales.found):
        return None
    if any(scales.of.values()):
        return None
    return (down, across), _Numbers(load.source, x), factor


class _Grid:
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
        position = Linear(test.a.a, (self.loop,))
        if not position.found or position.constant is None or position.of[self.loop] != 1:
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


def _at_points(index, grids):
    """`index`, with loop variables that count the points of their grids."""
    analyzer = sym.Analyzer()
    for grid in grids:
        analyzer.bind(grid.loop.loop_var, tvm.ir.Range(0, max(1, grid.count)))

    def rebuilt(expr):
        for grid in grids:
            if expr.same_as(grid.loop.loop_var):
                return expr * grid.step + grid.first
        if type(expr).__name__ == "RShift":
            return tirx.floordiv(rebuilt(expr.a), 1 << int(expr.b))
        if type(expr).__name__ in ("Add", "Sub", "Mul", "Div", "FloorDiv"):
            return type(expr)(rebuilt(expr.a), rebuilt(expr.b))
        return expr

    return analyzer.simplify(rebuilt(index))
