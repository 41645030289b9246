"""Samples and targets for training, from a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..device.samples import decode_inputs, encode_inputs, encode_targets
from ..errors import OdtError
from ..files.npz import read_npz
from ..losses import LABEL
from ..manifest import Manifest


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


def load_data(path: str | Path, manifest: Manifest) -> Data:
    """Read and check FILE.npz: `x`, `y`, optional `x_test`, `y_test`.

    A model that learns values, not labels, may leave out `y`: it then learns to reproduce `x`.
    Raises OdtError for a file, shape, dtype, label or value that the model cannot use.
    """
    arrays = read_npz(Path(path), "data")
    needed = {"x", "y"} if manifest.target.kind == LABEL else {"x"}
    missing = sorted(needed - set(arrays))
    if missing:
        found = ", ".join(sorted(arrays)) or "nothing"
        raise OdtError(f"data: {path} has no array {missing[0]}; it holds {found}")
    if "y_test" in arrays and "x_test" not in arrays:
        raise OdtError(f"data: {path} has y_test but no x_test")
    x, y = _encode_pair(arrays, manifest, "x", "y")
    if "x_test" not in arrays:
        return Data(x, y)
    return Data(x, y, *_encode_pair(arrays, manifest, "x_test", "y_test"))


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
