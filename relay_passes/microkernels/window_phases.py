"""odt_window_phases.h: windows over a plane of int16 codes that are no neighbours."""

from __future__ import annotations

from dataclasses import dataclass

from ..loops import analyzer_of
from ..tir import tirx
from .formula import Solution
from .grid import even, grid_of
from .nest import Linear, address, check
from .record import records
from .window import as_window, from_the_end

HEADER = "odt_block_float.h"  # which includes odt_window_phases.h


@dataclass(frozen=True)
class PhaseTaps:
    """How odt_taps_phases arranges a filter; `column` is where windows start, modulo 2 * across."""

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


def check_codes(x: Linear) -> None:
    """Whether odt_block_plane can read the numbers of a grid."""
    check([*x.of.values()][1] == 1, "its numbers are no neighbours")


def _codes(solution: Solution) -> None:
    nest, (grid, x) = solution.nest, grid_of(solution.nest)
    check_codes(x)
    check(solution.numbers["pitch"] == even(grid.columns), "its plane lies otherwise")
    check(nest.is_still(solution.read["factor"]), "its factor changes")
    stored = grid.stored if nest.store.buffer in nest.scratch.arrangements else {}
    solution.linears["x"] = x
    solution.numbers.update(vars(grid) | stored, step=x.of[nest.loops[0]])


def _phases(solution: Solution) -> None:
    sizes, nest = as_window(solution), solution.nest
    plane, taps = (solution.accesses[name].source for name in ("plane", "taps"))
    filled = nest.scratch.filled.get(plane, [])
    check(len(filled) > 0, "nothing fills its plane")
    grid, _ = grid_of(filled[0])
    base, pitch = solution.linears["plane"].base, even(grid.columns)
    simplify = analyzer_of(nest.around).simplify
    row = simplify(simplify(tirx.floordiv(base, pitch)) + grid.down - grid.top % grid.down)
    column = simplify(simplify(tirx.floormod(base, pitch)) + grid.across - grid.left % grid.across)
    residue = simplify(tirx.floormod(column, 2 * grid.across))
    shape = sizes.height, sizes.width
    check(sizes.stride == 1 and grid.holds(*shape, sizes.columns), "its plane is too large")
    check(isinstance(residue, tirx.IntImm), "its windows do not start alike")
    for start in (row, column):
        Linear(start, nest.around)  # a tile in several rows of the plane has none
    nest.scratch.keep(plane, grid)
    nest.scratch.keep(taps, PhaseTaps(*shape, grid.down, grid.across, int(residue)))
    solution.numbers.update(down=grid.down, across=grid.across, row=row, column=column)
    solution.numbers.update(plane=address(plane), pitch=even(grid.stored["columns"]))


def _turned(solution: Solution) -> None:
    step = solution.numbers["step"]
    solution.numbers["turned"] = int(step < 0)
    if step not in (0, 1):
        from_the_end(solution)


records(
    HEADER,
    """
plane: odt_block_plane(\
plane, rows, columns, top, left, down, across, x, step, height, width, factor)
    plane{r*pitch + q} = odt_block_code(float32 x, float32 factor)
    plane{r*pitch + q} = inside(odt_block_code(float32 x, float32 factor))

sums of phases: odt_window_phases(\
acc, plane, pitch, taps, height, width, down, across, row, column, rows, columns)
    acc{i} = (own + (int16 plane * int16 taps{k}))

taps of phases: odt_taps_phases(taps, w, turned, height, width, down, across, column)
    taps{k} = int8 w[k*step]
""",
    odt_block_plane={"beside": _codes},
    odt_window_phases={"beside": _phases},
    odt_taps_phases={"fills": PhaseTaps, "beside": _turned},
)
