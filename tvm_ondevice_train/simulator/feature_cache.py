"""What was computed of samples once, found again by where a sample lies."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


class FeatureCache:
    """The features of samples that stay where they are, as rows of an array do.

    A sample is compared with what lay there before, so that none gets the features of another.

    compute : features of a sample. most_bytes : that the cache may take, copies of the samples
    included; beyond that `full` becomes true, and what is new is computed each time.
    """

    def __init__(self, compute: Callable[[np.ndarray], bytes], most_bytes: int):
        self._compute, self._most_bytes = compute, most_bytes
        self._known: dict[int, tuple[bytes, bytes]] = {}
        self._bytes = 0
        self.full = False

    def __call__(self, sample: np.ndarray) -> bytes:
        """The features of `sample`, which is contiguous."""
        address, content = sample.ctypes.data, sample.tobytes()
        known = self._known.get(address)
        if known is not None and known[0] == content:
            return known[1]
        features = self._compute(sample)
        more = 0 if known is not None else len(content) + len(features)
        if self._bytes + more <= self._most_bytes:
            self._known[address] = content, features
            self._bytes += more
        else:
            self.full = True
        return features
