"""Samples and targets that lie in arrays: of an .npz file, by name, or a pair."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from ..errors import OdtError
from ..files.npz import read_npz
from ..losses import VALUES
from ..manifest import Manifest
from .encoder import Encoder
from .split import Split
from .value import TEST, TRAIN, VALIDATION

_NAMES = {
    TRAIN: ("x", "y"),
    VALIDATION: ("x_val", "y_val"),
    TEST: ("x_test", "y_test"),
}


def read_archive(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The arrays of an .npz file by name; OdtError where they cannot be read."""
    return read_npz(Path(path), "data")


def as_arrays(data: Mapping[str, ArrayLike]) -> dict[str, np.ndarray]:
    """What was given in Python as arrays; OdtError for what is none."""
    arrays = {}
    for name, value in data.items():
        try:
            arrays[name] = np.asarray(value)
        except (TypeError, ValueError, RuntimeError) as error:
            raise OdtError(f"data: {name} is no array: {str(error).splitlines()[0]}") from None
    return arrays


def splits_of_arrays(
    arrays: Mapping[str, np.ndarray],
    where: str,
    manifest: Manifest,
    encode: Encoder,
    limit: int | None,
    with_targets: bool,
) -> dict[str, Split]:
    """Split -> its samples, encoded, and its targets as they are; `where` is for messages.

    Without `with_targets`, labels may be missing. A model that learns values, not labels, may leave
    them out: it then learns to reproduce its samples.
    """
    needed = with_targets and manifest.target.kind != VALUES
    missing = [name for name in ("x", "y")[: 1 + needed] if name not in arrays]
    if missing:
        found = ", ".join(sorted(arrays)) or "nothing"
        raise OdtError(f"data: {where} has no array {missing[0]}; it holds {found}")
    splits = {}
    for split, (x_name, y_name) in _NAMES.items():
        if x_name in arrays:
            if needed and y_name not in arrays:
                raise OdtError(f"data: {x_name} has no labels {y_name}")
            x, y = _first(arrays[x_name], limit), arrays.get(y_name)
            y = None if y is None else _first(y, limit)
            splits[split] = Split(encode(x, x_name), y, x_name, y_name)
        elif y_name in arrays:
            raise OdtError(f"data: {where} has {y_name} but no {x_name}")
    return splits


def _first(array: np.ndarray, count: int | None) -> np.ndarray:
    return array if array.ndim == 0 else array[:count]
