"""How right outputs are."""

from __future__ import annotations

import numpy as np

from ..losses import LABEL
from ..manifest import Manifest


def metrics_of(manifest: Manifest, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """ "accuracy" where labels are learned; else "error", the mean of the squared differences.

    outputs : (N, elements), finite. targets : as `device.samples.encode_targets` gives them.
    """
    if manifest.target.kind == LABEL:
        return {"accuracy": float(np.mean(outputs.argmax(axis=1) == targets))}
    return {"error": float(np.mean((outputs - targets.reshape(outputs.shape)) ** 2))}
