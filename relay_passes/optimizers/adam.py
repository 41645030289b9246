"""Adam and AdamW (Kingma and Ba; Loshchilov and Hutter), as `torch.optim` has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .optimizer import State, hyperparameter
from .sgd import SGD, WEIGHT_DECAY, decayed
from .square_root import square_root


@dataclass(frozen=True)
class Adam(SGD):
    """``direction = mean / (sqrt(square) + epsilon)``, both without the bias of their start at 0.

    ``mean <- beta1 * mean + (1 - beta1) * g``, ``square <- beta2 * square + (1 - beta2) * g**2``,
    with ``g = gradient + weight_decay * value``.

    The corrections, ``1 - beta**steps``, are formed as the averages are, of 1: so roundings are the
    same in what is divided, and they hold where a beta changes on the way.
    """

    name = "adam"
    states = (State("mean"), State("square", rooted=True))
    scalars = (State("mean_correction"), State("square_correction"))

    learning_rate: float = hyperparameter(0.001, "Learning rate, at the start.")
    beta1: float = hyperparameter(0.9, "How much of its mean gradient a value keeps.", below=1.0)
    beta2: float = hyperparameter(
        0.999, "How much of its mean squared gradient a value keeps.", below=1.0
    )
    epsilon: float = hyperparameter(
        1e-8, "What is added to the root of the mean squared gradient.", positive=True
    )

    def next_scalars(self, scalars: Mapping, hyper: Mapping) -> dict:
        return {
            "mean_correction": _averaged(scalars["mean_correction"], 1, hyper["beta1"]),
            "square_correction": _averaged(scalars["square_correction"], 1, hyper["beta2"]),
        }

    def next_states(self, gradient: Any, value: Any, states: Mapping, hyper: Mapping) -> dict:
        gradient = self.penalized(gradient, value, hyper)
        return {
            "mean": _averaged(states["mean"], gradient, hyper["beta1"]),
            "square": _averaged(states["square"], gradient * gradient, hyper["beta2"]),
        }

    def direction(self, gradient: Any, value: Any, states: Mapping, hyper: Mapping) -> Any:
        mean = states["mean"] / hyper["mean_correction"]
        square = states["square"] / hyper["square_correction"]
        return mean / (square_root(square) + hyper["epsilon"])

    def penalized(self, gradient: Any, value: Any, hyper: Mapping) -> Any:
        """What is averaged: the gradient, with that of the penalty on large values."""
        return decayed(gradient, value, hyper)


@dataclass(frozen=True)
class AdamW(Adam):
    """`Adam`, whose values decay beside the averages: ``direction + weight_decay * value``."""

    name = "adamw"

    weight_decay: float = hyperparameter(0.01, WEIGHT_DECAY, optional=True)

    def penalized(self, gradient: Any, value: Any, hyper: Mapping) -> Any:
        return gradient

    def direction(self, gradient: Any, value: Any, states: Mapping, hyper: Mapping) -> Any:
        return decayed(super().direction(gradient, value, states, hyper), value, hyper)


def _averaged(average: Any, value: Any, kept: Any) -> Any:
    return kept * average + (1 - kept) * value
