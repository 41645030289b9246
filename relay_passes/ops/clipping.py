"""The norm of all gradients, and what shortens them to one that is allowed.

As `torch.nn.utils.clip_grad_norm_`: the gradients of all that trains are one vector; where its
Euclidean norm is above the limit, each is multiplied by ``limit / (norm + 1e-6)``.
"""

from __future__ import annotations

from tvm import relax, te

from ..tir import tirx
from .registry import Attributes, call, like_first, register

_EPSILON = 1e-6  # PyTorch's
_LARGEST = 3.4028234663852886e38  # of the finite float32


def add_squares(total: relax.Expr, gradient: relax.Expr) -> relax.Call:
    """`total`, a 0-d float32 tensor, and the square of each element of `gradient`."""
    return call("add_squares", total, gradient)


def clip_factor(squares: relax.Expr, factor: relax.Expr, limit: relax.Expr) -> relax.Call:
    """What a vector of the squared norm `squares` is multiplied by, where it would be by `factor`.

    All are 0-d float32. A limit of 0 allows any norm. A norm that is not finite is the factor
    itself, so that no update is finite and the step diverges.
    """
    return call("clip_factor", squares, factor, limit)


@register("add_squares", like_first)
def _add_squares(_attrs: Attributes, total: te.Tensor, gradient: te.Tensor) -> te.Tensor:
    """A sum for each row, and of those: rounding grows with the longer of the two sums alone."""
    rows, *inner = gradient.shape
    axes = [te.reduce_axis((0, extent)) for extent in inner]

    def square(row: tirx.Var) -> tirx.Expr:
        return gradient(row, *axes) * gradient(row, *axes)

    def squares(row: tirx.Var) -> tirx.Expr:
        return te.sum(square(row), axis=axes) if axes else square(row)

    of_rows = te.compute((rows,), squares, name="squares")
    row = te.reduce_axis((0, rows), "row")
    added = te.compute((), lambda: te.sum(of_rows[row], axis=row), name="added")
    return te.compute((), lambda: total() + added(), name="total")


@register("clip_factor", like_first, cheap=False)
def _clip_factor(
    _attrs: Attributes, squares: te.Tensor, factor: te.Tensor, limit: te.Tensor
) -> te.Tensor:
    zero, one = (tirx.const(value, "float32") for value in (0, 1))
    norm = te.compute((), lambda: tirx.sqrt(squares()) * factor(), name="norm")

    def clipped() -> tirx.Expr:
        shortened = tirx.min(one, limit() / (norm() + tirx.const(_EPSILON, "float32")))
        allowed = factor() * tirx.Select(limit() > zero, shortened, one)
        return tirx.Select(norm() <= tirx.const(_LARGEST, "float32"), allowed, norm())

    return te.compute((), clipped, name="clipped")
