"""Losses as graphs: what stands behind a network's output."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from tvm import relax

from .graph import dtype_of, shape_of
from .ops.loss import negative_log_likelihood

Emit: TypeAlias = Callable[[relax.Expr], relax.Var]


def cross_entropy(
    emit: Emit, logits: relax.Expr, label: relax.Expr, reduction: str = "mean"
) -> relax.Expr:
    """Cross-entropy of a softmax over classes: axis 1 of the `logits`, the only one of a vector.

    label : the number of the class of each sample, an integer tensor without that axis.
    reduction : over samples, "mean" or "sum".
    """
    axis = 1 if len(shape_of(logits)) > 1 else 0
    log_probabilities = emit(relax.op.nn.log_softmax(logits, axis=axis))
    single = shape_of(label) == (1,) and len(shape_of(logits)) == 2
    if single and (dtype_of(logits), dtype_of(label)) == ("float32", "int32"):
        return negative_log_likelihood(log_probabilities, label)  # the form that devices run
    return relax.op.nn.nll_loss(log_probabilities, label, reduction=reduction)


def mse(
    emit: Emit, prediction: relax.Expr, target: relax.Expr, reduction: str = "mean"
) -> relax.Expr:
    """The mean, or the sum, of the squared differences over all elements."""
    difference = emit(relax.op.subtract(prediction, target))
    square = emit(relax.op.multiply(difference, difference))
    return relax.op.sum(square) if reduction == "sum" else relax.op.mean(square)


def label_type(output: relax.TensorType) -> relax.TensorType:
    """Type of the target of `cross_entropy`: int32, the output's shape without its classes."""
    shape = list(output.shape)
    return relax.TensorType([*shape[:1], *shape[2:]] if len(shape) > 1 else [], "int32")


def values_type(output: relax.TensorType) -> relax.TensorType:
    """Type of the target of `mse`: that of the output."""
    return output


GRAPHS = {"cross_entropy": (cross_entropy, label_type), "mse": (mse, values_type)}
