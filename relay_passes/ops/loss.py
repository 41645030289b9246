"""The negative log-likelihood of one class.

TVM's `nll_loss` compares 64-bit labels, which its passes narrow in one process and not in the next
(the C would change with it), and its gradient takes an operand that it does not read.
"""

from __future__ import annotations

from tvm import relax, te
from tvm.relax.op.grad import no_grad

from ..graph import shape_of
from ..tir import Scalar, tirx
from .registry import Attributes, call, register

_ZERO = tirx.const(0, "float32")


def negative_log_likelihood(log_probabilities: relax.Expr, label: relax.Expr) -> relax.Call:
    """``-log_probabilities[0, label[0]]``, a scalar; (1, classes) float32 and (1,) int32."""
    return call("negative_log_likelihood", log_probabilities, label)


def negative_log_likelihood_grad(
    adjoint: relax.Expr, label: relax.Expr, classes: int
) -> relax.Call:
    """dL/dlog_probabilities, (1, classes): minus the scalar `adjoint` at the label, 0 elsewhere."""
    return call("negative_log_likelihood_grad", adjoint, label, classes=classes)


def _gradient(
    _var: relax.Var, expr: relax.Call, adjoint: relax.Var, _builder: relax.BlockBuilder
) -> list[relax.Expr]:
    """`[-adjoint at the label, else 0]`."""
    log_probabilities, label = expr.args
    classes = shape_of(log_probabilities)[1]
    return [negative_log_likelihood_grad(adjoint, label, classes), no_grad(label)]


@register("negative_log_likelihood", lambda _: relax.TensorType((), "float32"), gradient=_gradient)
def _loss(_attrs: Attributes, log_probabilities: te.Tensor, label: te.Tensor) -> te.Tensor:
    k = te.reduce_axis((0, int(log_probabilities.shape[1])), "k")
    return te.compute(
        (), lambda: te.sum(_at(label, k, -log_probabilities[0, k]), axis=k), name="loss"
    )


def _row(expr: relax.Call) -> relax.Type:
    return relax.TensorType((1, int(expr.attrs["classes"])), "float32")


@register("negative_log_likelihood_grad", _row, cheap=False)
def _loss_grad(attrs: Attributes, adjoint: te.Tensor, label: te.Tensor) -> te.Tensor:
    return te.compute(
        (1, attrs["classes"]), lambda _, k: _at(label, k, -adjoint()), name="loss_grad"
    )


def _at(label: te.Tensor, k: tirx.Var | tirx.IterVar, value: Scalar) -> tirx.Expr:
    """`value` where class `k` is the label, else 0."""
    return tirx.Select(tirx.Cast("int32", k) == label[0], value, _ZERO)
