"""What a cosine head adds to TVM's operators: inverse norms, and means of features as its rows."""

from __future__ import annotations

import math

from tvm import relax, te

from ..graph import shape_of
from ..tir import tirx
from .registry import Attributes, call, like_first, register

# of a squared norm, from which on a vector has a direction: that of `torch.nn.functional.normalize`
_LEAST = 1e-24


def inverse_norm(rows: relax.Expr) -> relax.Call:
    """(n,) float32: ``1 / |row|`` of each slice along axis 0 of a float32 tensor.

    A row of zeros has 0, and no gradient: its cosine with anything is 0.
    """
    return call("inverse_norm", rows)


def imprinted(
    rows: relax.Expr, counts: relax.Expr, features: relax.Expr, label: relax.Expr
) -> relax.Call:
    """`rows` (classes, ...), of which that of the label is a mean with one sample more.

    counts : (classes,) float32, of how many samples each row is the mean so far; of none it becomes
        `features`, (1, ...).
    """
    return call("imprinted", rows, counts, features, label)


def counted(counts: relax.Expr, label: relax.Expr) -> relax.Call:
    """`counts` (classes,), one more at the label, (1,) int32."""
    return call("counted", counts, label)


def _inverse_norm_gradient(
    var: relax.Var, expr: relax.Call, adjoint: relax.Var, _builder: relax.BlockBuilder
) -> list[relax.Expr]:
    """`[-adjoint * y^3 * row]`."""
    return [call("inverse_norm_grad", expr.args[0], var, adjoint)]


@register(
    "inverse_norm",
    lambda expr: relax.TensorType(shape_of(expr.args[0])[:1], "float32"),
    gradient=_inverse_norm_gradient,
    macs=lambda expr: math.prod(shape_of(expr.args[0])),
    cheap=False,
)
def _inverse_norm(_attrs: Attributes, rows: te.Tensor) -> te.Tensor:
    axes = [te.reduce_axis((0, int(extent)), "r") for extent in rows.shape[1:]]
    squares = te.compute(
        rows.shape[:1], lambda n: te.sum(rows(n, *axes) * rows(n, *axes), axis=axes), name="squares"
    )

    def element(n: tirx.Var) -> tirx.Expr:
        least, zero, one = (tirx.const(value, "float32") for value in (_LEAST, 0, 1))
        return tirx.if_then_else(squares[n] < least, zero, one / tirx.sqrt(squares[n]))

    return te.compute(rows.shape[:1], element, name="inverse")


@register("inverse_norm_grad", like_first)
def _inverse_norm_grad(
    _attrs: Attributes, rows: te.Tensor, inverse: te.Tensor, adjoint: te.Tensor
) -> te.Tensor:
    def element(n: tirx.Var, *i: tirx.Var) -> tirx.Expr:
        y = inverse[n]
        return rows(n, *i) * -(adjoint[n] * y * y * y)

    return te.compute(rows.shape, element, name="input_grad")


@register("imprinted", like_first)
def _imprinted(
    _attrs: Attributes, rows: te.Tensor, counts: te.Tensor, features: te.Tensor, label: te.Tensor
) -> te.Tensor:
    def element(n: tirx.Var, *i: tirx.Var) -> tirx.Expr:
        row, count = rows(n, *i), counts[n]
        mean = (row * count + features(0, *i)) / (count + tirx.const(1, "float32"))
        return tirx.Select(tirx.Cast("int32", n) == label[0], mean, row)

    return te.compute(rows.shape, element, name="updated")


@register("counted", like_first)
def _counted(_attrs: Attributes, counts: te.Tensor, label: te.Tensor) -> te.Tensor:
    def element(n: tirx.Var) -> tirx.Expr:
        one, none = (tirx.const(value, "float32") for value in (1, 0))
        return counts[n] + tirx.Select(tirx.Cast("int32", n) == label[0], one, none)

    return te.compute(counts.shape, element, name="updated")
