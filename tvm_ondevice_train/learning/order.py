"""In which order samples are learned."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def order(samples: int, seed: int) -> Iterator[int]:
    """Sample indices without end, each epoch in a new order."""
    generator = np.random.default_rng(seed)
    while True:
        yield from generator.permutation(samples).tolist()
