"""The mean of the squared differences."""

from __future__ import annotations

from typing import Any

from .loss import VALUES, Emit, Loss


def _graph(emit: Emit, prediction: Any, target: Any) -> Any:
    from tvm.relax import op

    difference = emit(op.subtract(prediction, target))
    return op.mean(emit(op.multiply(difference, difference)))


MSE = Loss(
    name="mse",
    help="mean squared error with values",
    target=VALUES,
    refusal=lambda output_shape: None,
    graph=_graph,
)
