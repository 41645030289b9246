"""Losses as graphs: what stands behind a network's output.

Each is called as ``graph(emit, output, target, reduction, **parameters)`` and gives a float scalar;
`reduction` over samples, or over elements where targets are values, is "mean" or "sum".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import TypeAlias

from tvm import relax

from .graph import dtype_of, shape_of
from .ops.loss import negative_log_likelihood
from .ops.weighted_likelihood import one_over_count, weighted_likelihood

Emit: TypeAlias = Callable[[relax.Expr], relax.Var]

_op = relax.op


def cross_entropy(
    emit: Emit,
    logits: relax.Expr,
    label: relax.Expr,
    reduction: str = "mean",
    *,
    class_weights: Sequence[float] | None = None,
    label_smoothing: float = 0.0,
    ignore_index: int | None = None,
) -> relax.Expr:
    """Cross-entropy of a softmax over classes: axis 1 of the `logits`, the only one of a vector.

    label : the number of the class of each sample, an integer tensor without that axis.
    class_weights : a factor for the loss of each class. Unlike PyTorch's, a mean is over the number
        of labels, not over their weights: of one label that would leave no weight.
    ignore_index : labels of this number count nothing; it is that of no class.
    """
    shape, single = shape_of(logits), shape_of(label) == (1,) and len(shape_of(logits)) == 2
    log_probabilities = emit(_op.nn.log_softmax(logits, axis=1 if len(shape) > 1 else 0))
    parameters = class_weights, label_smoothing, ignore_index
    own, plain = _is_own(logits, label), parameters == (None, 0.0, None)
    if plain and single and own:
        return negative_log_likelihood(log_probabilities, label)
    if plain and (len(shape) <= 2 or not own):
        return _op.nn.nll_loss(log_probabilities, label, reduction=reduction)
    if len(shape) < 2 or not own:
        raise ValueError(
            "cross_entropy with parameters is of float32 (N, classes, ...) and int32 labels; "
            f"found {dtype_of(logits)} of shape {shape} and {dtype_of(label)} labels."
        )
    _check_classes(shape[1], class_weights, ignore_index)
    total = emit(weighted_likelihood(log_probabilities, label, *parameters))
    if reduction == "sum":
        return total
    count = prod(shape_of(label))
    if ignore_index is not None:
        return _op.multiply(total, emit(one_over_count(label, ignore_index)))
    return total if count == 1 else _op.multiply(total, relax.const(1 / count, "float32"))


def _check_classes(
    classes: int, class_weights: Sequence[float] | None, ignore_index: int | None
) -> None:
    if class_weights is not None and len(class_weights) != classes:
        raise ValueError(
            f"class_weights has {len(class_weights)} numbers; the logits have {classes} classes."
        )
    if ignore_index is not None and 0 <= ignore_index < classes:
        raise ValueError(
            f"ignore_index is {ignore_index}, one of the {classes} classes; to leave a class out "
            "give it the weight 0."
        )


def _is_own(logits: relax.Expr, label: relax.Expr) -> bool:
    """Whether our own operators, of which devices run the kernels, are of these types."""
    return (dtype_of(logits), dtype_of(label)) == ("float32", "int32")


def binary_cross_entropy(
    emit: Emit,
    logits: relax.Expr,
    target: relax.Expr,
    reduction: str = "mean",
    *,
    positive_weight: float = 1.0,
) -> relax.Expr:
    """Cross-entropy of a sigmoid of each of the `logits` towards a probability.

    positive_weight : a factor for ``-target * log(sigmoid(logits))``.
    """
    one = relax.const(1, dtype_of(logits))
    miss = emit(_op.subtract(one, target))
    likelihood = emit(_op.nn.softplus(emit(_op.negative(logits))))  # -log(sigmoid(logits))
    if positive_weight != 1:
        more = emit(_op.multiply(target, relax.const(positive_weight - 1, dtype_of(logits))))
        likelihood = emit(_op.multiply(emit(_op.add(more, one)), likelihood))
    return _reduced(emit, _op.add(emit(_op.multiply(miss, logits)), likelihood), reduction)


def mse(
    emit: Emit, prediction: relax.Expr, target: relax.Expr, reduction: str = "mean"
) -> relax.Expr:
    """The squared differences."""
    difference = emit(_op.subtract(prediction, target))
    return _reduced(emit, _op.multiply(difference, difference), reduction)


def l1(
    emit: Emit, prediction: relax.Expr, target: relax.Expr, reduction: str = "mean"
) -> relax.Expr:
    """The magnitudes of the differences; where there is none the gradient is 0."""
    return _reduced(emit, _op.abs(emit(_op.subtract(prediction, target))), reduction)


def huber(
    emit: Emit,
    prediction: relax.Expr,
    target: relax.Expr,
    reduction: str = "mean",
    *,
    delta: float = 1.0,
) -> relax.Expr:
    """Half the squared difference up to `delta`, beyond it ``delta * (magnitude - delta / 2)``."""
    difference = emit(_op.subtract(prediction, target))
    near = emit(_op.clip(difference, -delta, delta))
    half = emit(_op.multiply(near, relax.const(0.5, dtype_of(prediction))))
    return _reduced(emit, _op.multiply(near, emit(_op.subtract(difference, half))), reduction)


def _reduced(emit: Emit, elements: relax.Expr, reduction: str) -> relax.Expr:
    elements = emit(elements)
    return _op.sum(elements) if reduction == "sum" else _op.mean(elements)


def label_type(output: relax.TensorType) -> relax.TensorType:
    """Type of the target of `cross_entropy`: int32, the output's shape without its classes."""
    shape = list(output.shape)
    return relax.TensorType([*shape[:1], *shape[2:]] if len(shape) > 1 else [], "int32")


def values_type(output: relax.TensorType) -> relax.TensorType:
    """Type of the target of the others: that of the output."""
    return output


Graph: TypeAlias = Callable[..., relax.Expr]
TargetType: TypeAlias = Callable[[relax.TensorType], relax.TensorType]
GRAPHS: dict[str, tuple[Graph, TargetType]] = {
    "cross_entropy": (cross_entropy, label_type),
    "bce": (binary_cross_entropy, values_type),
    "mse": (mse, values_type),
    "l1": (l1, values_type),
    "huber": (huber, values_type),
}
