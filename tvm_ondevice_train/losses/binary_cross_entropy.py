"""Cross-entropy of a sigmoid of each output."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from .loss import Emit, Loss, parameter
from .targets import PROBABILITIES


@dataclass(frozen=True)
class BinaryCrossEntropy(Loss):
    """As `torch.nn.BCEWithLogitsLoss`: a yes or no for each output, of one or of several labels.

    ``-mean(positive_weight * target * log(p) + (1 - target) * log(1 - p))``, p = sigmoid(output)
    """

    name = "bce"
    help = "binary cross-entropy of a sigmoid, with values from 0 to 1"
    target = PROBABILITIES
    activation = "relax.sigmoid"

    positive_weight: float = parameter("positive_weight")

    def guess(self, output_shape: tuple[int, ...]) -> float | None:
        return max(self.positive_weight, 1.0) * math.log(2)

    def graph(self, emit: Emit, output: Any, target: Any) -> Any:
        from relay_passes.loss_graphs import binary_cross_entropy

        return binary_cross_entropy(emit, output, target, positive_weight=self.positive_weight)


BCE = BinaryCrossEntropy()
