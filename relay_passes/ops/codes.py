"""Operators that say the same numbers in another way, and their gradients.

The adjoint of an int8 tensor is float32 and is taken with respect to the real value that its codes
stand for. With that, dequantize passes an adjoint through unchanged and quantize masks it
(straight-through estimator): no scale is multiplied in and divided out again.
"""

from __future__ import annotations

from tvm import relax
from tvm.relax.op.grad import no_grad

from ..graph import constant, dtype_of, is_call_of
from . import numbering
from .canonical import as_float, refusal
from .masks import code_range, code_range_mask, masked
from .registry import describe


def codes_of(decode: relax.Expr | None) -> tuple[relax.Expr, float, int] | None:
    """(codes, scale, zero point) of a per-tensor dequantize of int8 codes, or None."""
    if not is_call_of(decode, "relax.dequantize") or dtype_of(decode.args[0]) != "int8":
        return None
    scale, zero_point = map(constant, decode.args[1:])
    if scale is None or zero_point is None or scale.size != 1 or zero_point.size != 1:
        return None
    return decode.args[0], float(scale), int(zero_point)


def _quantize_gradient(
    _var: relax.Var, call: relax.Call, adjoint: relax.Var, builder: relax.BlockBuilder
) -> list[relax.Expr]:
    """Straight-through: `[adjoint where the code is in range before clamping, else 0]`."""
    data, *coding = call.args
    dtype = str(call.attrs.out_dtype)
    if "int" not in dtype:
        raise refusal(call, f"for {dtype} codes")
    scale, zero_point = map(constant, coding)
    if scale is None or zero_point is None or scale.size > 1 or zero_point.size > 1:
        mask = builder.emit(_range_mask(builder, call))
    else:
        real = as_float(builder, "float32", data)
        mask = code_range_mask(real, scale.item(), zero_point.item(), dtype)
    passed = masked(mask, as_float(builder, dtype_of(data), adjoint))
    return [passed, *map(no_grad, coding)]


def _range_mask(builder: relax.BlockBuilder, call: relax.Call) -> relax.Expr:
    """As `code_range_mask`, of scales or zero points that differ along an axis, or are computed."""
    op, (data, *coding) = relax.op, call.args
    data = as_float(builder, "float32", data)
    along = [1] * data.ty.ndim
    along[int(call.attrs.axis)] = -1

    def spread(coefficients: relax.Expr) -> relax.Expr:
        real = builder.emit(op.astype(coefficients, dtype_of(data)))
        return builder.emit(op.reshape(real, along))

    scale, zero_point = map(spread, coding)
    code = builder.emit(op.add(op.round(op.divide(data, scale)), zero_point))
    low, high = (relax.const(bound, dtype_of(data)) for bound in code_range(call.attrs.out_dtype))
    return op.logical_and(op.greater_equal(code, low), op.less_equal(code, high))


def _dequantize_gradient(
    _var: relax.Var, call: relax.Call, adjoint: relax.Var, builder: relax.BlockBuilder
) -> list[relax.Expr]:
    """`[adjoint]`: adjoints of codes are taken in the real domain, as float32."""
    real = as_float(builder, "float32", adjoint)
    return [real, no_grad(call.args[1]), no_grad(call.args[2])]


describe("quantize", gradient=_quantize_gradient, channels=numbering.same, restates=True)
describe(
    "dequantize",
    gradient=_dequantize_gradient,
    channels=numbering.dequantize,
    restates=True,
    stored=False,
    adjoint=False,
)
describe("reshape", channels=numbering.reshape, restates=True, stored=False)
