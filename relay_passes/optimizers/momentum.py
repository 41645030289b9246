"""Stochastic gradient descent with momentum, as `torch.optim.SGD` without dampening has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .optimizer import State, hyperparameter
from .sgd import SGD, decayed


@dataclass(frozen=True)
class Momentum(SGD):
    """``direction = velocity <- momentum * velocity + gradient + weight_decay * value``."""

    name = "momentum"
    states = (State("velocity"),)

    momentum: float = hyperparameter(0.9, "How much of its velocity a value keeps.", below=1.0)

    def next_states(self, gradient: Any, value: Any, states: Mapping, hyper: Mapping) -> dict:
        kept = hyper["momentum"] * states["velocity"]
        return {"velocity": kept + decayed(gradient, value, hyper)}

    def direction(self, gradient: Any, value: Any, states: Mapping, hyper: Mapping) -> Any:
        return states["velocity"]
