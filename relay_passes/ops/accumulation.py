"""Sums of gradients over the samples of a batch, and what makes a mean of one.

A sum is float32, or int16 codes in rows of axis 0: ``code * peak / 32767``, where the peak of a row
only grows while a batch is summed (see `Accumulation`).
"""

from __future__ import annotations

from collections.abc import Sequence

from tvm import relax, te

from ..graph import shape_of
from ..tir import tirx
from .integer_gradient import INT16_MAX, largest_magnitude
from .registry import Attributes, call, like_first, register
from .runtime_functions import odt_block_code, odt_block_factor, odt_peak


def accumulate(total: relax.Expr, gradient: relax.Expr) -> relax.Call:
    """float32: ``total + gradient``."""
    return call("accumulate", total, gradient)


def accumulated_peak(peak: relax.Expr, codes: relax.Expr, gradient: relax.Expr) -> relax.Call:
    """The peak of each row once `gradient` is added; not finite where the gradient is not."""
    return call("accumulated_peak", peak, codes, gradient)


def accumulate_codes(
    codes: relax.Expr, peak: relax.Expr, new_peak: relax.Expr, gradient: relax.Expr
) -> relax.Call:
    """Codes for `new_peak` of the sum and `gradient`, rounded to nearest."""
    return call("accumulate_codes", codes, peak, new_peak, gradient)


def new_value(value: relax.Expr) -> relax.Call:
    """`value`, stored over another version of it."""
    return call("new_value", value)


def sum_of_codes(codes: relax.Expr, peak: relax.Expr) -> relax.Call:
    """float32 of the codes."""
    return call("sum_of_codes", codes, peak)


def reciprocal(count: relax.Expr) -> relax.Call:
    """``1 / count``, 0-d float32, of a 0-d uint32 tensor."""
    return call("reciprocal", count)


@register("accumulate", like_first)
def _accumulate(_attrs: Attributes, total: te.Tensor, gradient: te.Tensor) -> te.Tensor:
    return te.compute(total.shape, lambda *i: total(*i) + gradient(*i), name="accumulated")


@register("accumulated_peak", like_first)
def _accumulated_peak(
    _attrs: Attributes, peak: te.Tensor, codes: te.Tensor, gradient: te.Tensor
) -> te.Tensor:
    axes = [te.reduce_axis((0, extent)) for extent in codes.shape[1:]]

    def largest(row: tirx.Var) -> tirx.Expr:
        return largest_magnitude(_total(codes, peak, gradient, (row, *axes)), axis=axes)

    found = te.compute(peak.shape, largest, name="largest")
    return te.compute(peak.shape, lambda row: odt_peak(peak[row], found[row]), name="new_peak")


@register("accumulate_codes", like_first)
def _accumulate_codes(
    _attrs: Attributes, codes: te.Tensor, peak: te.Tensor, new_peak: te.Tensor, gradient: te.Tensor
) -> te.Tensor:
    limit = tirx.const(INT16_MAX, "float32")

    def code(*index: tirx.Var) -> tirx.Expr:
        factor = odt_block_factor(new_peak[index[0]], limit)
        return odt_block_code(_total(codes, peak, gradient, index), factor)

    return te.compute(codes.shape, code, name="accumulated")


@register("new_value", like_first)
def _new_value(_attrs: Attributes, value: te.Tensor) -> te.Tensor:
    return te.compute(value.shape, lambda *i: value(*i), name="new")


@register("sum_of_codes", lambda expr: relax.TensorType(shape_of(expr.args[0]), "float32"))
def _sum_of_codes(_attrs: Attributes, codes: te.Tensor, peak: te.Tensor) -> te.Tensor:
    return te.compute(codes.shape, lambda *i: _real(codes, peak, i), name="total")


@register("reciprocal", lambda expr: relax.TensorType((), "float32"), cheap=False)
def _reciprocal(_attrs: Attributes, count: te.Tensor) -> te.Tensor:
    return te.compute((), lambda: 1.0 / count().astype("float32"), name="factor")


def _real(codes: te.Tensor, peak: te.Tensor, index: Sequence[tirx.Expr]) -> tirx.Expr:
    unit = peak[index[0]] * tirx.const(1 / INT16_MAX, "float32")
    return codes(*index).astype("float32") * unit


def _total(
    codes: te.Tensor, peak: te.Tensor, gradient: te.Tensor, index: Sequence[tirx.Expr]
) -> tirx.Expr:
    return _real(codes, peak, index) + gradient(*index)
