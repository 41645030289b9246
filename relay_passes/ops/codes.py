"""Operators that say the same numbers in another way, and their gradients.

The adjoint of an int8 tensor is float32 and is taken with respect to the real value that its codes
stand for. With that, dequantize passes an adjoint through unchanged and quantize masks it
(straight-through estimator): no scale is multiplied in and divided out again.
"""

from __future__ import annotations

from tvm import relax
from tvm.relax.op.grad import no_grad

from ..graph import constant, constant_value, dtype_of, is_call_of
from . import numbering
from .masks import code_range_mask, masked
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
    _var: relax.Var, call: relax.Call, adjoint: relax.Var, _builder: relax.BlockBuilder
) -> list[relax.Expr]:
    """Straight-through: `[adjoint where the code is an int8 before clamping, else 0]`."""
    data, *coding = call.args
    scale, zero_point = map(constant_value, coding)
    mask = code_range_mask(data, float(scale), int(zero_point))
    return [masked(mask, adjoint), *map(no_grad, coding)]


def _dequantize_gradient(
    _var: relax.Var, call: relax.Call, adjoint: relax.Var, _builder: relax.BlockBuilder
) -> list[relax.Expr]:
    """`[adjoint]`: adjoints of codes are taken in the real domain."""
    return [adjoint, no_grad(call.args[1]), no_grad(call.args[2])]


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
describe("squeeze", restates=True, stored=False)
