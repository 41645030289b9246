"""The mean of the squared differences."""

from __future__ import annotations

from .loss import VALUES, Loss


def _graph(emit, prediction, target):
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
