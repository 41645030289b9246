"""Squares of small differences, magnitudes of large ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .loss import Emit, Loss, parameter
from .targets import VALUES


@dataclass(frozen=True)
class Huber(Loss):
    """As `torch.nn.HuberLoss`."""

    name = "huber"
    help = "Huber's, half the square up to a difference of --delta and linear beyond"
    target = VALUES

    delta: float = parameter("delta")

    def graph(self, emit: Emit, output: Any, target: Any) -> Any:
        from relay_passes.loss_graphs import huber

        return huber(emit, output, target, delta=self.delta)


HUBER = Huber()
