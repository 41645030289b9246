"""Compute only those channels of a weight's gradient that somebody reads."""

from __future__ import annotations

from tvm import relax

from ..graph import Emit, Values, bindings_of, constant, is_call_of, rebuilt
from ..ops.channels import take_channels
from ..ops.registry import attributes, operator_of

TAKE = "relax.odt.take_channels"


def trim_gradients(function: relax.Function) -> relax.Function:
    """Move every `take_channels` of a gradient into what computes the gradient.

    ``take(weight_grad(dy, x))`` becomes ``weight_grad(dy, take(x))``: the saved input is as narrow
    as the slice that trains. A sum of gradients (a weight that two layers share) is trimmed term
    by term. What no rule covers (`Operator.trimmed`) stays as it is, correct and wide.
    """
    values = {b.var: b.value for b in bindings_of(function)}

    def rewrite(emit: Emit, binding: relax.VarBinding) -> relax.Expr:
        value = binding.value
        if is_call_of(value, TAKE):
            attrs = attributes(value)
            return _trimmed(emit, values, value.args[0], attrs["ranges"], attrs["axis"])
        return value

    return rebuilt(function, rewrite)


def _trimmed(
    emit: Emit, values: Values, gradient: relax.Expr, ranges: list[int], axis: int
) -> relax.Call:
    value = values.get(gradient)
    rule = operator_of(value).trimmed

    def trim(term: relax.Expr, along: int = axis) -> relax.Call:
        return _trimmed(emit, values, term, ranges, along)

    call = rule(trim, value, ranges, axis) if rule else None
    if call is None:
        return take_channels(gradient, ranges, axis)
    args = [_emitted(emit, values, a) if isinstance(a, relax.Call) else a for a in call.args]
    return relax.Call(call.op, args, call.attrs)


def _emitted(emit: Emit, values: Values, call: relax.Call) -> relax.Var:
    """Of decoded activations take channels of the int8 codes: a quarter of the bytes."""
    decode = values.get(call.args[0]) if is_call_of(call, TAKE) else None
    scale = constant(decode.args[1]) if is_call_of(decode, "relax.dequantize") else None
    if decode is None or scale is None or scale.size != 1:
        return emit(call)
    codes = emit(relax.Call(call.op, [decode.args[0]], call.attrs))
    return emit(relax.Call(decode.op, [codes, *decode.args[1:]], decode.attrs))
