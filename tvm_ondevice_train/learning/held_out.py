"""Samples that are not trained on: what a run is judged by on its way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..data import Data
from ..errors import OdtError
from ..losses import LABEL
from ..manifest import Manifest


def with_validation(data: Data, share: float | None, seed: int, manifest: Manifest) -> Data:
    """`data`, of whose training samples `share` became validation samples, of each class alike.

    None leaves it as it is. Raises OdtError where there is a validation set already, or where
    nothing would be left of either.
    """
    if share is None:
        return data
    if data.x_val is not None:
        raise OdtError("run: the data have x_val already; leave out --validation")
    if not 0 < share < 1:
        raise OdtError(f"run: validation is {share:g}; it must be a share between 0 and 1")
    labels = data.y if manifest.target.kind == LABEL else np.zeros(len(data.x), np.int32)
    held = _drawn(labels.reshape(-1), share, seed)
    if held.all() or not held.any():
        raise OdtError(f"run: of {len(held)} samples, {share:g} for validation leaves no other set")
    kept = replace(data, x=data.x[~held], y=data.y[~held])
    return replace(kept, x_val=data.x[held], y_val=data.y[held])


def _drawn(labels: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Which samples: the share of each label, rounded, and one at least of two or more."""
    generator = np.random.default_rng((seed, 1))  # another stream than the order's
    held = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        of_it = generator.permutation(np.flatnonzero(labels == label))
        least = min(1, len(of_it) - 1)
        held[of_it[: max(least, round(share * len(of_it)))]] = True
    return held
