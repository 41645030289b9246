"""What the scheme `full` does not train, and why."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from ..model import Model

FULL = "full"


def left_out(
    given: Model, model: Model, scheme: object, trained: Collection[str]
) -> dict[str, str]:
    """Name -> why, of each parameter and number of the file; empty for any scheme but `full`.

    given : the model as the file has it; model : and with its head, which has parameters that are
    not the file's. scheme : as the user gave it; trained : names of the parameters that it trains.
    """
    if scheme != FULL:
        return {}
    constants = {
        name: _reason(value)
        for name, value in model.parameters.items()
        if name in given.parameters and name not in trained
    }
    origins = {
        origin: f"{name}, which is computed from it, trains in its place"
        for name, of in model.computed.items()
        for origin in of
        if name in trained and origin not in trained
    }
    numbers = dict.fromkeys(model.numbers, "a single number, which may be of a formula")
    return constants | origins | numbers


def _reason(value: np.ndarray) -> str:
    if value.dtype != np.float32:
        return "quantized, and of no layer"
    return "a constant, which the file does not call learned"
