"""How scratch lies that microkernels (runtime/c/include/odt_*.h) keep in an order of their own."""

from __future__ import annotations

from dataclasses import dataclass

MAX_PHASE_TAPS = MAX_PHASE_COLUMNS = 64  # of odt_window_phases


@dataclass(frozen=True)
class Columns:
    """odt_column's order of a matrix."""

    rows: int
    depth: int


@dataclass(frozen=True)
class Taps:
    """odt_taps' order of a filter."""

    height: int
    width: int

    @property
    def elements(self) -> int:
        """Of the largest ODT_TAPS of all targets."""
        return 4 * self.height * max(1, self.width // 2)


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
        return fits and part <= MAX_PHASE_TAPS and count <= MAX_PHASE_COLUMNS


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


def even(number: int) -> int:
    """The next even number, or `number` itself."""
    return (number + 1) // 2 * 2
