"""Where a gradient passes: boolean tensors, stored as one bit an element."""

from __future__ import annotations

from tvm import relax, te, tirx

from .registry import call, register

INT8_MIN, INT8_MAX = -128, 127


def code_range_mask(data, scale: float, zero_point: int) -> relax.Call:
    """True where ``round(data / scale) + zero_point`` is an int8 before clamping."""
    return call("code_range_mask", data, scale=scale, zero_point=zero_point)


def interval_mask(data, low: float, high: float) -> relax.Call:
    """True where ``low <= data <= high``."""
    return call("interval_mask", data, low=low, high=high)


def positive_mask(data) -> relax.Call:
    """True where ``data > 0``."""
    return call("positive_mask", data)


def masked(mask, adjoint) -> relax.Call:
    """`adjoint` where the mask is true, else 0."""
    return call("masked", mask, adjoint)


def _bool_like(expr):
    return relax.TensorType(expr.args[0].ty.shape, "bool")


@register("code_range_mask", _bool_like)
def _code_range(attrs, data):
    def element(*index):
        code = requantized_code(data(*index), 1.0 / attrs["scale"], attrs["zero_point"])
        return tirx.all(code >= INT8_MIN, code <= INT8_MAX)

    return te.compute(data.shape, element, name="mask")


@register("interval_mask", _bool_like)
def _interval(attrs, data):
    low, high = (tirx.const(attrs[key], "float32") for key in ("low", "high"))
    return te.compute(
        data.shape, lambda *i: tirx.all(data(*i) >= low, data(*i) <= high), name="mask"
    )


@register("positive_mask", _bool_like)
def _positive(_attrs, data):
    return te.compute(data.shape, lambda *i: data(*i) > tirx.const(0, "float32"), name="mask")


@register("masked", lambda expr: expr.args[1].ty)
def _masked(_attrs, mask, adjoint):
    zero = tirx.const(0, "float32")
    return te.compute(
        adjoint.shape, lambda *i: tirx.Select(mask(*i), adjoint(*i), zero), name="masked"
    )


def requantized_code(value, multiplier, zero_point: int):
    """``round_half_even(value * multiplier) + zero_point`` as int32, not clamped to int8.

    The one definition of rounding for every target (runtime/c/include/odt_kernels.h): a float32
    product, as ONNX Runtime forms it. Values beyond the int8 range stay beyond it.
    """
    if isinstance(multiplier, float):
        multiplier = tirx.const(multiplier, "float32")
    return tirx.call_pure_extern("int32", "odt_round", value * multiplier) + zero_point
