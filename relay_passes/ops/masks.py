"""Where a gradient passes: boolean tensors, stored as one bit an element."""

from __future__ import annotations

import numpy as np
from tvm import relax, te

from ..graph import constant, is_call_of
from ..tir import tirx
from .registry import Attributes, call, operator_of, register

INT8_MIN, INT8_MAX = -128, 127


def code_range_mask(
    data: relax.Expr, scale: float, zero_point: int, dtype: str = "int8"
) -> relax.Call:
    """True where ``round(data / scale) + zero_point`` is a `dtype` before clamping."""
    low, high = code_range(dtype)
    attrs = {"low": low - zero_point, "high": high - zero_point}
    return call("code_range_mask", data, scale=scale, **attrs)


def code_range(dtype: str) -> tuple[int, int]:
    """Least and greatest integer of `dtype`."""
    return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)


def interval_mask(data: relax.Expr, low: float, high: float) -> relax.Call:
    """True where ``low <= data <= high``."""
    return call("interval_mask", data, low=low, high=high)


def positive_mask(data: relax.Expr) -> relax.Call:
    """True where ``data > 0``."""
    return call("positive_mask", data)


def as_mask(value: relax.Expr) -> relax.Call | None:
    """`value` as an operator of this module, if it says where a gradient passes; else None.

    TVM's rule for ReLU compares with a constant: ``where(less(x, 0), 0, adjoint)``.
    """
    if operator_of(value).mask:
        return value
    if not is_call_of(value, "relax.less"):
        return None
    bound = constant(value.args[1])
    if not isinstance(value.args[0], relax.Var) or bound is None or bound.size != 1:
        return None
    return call("below_mask", value.args[0], bound=float(bound))


def masked(mask: relax.Expr, adjoint: relax.Expr) -> relax.Call:
    """`adjoint` where the mask is true, else 0."""
    return call("masked", mask, adjoint)


def masked_inward(mask: relax.Expr, codes: relax.Expr, adjoint: relax.Expr) -> relax.Call:
    """As `masked`; and `adjoint` where it brings a code that was clamped back into its range.

    Descent goes against the adjoint: from the greatest code it must be above 0, from the least
    below.
    """
    return call("masked_inward", mask, codes, adjoint)


def _bool_like(expr: relax.Call) -> relax.Type:
    return relax.TensorType(expr.args[0].ty.shape, "bool")


@register("code_range_mask", _bool_like, ("scale", "low", "high"), mask=True)
def _code_range(attrs: Attributes, data: te.Tensor) -> te.Tensor:
    def element(*index: tirx.Var) -> tirx.Expr:
        code = tirx.round(data(*index) / tirx.const(attrs["scale"], data.dtype))
        low, high = (tirx.const(float(attrs[key]), data.dtype) for key in ("low", "high"))
        return tirx.all(code >= low, code <= high)

    return te.compute(data.shape, element, name="mask")


@register("interval_mask", _bool_like, ("low", "high"), mask=True)
def _interval(attrs: Attributes, data: te.Tensor) -> te.Tensor:
    low, high = (tirx.const(attrs[key], data.dtype) for key in ("low", "high"))
    return te.compute(
        data.shape, lambda *i: tirx.all(data(*i) >= low, data(*i) <= high), name="mask"
    )


@register("positive_mask", _bool_like, mask=True)
def _positive(_attrs: Attributes, data: te.Tensor) -> te.Tensor:
    return te.compute(data.shape, lambda *i: data(*i) > tirx.const(0, data.dtype), name="mask")


@register("below_mask", _bool_like, ("bound",), mask=True)
def _below(attrs: Attributes, data: te.Tensor) -> te.Tensor:
    bound = tirx.const(attrs["bound"], data.dtype)
    return te.compute(data.shape, lambda *i: data(*i) < bound, name="mask")


@register("masked", lambda expr: expr.args[1].ty, elementwise=True)
def _masked(_attrs: Attributes, mask: te.Tensor, adjoint: te.Tensor) -> te.Tensor:
    zero = tirx.const(0, adjoint.dtype)
    return te.compute(
        adjoint.shape, lambda *i: tirx.Select(mask(*i), adjoint(*i), zero), name="masked"
    )


@register("masked_inward", lambda expr: expr.args[2].ty, elementwise=True)
def _masked_inward(
    _attrs: Attributes, mask: te.Tensor, codes: te.Tensor, adjoint: te.Tensor
) -> te.Tensor:
    zero = tirx.const(0, adjoint.dtype)
    greatest = tirx.const(code_range(str(codes.dtype))[1], codes.dtype)

    def element(*index: tirx.Var) -> tirx.Expr:
        value = adjoint(*index)
        inward = tirx.Select(codes(*index) == greatest, value > zero, value <= zero)
        return tirx.Select(tirx.any(mask(*index), inward), value, zero)

    return te.compute(adjoint.shape, element, name="masked")
