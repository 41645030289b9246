"""States in 8 bits: codes in blocks, each with a scale of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence

STATE_DTYPES = ("float32", "int8")
MOST_OF_BLOCK = 64  # elements: a scale takes 1/16 of the codes' bytes
LEAST_OF_BLOCK = 16  # of what is smaller, or has no such divisor, states stay float32


def blocks_of(shape: Sequence[int]) -> tuple[int, int] | None:
    """Blocks and elements of each, of a tensor of `shape` whose elements follow its last axis.

    All blocks are equal, and there are at least two. None where there is no such cut.
    """
    elements = math.prod(shape)
    for size in range(MOST_OF_BLOCK, LEAST_OF_BLOCK - 1, -1):
        if elements % size == 0 and elements > size:
            return elements // size, size
    return None
