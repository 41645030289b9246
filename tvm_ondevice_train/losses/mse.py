"""The mean of the squared differences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .loss import Emit, Loss
from .targets import VALUES


@dataclass(frozen=True)
class MeanSquaredError(Loss):
    """As `torch.nn.MSELoss`."""

    name = "mse"
    help = "mean squared error"
    target = VALUES

    def graph(self, emit: Emit, output: Any, target: Any) -> Any:
        from relay_passes.loss_graphs import mse

        return mse(emit, output, target)


MSE = MeanSquaredError()
