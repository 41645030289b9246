"""Cross-entropy of a softmax over classes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from .loss import Emit, Loss, parameter
from .targets import LABEL, LABEL_MAP


@dataclass(frozen=True)
class CrossEntropy(Loss):
    """``-log(softmax(output)[label])``, of a map the mean over its pixels.

    As `torch.nn.CrossEntropyLoss`, but that a mean is over the number of labels, not over their
    weights: of one label nothing of its weight would remain.
    """

    name = "cross_entropy"
    help = "softmax cross-entropy with a label, or with one for each pixel of a map"
    target = LABEL
    activation = "relax.nn.softmax"

    class_weights: tuple[float, ...] | None = parameter("class_weights")
    label_smoothing: float = parameter("label_smoothing")
    ignore_index: int | None = parameter("ignore_index")

    def kind_of(self, output_shape: tuple[int, ...]) -> str:
        return LABEL_MAP if len(output_shape) == 4 else LABEL

    @property
    def ignored(self) -> int | None:
        return self.ignore_index

    def refusal(self, output_shape: tuple[int, ...]) -> str | None:
        if len(output_shape) not in (2, 4) or output_shape[1] < 2:
            return (
                "cross_entropy needs an output of shape (1, classes), or (1, classes, height, "
                f"width), found {output_shape}; use --loss mse, or --classes for a classifier of "
                "your own."
            )
        classes, weights, ignored = output_shape[1], self.class_weights, self.ignore_index
        if weights is not None and len(weights) != classes:
            return f"class_weights has {len(weights)} numbers; the output has {classes} classes."
        if ignored is None:
            return None
        if self.kind_of(output_shape) == LABEL:
            return "ignore_index is for a map of labels; a sample here has one label."
        if 0 <= ignored < classes:
            return (
                f"ignore_index is {ignored}, one of the {classes} classes; to leave a class out "
                "give it the weight 0 (class_weights)."
            )
        return None

    def guess(self, output_shape: tuple[int, ...]) -> float | None:
        return max(self.class_weights or (1.0,)) * math.log(output_shape[1])

    def graph(self, emit: Emit, output: Any, target: Any) -> Any:
        from relay_passes.loss_graphs import cross_entropy

        return cross_entropy(
            emit,
            output,
            target,
            class_weights=self.class_weights,
            label_smoothing=self.label_smoothing,
            ignore_index=self.ignore_index,
        )


CROSS_ENTROPY = CrossEntropy()
