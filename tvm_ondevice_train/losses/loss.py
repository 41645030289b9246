"""What a loss is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

LABEL, VALUES = "label", "values"
Emit: TypeAlias = Callable[[Any], Any]  # a binding's value -> its variable


@dataclass(frozen=True)
class Loss:
    """A loss of one sample.

    Attributes
    ----------
    name, help : for the command line.
    target : what a sample is trained towards: LABEL, the number of a class, int32 of shape (1,);
        or VALUES, float32 of the output's shape.
    refusal : output shape -> why no network of that output can have this loss; None if it can.
    graph : (emit, output, target) -> the loss, a float32 scalar, as a Relax expression. It
        loads TVM itself.
    brings_softmax : it is of a softmax of its own: one that ends the network is left to it.
    metric : what is measured beside the loss: "accuracy" of the largest output, or None.
    """

    name: str
    help: str
    target: str
    refusal: Callable[[tuple[int, ...]], str | None]
    graph: Callable[[Emit, Any, Any], Any]
    brings_softmax: bool = False
    metric: str | None = None

    def target_of(self, output_shape: tuple[int, ...]) -> tuple[tuple[int, ...], str]:
        """Shape and dtype of the target."""
        return ((1,), "int32") if self.target == LABEL else (output_shape, "float32")
