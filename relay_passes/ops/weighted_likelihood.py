"""Negative log-likelihoods of any number of labels, weighted, smoothed, some of them ignored.

Each is ``-sum(share * log_probability)`` over the classes. The share of a class in the target is
its weight times ``label_smoothing / classes``, and that of the label's class 1 - `label_smoothing`
times its weight more. Labels that are `ignored`, which are numbers of no class, have no shares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tvm import relax, te
from tvm.relax.op.grad import no_grad

from ..graph import shape_of
from ..tir import Scalar, tirx
from .registry import Attributes, attributes, call, float_of_shape, like_first, register

Index = Sequence[tirx.Var | tirx.IterVar]

_SHARES = ("label_smoothing", "weight_total", "ignored")  # attributes that say what the shares are


def weighted_likelihood(
    log_probabilities: relax.Expr,
    label: relax.Expr,
    class_weights: Sequence[float] | None,
    label_smoothing: float,
    ignore_index: int | None,
) -> relax.Call:
    """Their sum, a scalar, for float32 (N, classes, ...) and int32 labels (N, ...)."""
    classes = shape_of(log_probabilities)[1]
    weights = np.ones(1) if class_weights is None else np.array(class_weights)
    return call(
        "weighted_likelihood",
        log_probabilities,
        label,
        relax.const(weights.astype(np.float32)),
        label_smoothing=float(label_smoothing),
        weight_total=float(np.broadcast_to(weights, classes).sum()),
        ignored=_listed(ignore_index),
    )


def one_over_count(label: relax.Expr, ignore_index: int | None) -> relax.Call:
    """1 over the number of labels that are not ignored, or 1 where there are none; a scalar."""
    return call("one_over_count", label, ignored=_listed(ignore_index))


def weighted_cross_entropy_grad(log_probabilities: relax.Expr, adjoint: relax.Call) -> relax.Call:
    """dL/dlogits, of the call that gives the adjoint of these `log_probabilities`."""
    scalar, *target = adjoint.args
    shares = _shares_of(adjoint)
    return call("weighted_cross_entropy_grad", log_probabilities, *target, scalar, **shares)


def _gradient(
    _var: relax.Var, expr: relax.Call, adjoint: relax.Var, _builder: relax.BlockBuilder
) -> list[relax.Expr]:
    """`[-adjoint * share]`."""
    log_probabilities, *target = expr.args
    shape = list(shape_of(log_probabilities))
    shares = _shares_of(expr)
    gradient = call("weighted_likelihood_grad", adjoint, *target, shape=shape, **shares)
    return [gradient, *map(no_grad, target)]


def _shares_of(expr: relax.Call) -> Attributes:
    attrs = attributes(expr)
    return {name: attrs[name] for name in _SHARES}


def _listed(ignore_index: int | None) -> list[int]:
    return [] if ignore_index is None else [ignore_index]


@dataclass(frozen=True)
class _Shares:
    """Shares of classes in the target: an element at (n, class, ...) belongs to label (n, ...)."""

    attrs: Attributes
    classes: int
    label: te.Tensor
    weights: te.Tensor

    def of(self, index: Index, value: Scalar) -> tirx.Expr:
        """`value` times the share of the class at `index`."""
        smoothing, label = self.attrs["label_smoothing"], self._label(index)
        value = value * self._weight(index[1])
        hit, miss = value, _real(0)
        if smoothing:
            hit = value * _real(1 - smoothing + smoothing / self.classes)
            miss = value * _real(smoothing / self.classes)
        return self._counted(label, tirx.Select(tirx.Cast("int32", index[1]) == label, hit, miss))

    def of_all(self, index: Index, value: Scalar) -> tirx.Expr:
        """`value` times the shares of all classes."""
        label, total = self._label(index), _real(1)
        if int(self.weights.shape[0]) > 1:
            smoothing, total = self.attrs["label_smoothing"], self.attrs["weight_total"]
            of_class = tirx.max(tirx.min(label, self.classes - 1), 0)  # also where it is ignored
            total = self.weights[of_class] * _real(1 - smoothing) + _real(
                smoothing / self.classes * total
            )
        return self._counted(label, value * total)

    def _label(self, index: Index) -> tirx.Expr:
        n, _, *rest = index
        return self.label(n, *rest)

    def _weight(self, of_class: tirx.Var | tirx.IterVar) -> tirx.Expr:
        return self.weights[of_class if int(self.weights.shape[0]) > 1 else 0]

    def _counted(self, label: tirx.Expr, value: tirx.Expr) -> tirx.Expr:
        for number in self.attrs["ignored"]:
            value = tirx.Select(label == tirx.const(number, "int32"), _real(0), value)
        return value


def _real(value: float) -> tirx.Expr:
    return tirx.const(value, "float32")


def _scalar(_expr: relax.Call) -> relax.Type:
    return relax.TensorType((), "float32")


@register("weighted_likelihood", _scalar, _SHARES, gradient=_gradient)
def _likelihood(
    attrs: Attributes, log_probabilities: te.Tensor, label: te.Tensor, weights: te.Tensor
) -> te.Tensor:
    shares = _Shares(attrs, int(log_probabilities.shape[1]), label, weights)
    index = [te.reduce_axis((0, extent)) for extent in log_probabilities.shape]

    def total() -> tirx.Expr:
        return te.sum(shares.of(index, -log_probabilities(*index)), axis=index)

    return te.compute((), total, name="loss")


@register("weighted_likelihood_grad", float_of_shape, ("shape", *_SHARES), cheap=False)
def _likelihood_grad(
    attrs: Attributes, adjoint: te.Tensor, label: te.Tensor, weights: te.Tensor
) -> te.Tensor:
    shares = _Shares(attrs, attrs["shape"][1], label, weights)
    return te.compute(attrs["shape"], lambda *i: shares.of(i, -adjoint()), name="loss_grad")


@register("weighted_cross_entropy_grad", like_first, _SHARES, cheap=False)
def _cross_entropy_grad(
    attrs: Attributes,
    log_probabilities: te.Tensor,
    label: te.Tensor,
    weights: te.Tensor,
    adjoint: te.Tensor,
) -> te.Tensor:
    """What the probability, times the shares of all classes, has more than the class's share."""
    shares = _Shares(attrs, int(log_probabilities.shape[1]), label, weights)

    def element(*i: tirx.Var) -> tirx.Expr:
        probability = tirx.exp(log_probabilities(*i))
        return shares.of_all(i, adjoint()) * probability - shares.of(i, adjoint())

    return te.compute(log_probabilities.shape, element, name="input_grad")


@register("one_over_count", _scalar, ("ignored",))
def _one_over_count(attrs: Attributes, label: te.Tensor) -> te.Tensor:
    index = [te.reduce_axis((0, extent)) for extent in label.shape]

    def counted() -> tirx.Expr:
        counts = tirx.all(*(label(*index) != number for number in attrs["ignored"]))
        return te.sum(counts.astype("int32"), axis=index)

    count = te.compute((), counted, name="count")
    return te.compute(
        (), lambda: _real(1) / tirx.max(count(), 1).astype("float32"), name="one_over_count"
    )
