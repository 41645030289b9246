"""The mean of the squared differences."""

from __future__ import annotations

from typing import Any

from .loss import VALUES, Emit, Loss


def _graph(emit: Emit, prediction: Any, target: Any) -> Any:
    from relay_passes.loss_graphs import mse

    return mse(emit, prediction, target)


MSE = Loss(
    name="mse",
    help="mean squared error with values",
    target=VALUES,
    refusal=lambda output_shape: None,
    graph=_graph,
)
