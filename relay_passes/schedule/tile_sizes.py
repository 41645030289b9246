"""How large the tiles of a convolution best are, with the scratch that there is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..memory.scratch import allocated_bytes

# Instructions, roughly, of Cortex-M's microkernels: what matters is which tile takes fewer.
TILE_COST = 60  # of the calls for a tile
LOAD_COST = 5  # of 4 rows of int8 weights, beyond that of int16
SUM_COST = 0.75  # of a sum that is loaded and stored again
PACK_COST, PACK_FEW_COST = 2.5, 5  # of an element, in fours and otherwise
ENOUGH = 1 / 32  # so much worse is as good, with less scratch


class Tile(NamedTuple):
    """So many rows and outputs at a time, of the depth one of so many parts."""

    rows: int
    outputs: int
    parts: int = 1


@dataclass(frozen=True)
class Tiling:
    """A convolution as a product of matrices: a row for each pixel, a column for each output.

    rows, outputs, depth : of all of it; for a group.
    floats : whether it is float32.
    row_items, output_items : of each staged operand, which has `depth` elements for a row or an
        output, the bytes of one.
    row_bytes, output_bytes : what else is stored for a row or an output.
    """

    rows: int
    outputs: int
    depth: int
    floats: bool
    row_items: tuple[int, ...]
    output_items: tuple[int, ...]
    row_bytes: tuple[int, ...] = ()
    output_bytes: tuple[int, ...] = ()

    def scratch_bytes(self, tile: Tile) -> int:
        """What a tile takes. In parts, the sums of all outputs are stored."""
        depth = self.depth // tile.parts
        sums = tile.rows * (tile.outputs if tile.parts == 1 else self.outputs)
        sizes = [
            *(tile.rows * depth * item for item in self.row_items),
            *(tile.outputs * depth * item for item in self.output_items),
            *(tile.rows * size for size in self.row_bytes),
            *(tile.outputs * size for size in self.output_bytes),
        ]
        return sum(map(allocated_bytes, [*sizes, 4 * sums]))

    def cost(self, tile: Tile) -> float:
        """Instructions, roughly, for each element of the depth."""
        rows, outputs, parts = tile
        tiles = self.rows / rows * (self.outputs / outputs)
        # rows are staged once, outputs for each tile of rows
        packs = len(self.row_items) * self.rows * _pack_cost(rows)
        packs += len(self.output_items) * self.outputs * _pack_cost(outputs) * self.rows / rows
        calls = (TILE_COST + SUM_COST * rows * outputs * (parts > 1)) * parts / self.depth
        if not self.floats and 2 not in self.output_items:  # int8 weights take longer to load
            packs += self.outputs * math.ceil(self.rows / 4) * (0.25 + LOAD_COST / self.depth)
        return packs + tiles * (_products(rows, outputs, self.floats) + calls)

    def best(self, tiles: Sequence[Tile], limit: float) -> Tile | None:
        """Which of the tiles takes the fewest instructions; None if `limit` bytes hold none."""
        fitting = [tile for tile in tiles if self.scratch_bytes(tile) <= limit]
        if not fitting:
            return None
        enough = min(map(self.cost, fitting)) * (1 + ENOUGH)
        good = [tile for tile in fitting if self.cost(tile) <= enough]
        return min(good, key=lambda t: (t.parts, self.scratch_bytes(t), self.cost(t)))

    def beats(self, other: Tiling, tiles: Sequence[Tile], limit: float) -> bool:
        """Whether the best of the tiles takes fewer instructions than with `other`."""
        mine, its = self.best(tiles, limit), other.best(tiles, limit)
        return mine is not None and self.cost(mine) * (1 + ENOUGH) < other.cost(its or mine)


def tile_sizes(extents: list[int], most: int) -> list[int]:
    """Sizes up to `most` of a tile of nested loops: a part of some loop, all of the loops in it.

    So a tile never takes part of two rows, and an index in it stays a sum.
    """
    sizes, inner = [], 1
    for extent in reversed(extents):
        sizes += [inner * n for n in range(1, extent + 1) if extent % n == 0]
        inner *= extent
    return sorted({size for size in sizes if size <= most})


def _pack_cost(count: int) -> float:
    return PACK_FEW_COST if count % 4 else PACK_COST


def _products(rows: int, outputs: int, floats: bool) -> float:
    """Of one element of the depth: products, and the loads that a block in registers shares."""
    block = 5 if floats else 4
    blocks, rest = divmod(rows, block)
    if floats:
        return rows * outputs + 3 * math.ceil(rows / block) * math.ceil(outputs / 4)
    return outputs * (blocks * 3 + (0, 1.25, 1.75, 2.5)[rest])
