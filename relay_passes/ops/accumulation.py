"""Sums of gradients over the samples of a batch, and what makes a mean of one."""

from __future__ import annotations

from tvm import relax, te

from .registry import Attributes, call, like_first, register


def accumulate(total: relax.Expr, gradient: relax.Expr) -> relax.Call:
    """float32: ``total + gradient``."""
    return call("accumulate", total, gradient)


def reciprocal(count: relax.Expr) -> relax.Call:
    """``1 / count``, 0-d float32, of a 0-d uint32 tensor."""
    return call("reciprocal", count)


@register("accumulate", like_first)
def _accumulate(_attrs: Attributes, total: te.Tensor, gradient: te.Tensor) -> te.Tensor:
    return te.compute(total.shape, lambda *i: total(*i) + gradient(*i), name="accumulated")


@register("reciprocal", lambda expr: relax.TensorType((), "float32"), cheap=False)
def _reciprocal(_attrs: Attributes, count: te.Tensor) -> te.Tensor:
    return te.compute((), lambda: 1.0 / count().astype("float32"), name="factor")
