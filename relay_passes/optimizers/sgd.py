"""Stochastic gradient descent, as `torch.optim.SGD` without momentum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .optimizer import Optimizer, hyperparameter

WEIGHT_DECAY = "How much of each value its gradient (with adamw its step) gets added, L2 penalty."


@dataclass(frozen=True)
class SGD(Optimizer):
    """``direction = gradient + weight_decay * value``."""

    name = "sgd"

    weight_decay: float = hyperparameter(0.0, WEIGHT_DECAY, optional=True)

    def direction(self, gradient: Any, value: Any, states: Mapping, hyper: Mapping) -> Any:
        return decayed(gradient, value, hyper)


def decayed(gradient: Any, value: Any, hyper: Mapping) -> Any:
    """The gradient of the loss and, where there is a weight decay, of its L2 penalty."""
    return gradient + hyper["weight_decay"] * value if "weight_decay" in hyper else gradient
