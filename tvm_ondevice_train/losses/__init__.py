"""Losses: what a step minimises, and what its target is. A file each.

No TVM and no NumPy is loaded here, so that the command line can list them at once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..errors import OdtError
from .binary_cross_entropy import BCE, BinaryCrossEntropy
from .class_weights import class_weights_of
from .cross_entropy import CROSS_ENTROPY, CrossEntropy
from .huber import HUBER, Huber
from .l1 import L1, MeanAbsoluteError
from .loss import Loss
from .mse import MSE, MeanSquaredError
from .targets import KINDS, LABEL, LABEL_MAP, PROBABILITIES, VALUES, classes_of

LOSSES: dict[str, Loss] = {loss.name: loss for loss in (CROSS_ENTROPY, BCE, MSE, L1, HUBER)}

__all__ = [
    "BCE",
    "CROSS_ENTROPY",
    "HUBER",
    "KINDS",
    "L1",
    "LABEL",
    "LABEL_MAP",
    "LOSSES",
    "MSE",
    "PROBABILITIES",
    "VALUES",
    "BinaryCrossEntropy",
    "CrossEntropy",
    "Huber",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "classes_of",
    "loss_of",
    "owners_of",
]


def loss_of(loss: str | Loss, parameters: Mapping[str, Any] | None = None) -> Loss:
    """The loss of that name, or the given one, with these parameters.

    `class_weights` may also be text of the command line. OdtError for what is unknown.
    """
    if not isinstance(loss, Loss):
        if not isinstance(loss, str) or loss not in LOSSES:
            raise OdtError(
                f"unknown loss {json.dumps(loss, default=repr)}; known are {', '.join(LOSSES)}"
            )
        loss = LOSSES[loss]
    given = dict(parameters or {})
    own = [one.name for one in loss.described()]
    for name in given:
        if name not in own:
            has = f", but {', '.join(own)}" if own else ""
            owners = owners_of(name)
            hint = f"; {' and '.join(owners)} would have it" if owners else ""
            raise OdtError(f"loss {loss.name} has no {name}{has}{hint}")
    if isinstance(given.get("class_weights"), str):
        given["class_weights"] = class_weights_of(given["class_weights"])
    return replace(loss, **given) if given else loss


def owners_of(parameter: str) -> list[str]:
    """Names of the losses that have the parameter."""
    return [
        name for name, loss in LOSSES.items() if parameter in [one.name for one in loss.described()]
    ]
