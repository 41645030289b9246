"""Samples and targets for training, from a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from ..device.samples import decode_inputs, encode_inputs, encode_targets
from ..errors import OdtError
from ..files.npz import read_npz
from ..losses import LABEL
from ..manifest import Manifest

Source: TypeAlias = str | os.PathLike[str] | Mapping[str, ArrayLike] | tuple[ArrayLike, ArrayLike]


@dataclass(frozen=True)
class Data:
    """Samples and targets as the device reads them; None for a set that is not there.

    x_val, y_val : what a run is judged by on its way. x_test, y_test : and what it is in the end.
    """

    x: np.ndarray
    y: np.ndarray
    x_test: np.ndarray | None = None
    y_test: np.ndarray | None = None
    x_val: np.ndarray | None = None
    y_val: np.ndarray | None = None

    def samples(self, *wanted: str) -> tuple[str, np.ndarray, np.ndarray]:
        """Name, samples, targets of the first set that is there of those wanted; else "training".

        wanted : "validation", "test".
        """
        sets = {"validation": (self.x_val, self.y_val), "test": (self.x_test, self.y_test)}
        for name in wanted:
            x, y = sets[name]
            if x is not None and y is not None:
                return name, x, y
        return "training", self.x, self.y


def load_data(data: Source, manifest: Manifest) -> Data:
    """Check the arrays `x`, `y`, optional `x_test`, `y_test` and `x_val`, `y_val`.

    data : the path of an .npz file, the arrays by name, or the pair (x, y).

    A model that learns values, not labels, may leave out `y`: it then learns to reproduce `x`.
    Raises OdtError for a file, shape, dtype, label or value that the model cannot use.
    """
    where, arrays = _named(data)
    needed = {"x", "y"} if manifest.target.kind == LABEL else {"x"}
    missing = sorted(needed - set(arrays))
    if missing:
        found = ", ".join(sorted(arrays)) or "nothing"
        raise OdtError(f"data: {where} has no array {missing[0]}; it holds {found}")
    sets: dict[str, np.ndarray] = {}
    for end in ("", "_test", "_val"):
        x_name, y_name = f"x{end}", f"y{end}"
        if x_name in arrays:
            sets[x_name], sets[y_name] = _encode_pair(arrays, manifest, x_name, y_name)
        elif y_name in arrays:
            raise OdtError(f"data: {where} has {y_name} but no {x_name}")
    return Data(**sets)


def _named(data: Source) -> tuple[str, dict[str, np.ndarray]]:
    """What to call the data in messages, and its arrays by name."""
    if isinstance(data, (str, os.PathLike)):
        return str(data), read_npz(Path(data), "data")
    if isinstance(data, tuple) and len(data) == 2:
        data = dict(zip("xy", data, strict=True))
    if not isinstance(data, Mapping):
        raise OdtError(
            f"data: it is a {type(data).__name__}; it must be an .npz file, arrays by name, or the "
            "pair (x, y)"
        )
    arrays = {}
    for name, value in data.items():
        try:
            arrays[name] = np.asarray(value)
        except (TypeError, ValueError, RuntimeError) as error:
            raise OdtError(f"data: {name} is no array: {str(error).splitlines()[0]}") from None
    return "what was given", arrays


def _encode_pair(
    arrays: dict[str, np.ndarray], manifest: Manifest, x_name: str, y_name: str
) -> tuple[np.ndarray, np.ndarray]:
    x = encode_inputs(arrays[x_name], manifest, x_name)
    if y_name in arrays:
        y = encode_targets(arrays[y_name], manifest, y_name)
    elif manifest.target.kind == LABEL:
        raise OdtError(f"data: {x_name} has no labels {y_name}")
    else:
        y = encode_targets(decode_inputs(x, manifest), manifest, x_name)
    if len(x) != len(y):
        raise OdtError(f"data: {x_name} has {len(x)} samples and {y_name} {len(y)}")
    if not len(x):
        raise OdtError(f"data: {x_name} has no samples")
    return x, y
