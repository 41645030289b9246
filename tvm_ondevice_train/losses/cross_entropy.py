"""Cross-entropy of a softmax over classes."""

from __future__ import annotations

from typing import Any

from .loss import LABEL, Emit, Loss


def _refusal(output_shape: tuple[int, ...]) -> str | None:
    if len(output_shape) == 2 and output_shape[1] >= 2:
        return None
    return (
        f"cross_entropy needs an output of shape (1, classes), found {output_shape}; "
        "use --loss mse, or --classes for a classifier of your own."
    )


def _graph(emit: Emit, logits: Any, label: Any) -> Any:
    from relay_passes.loss_graphs import cross_entropy

    return cross_entropy(emit, logits, label)


CROSS_ENTROPY = Loss(
    name="cross_entropy",
    help="Softmax cross-entropy with a class label",
    target=LABEL,
    refusal=_refusal,
    graph=_graph,
    brings_softmax=True,
    metric="accuracy",
)
