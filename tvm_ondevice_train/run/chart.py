"""A line chart as lines of text."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))  # of a Braille sign, by column and row
_BRAILLE = 0x2800
_LABELS = 9  # columns on the left


def line_chart(
    values: Sequence[float], width: int, rows: int, ascii_only: bool = False
) -> list[str]:
    """`rows` lines of at most `width` characters; the highest and lowest value are written beside.

    The values are spread over the width; where there are more of them than columns, a column is
    the mean of its share.
    """
    across, down = (1, 1) if ascii_only else (2, 4)  # dots in a character
    columns = max(1, width - _LABELS - 1)
    curve = _resampled(values, columns * across)
    low, high = min(curve), max(curve)
    points = [_row(value, low, high, rows * down) for value in curve]
    grid = [[0] * columns for _ in range(rows)]
    for x, run in enumerate(_joined(points)):
        for y in run:
            bit = 1 if ascii_only else _DOTS[x % across][y % down]
            grid[y // down][x // across] |= bit
    labels = {0: f"{high:.4g}", rows - 1: f"{low:.4g}"}
    return [
        f"{labels.get(y, ''):>{_LABELS}} " + "".join(_sign(bits, ascii_only) for bits in line)
        for y, line in enumerate(grid)
    ]


def _resampled(values: Sequence[float], columns: int) -> list[float]:
    """One value a column: means of equal shares, or what lies on the line between two values."""
    count = len(values)
    if count > columns:
        ends = [count * i // columns for i in range(columns + 1)]
        return [sum(values[a:b]) / (b - a) for a, b in pairwise(ends)]
    places = (i * (count - 1) / max(1, columns - 1) for i in range(columns))
    return [_between(values, place) for place in places]


def _between(values: Sequence[float], place: float) -> float:
    left = int(place)
    right = min(left + 1, len(values) - 1)
    return values[left] + (place - left) * (values[right] - values[left])


def _row(value: float, low: float, high: float, rows: int) -> int:
    """0 at the top; a flat line lies in the middle."""
    share = (value - low) / (high - low) if high > low else 0.5
    return round((1 - share) * (rows - 1))


def _joined(points: Sequence[int]) -> list[range]:
    """For each column the rows from the point before it to its own, so that the line has no gap."""
    found = [range(points[0], points[0] + 1)]
    for before, here in pairwise(points):
        first = before + (here > before) - (here < before) if here != before else here
        found.append(range(min(first, here), max(first, here) + 1))
    return found


def _sign(bits: int, ascii_only: bool) -> str:
    if ascii_only:
        return "*" if bits else " "
    return chr(_BRAILLE + bits) if bits else " "
