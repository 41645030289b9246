"""Losses: what a step minimises, and what its target is. A file each.

No TVM is loaded here, so that the command line can list them at once.
"""

import json

from ..errors import OdtError
from .cross_entropy import CROSS_ENTROPY
from .loss import LABEL, VALUES, Loss
from .mse import MSE

LOSSES = {loss.name: loss for loss in (CROSS_ENTROPY, MSE)}

__all__ = ["CROSS_ENTROPY", "LABEL", "LOSSES", "MSE", "VALUES", "Loss", "loss_of"]


def loss_of(loss: str | Loss) -> Loss:
    """The loss of that name, or the given one."""
    if isinstance(loss, Loss):
        return loss
    if not isinstance(loss, str) or loss not in LOSSES:
        raise OdtError(
            f"unknown loss {json.dumps(loss, default=repr)}; known are {', '.join(LOSSES)}"
        )
    return LOSSES[loss]
