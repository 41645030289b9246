"""The mean of the magnitudes of the differences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .loss import Emit, Loss
from .targets import VALUES


@dataclass(frozen=True)
class MeanAbsoluteError(Loss):
    """As `torch.nn.L1Loss`."""

    name = "l1"
    help = "mean absolute error"
    target = VALUES

    def graph(self, emit: Emit, output: Any, target: Any) -> Any:
        from relay_passes.loss_graphs import l1

        return l1(emit, output, target)


L1 = MeanAbsoluteError()
