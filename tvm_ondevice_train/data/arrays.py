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
from ..losses import VALUES
from ..manifest import Manifest

Source: TypeAlias = str | os.PathLike[str] | Mapping[str, ArrayLike] | tuple[ArrayLike, ArrayLike]


@dataclass(frozen=True)
class Data:
    """Samples and targets as the device reads them; the test set is None where there is none."""

    x: np.ndarray
    y: np.ndarray
    x_test: np.ndarray | None = None
    y_test: np.ndarray | None = None

    @property
    def samples_to_evaluate(self) -> tuple[np.ndarray, np.ndarray]:
        """Samples and targets that accuracy is measured on: the test set where there is one."""
        if self.x_test is None:
            return self.x, self.y
        assert self.y_test is not None, "no samples without targets"
        return self.x_test, self.y_test


def load_data(data: Source, manifest: Manifest) -> Data:
    """Check the arrays `x`, `y`, optional `x_test`, `y_test`.

    data : the path of an .npz file, the arrays by name, or the pair (x, y).

    A model that learns values, not labels, may leave out `y`: it then learns to reproduce `x`.
    Raises OdtError for a file, shape, dtype, label or value that the model cannot use.
    """
    where, arrays = _named(data)
    needed = {"x"} if manifest.target.kind == VALUES else {"x", "y"}
    missing = sorted(needed - set(arrays))
    if missing:
        found = ", ".join(sorted(arrays)) or "nothing"
        raise OdtError(f"data: {where} has no array {missing[0]}; it holds {found}")
    if "y_test" in arrays and "x_test" not in arrays:
        raise OdtError(f"data: {where} has y_test but no x_test")
    x, y = _encode_pair(arrays, manifest, "x", "y")
    if "x_test" not in arrays:
        return Data(x, y)
    return Data(x, y, *_encode_pair(arrays, manifest, "x_test", "y_test"))


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
    elif manifest.target.kind != VALUES:
        raise OdtError(f"data: {x_name} has no labels {y_name}")
    else:
        y = encode_targets(decode_inputs(x, manifest), manifest, x_name)
    if len(x) != len(y):
        raise OdtError(f"data: {x_name} has {len(x)} samples and {y_name} {len(y)}")
    if not len(x):
        raise OdtError(f"data: {x_name} has no samples")
    return x, y
