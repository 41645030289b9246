"""All that training changes, as a value."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..manifest import StateTensor, TrainedParameter


@dataclass(frozen=True)
class Snapshot:
    """What the next step depends on, besides its sample.

    params : the bytes of ``odt_params_t``. learning_rate, seed, steps : the fields of ``odt_t``.
    """

    params: bytes
    learning_rate: float
    seed: int
    steps: int


def tensor_in(params: bytes | bytearray, spec: TrainedParameter | StateTensor) -> np.ndarray:
    """A view of the tensor that `spec` says lies in ``odt_params_t``."""
    return np.frombuffer(params, spec.dtype, math.prod(spec.shape), spec.offset).reshape(spec.shape)
