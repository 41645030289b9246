"""All that training changes, as a value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..errors import OdtError
from ..manifest import StateTensor, TrainedParameter, check_values


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


def tensors_in(
    params: bytes | bytearray, specs: Mapping[str, TrainedParameter] | Mapping[str, StateTensor]
) -> dict[str, np.ndarray]:
    """A copy of every tensor that `specs` say lies in ``odt_params_t``."""
    return {name: tensor_in(params, spec).copy() for name, spec in specs.items()}


def put_tensors(
    params: bytearray, values: Mapping[str, np.ndarray], specs: Mapping[str, TrainedParameter]
) -> None:
    """Write `values` where `specs` say that they lie in ``odt_params_t``.

    OdtError for an unknown name, another shape or dtype, and what no device can compute with.
    """
    for name, value in values.items():
        if name not in specs:
            known = ", ".join(specs)
            raise OdtError(f"device: no trained parameter {name!r}; there are {known}")
        view, value = tensor_in(params, specs[name]), np.asarray(value)
        if value.shape != view.shape or value.dtype != view.dtype:
            raise OdtError(
                f"device: {name} is {view.dtype} of shape {view.shape}, "
                f"not {value.dtype} of shape {value.shape}"
            )
        check_values(value, f"device: the new {name}")
        view[...] = value
