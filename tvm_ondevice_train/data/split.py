"""The samples of one split as they were read, before their targets are encoded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Split:
    """Samples, encoded, and what they are to teach.

    x : (N, ...) as the device reads them.
    y : targets as they were given, (N, ...); names of classes, N of them; or None.
    x_name, y_name : what to call them in messages.
    """

    x: np.ndarray
    y: np.ndarray | list[str] | None
    x_name: str
    y_name: str
