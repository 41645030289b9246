"""The negative log-likelihood of one class, and its gradient through a log-softmax.

TVM's `nll_loss` compares 64-bit labels, which its passes narrow in one process and not in the next
(the C would change with it), and its gradient takes an operand that it does not read.
"""

from __future__ import annotations

from collections.abc import Sequence

from tvm import relax, te
from tvm.relax.op.grad import no_grad

from ..graph import op_name, shape_of
from ..tir import Scalar, tirx
from .canonical import tvm_gradient, widened
from .registry import OWN, Attributes, call, describe, like_first, register
from .weighted_likelihood import weighted_cross_entropy_grad

_LOG_SOFTMAX = "nn.log_softmax"
_ZERO = tirx.const(0, "float32")


def negative_log_likelihood(log_probabilities: relax.Expr, label: relax.Expr) -> relax.Call:
    """``-log_probabilities[0, label[0]]``, a scalar; (1, classes) float32 and (1,) int32."""
    return call("negative_log_likelihood", log_probabilities, label)


def negative_log_likelihood_grad(
    adjoint: relax.Expr, label: relax.Expr, classes: int
) -> relax.Call:
    """dL/dlog_probabilities, (1, classes): minus the scalar `adjoint` at the label, 0 elsewhere."""
    return call("negative_log_likelihood_grad", adjoint, label, classes=classes)


def cross_entropy_grad(
    log_probabilities: relax.Expr, label: relax.Expr, adjoint: relax.Expr
) -> relax.Call:
    """dL/dlogits, (1, classes): the scalar `adjoint` times what the probability lacks.

    That is the probability itself, less 1 at the label.
    """
    return call("cross_entropy_grad", log_probabilities, label, adjoint)


def _gradient(
    _var: relax.Var, expr: relax.Call, adjoint: relax.Var, _builder: relax.BlockBuilder
) -> list[relax.Expr]:
    """`[-adjoint at the label, else 0]`."""
    log_probabilities, label = expr.args
    classes = shape_of(log_probabilities)[1]
    return [negative_log_likelihood_grad(adjoint, label, classes), no_grad(label)]


@register("negative_log_likelihood", lambda _: relax.TensorType((), "float32"), gradient=_gradient)
def _loss(_attrs: Attributes, log_probabilities: te.Tensor, label: te.Tensor) -> te.Tensor:
    o = te.reduce_axis((0, int(log_probabilities.shape[1])), "o")
    return te.compute(
        (), lambda: te.sum(_at(label, o, -log_probabilities[0, o]), axis=o), name="loss"
    )


def _row(expr: relax.Call) -> relax.Type:
    return relax.TensorType((1, int(expr.attrs["classes"])), "float32")


@register("negative_log_likelihood_grad", _row, ("classes",), cheap=False)
def _loss_grad(attrs: Attributes, adjoint: te.Tensor, label: te.Tensor) -> te.Tensor:
    return te.compute(
        (1, attrs["classes"]), lambda _, o: _at(label, o, -adjoint()), name="loss_grad"
    )


@register("cross_entropy_grad", like_first, cheap=False)
def _cross_entropy_grad(
    _attrs: Attributes, log_probabilities: te.Tensor, label: te.Tensor, adjoint: te.Tensor
) -> te.Tensor:
    def element(n: tirx.Var, o: tirx.Var) -> tirx.Expr:
        return adjoint() * tirx.exp(log_probabilities[n, o]) - _at(label, o, adjoint())

    return te.compute(log_probabilities.shape, element, name="input_grad")


_log_softmax_gradient = tvm_gradient(_LOG_SOFTMAX)


def _gradient_of_log_softmax(
    var: relax.Var, expr: relax.Call, adjoint: relax.Var, builder: relax.BlockBuilder
) -> Sequence[relax.Expr]:
    """`[adjoint - sum(adjoint) * exp(var)]`, of which behind a likelihood most is known."""
    behind = builder.lookup_binding(adjoint)
    if op_name(behind) == OWN + "negative_log_likelihood_grad":
        return [cross_entropy_grad(var, behind.args[1], behind.args[0])]
    if op_name(behind) == OWN + "weighted_likelihood_grad":
        return [weighted_cross_entropy_grad(var, behind)]
    return _log_softmax_gradient(var, expr, adjoint, builder)


describe(_LOG_SOFTMAX, gradient=widened(_gradient_of_log_softmax))


def _at(label: te.Tensor, o: tirx.Var | tirx.IterVar, value: Scalar) -> tirx.Expr:
    """`value` where output `o` is that of the label, else 0."""
    return tirx.Select(tirx.Cast("int32", o) == label[0], value, _ZERO)
