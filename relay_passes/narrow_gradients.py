"""Compute only those channels of a weight's gradient that somebody reads."""

from __future__ import annotations

from tvm import relax

from .graph import bindings_of, constant, op_name, rebuilt, shape_of
from .ops.channels import take_channels
from .ops.convolution import conv2d_weight_grad_slice
from .ops.registry import attributes

TAKE = "relax.odt.take_channels"


def narrow_gradients(function: relax.Function) -> relax.Function:
    """Move every `take_channels` of a gradient into what computes the gradient.

    ``take(weight_grad(dy, x))`` becomes ``weight_grad(dy, take(x))``: the saved input is as narrow
    as the slice that trains. A sum of gradients (a weight that two layers share) is narrowed term
    by term. What no rule covers stays as it is, correct and wide.
    """
    values = {b.var: b.value for b in bindings_of(function)}

    def rewrite(emit, value):
        if op_name(value) == TAKE:
            attrs = attributes(value)
            return _narrowed(emit, values, value.args[0], attrs["ranges"], attrs["axis"])
        return value

    return rebuilt(function, rewrite)


def _narrowed(emit, values, gradient, ranges, axis):
    value = values.get(gradient)
    if op_name(value) == "relax.odt.conv2d_weight_grad":
        call = conv2d_weight_grad_slice(value, ranges, axis)
        data = _codes_first(emit, values, call.args[1])
        return relax.Call(call.op, [call.args[0], data], call.attrs)
    if op_name(value) == "relax.add" and len({shape_of(arg) for arg in value.args}) == 1:
        terms = [_narrowed(emit, values, arg, ranges, axis) for arg in value.args]
        return relax.op.add(*(emit(term) for term in terms))
    return take_channels(gradient, ranges, axis)


def _codes_first(emit, values, take) -> relax.Var:
    """Take channels of the int8 codes, not of what they stand for: a quarter of the bytes."""
    decode = values.get(take.args[0])
    if op_name(decode) != "relax.dequantize" or constant(decode.args[1]).size != 1:
        return emit(take)
    codes = emit(relax.Call(take.op, [decode.args[0]], take.attrs))
    return emit(relax.Call(decode.op, [codes, *decode.args[1:]], decode.attrs))
