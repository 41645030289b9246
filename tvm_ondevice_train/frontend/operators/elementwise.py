"""Elementwise operators and softmax; constants become parameters or biases here."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from tvm import relax

from relay_passes.graph import dtype_of, op_name, shape_of

from ...errors import OdtError
from ..canonicalize import Canonicalizer, Value
from ..parameters import Parameter
from .registry import aligned, handles, on_reals

_LARGEST = float(np.finfo(np.float32).max)


@handles("clip")
def clip(c: Canonicalizer, call):
    data = c.read(call.args[0])
    # PyTorch writes a bound that is not there as infinity
    low, high = (min(max(float(b.value), -_LARGEST), _LARGEST) for b in call.args[1:3])
    var = data.var
    if dtype_of(var) != "int8":
        return replace(data, var=c.emit(relax.op.clip(var, low, high)))
    codes = c.codes[var]
    if low <= -128 and high >= 127:
        return data
    # clamping codes is quantizing clamped reals, where the gradient's mask is a comparison
    real = codes.real  # None: the model's input, or codes that were moved, as by a pool
    if real is None:
        real = c.emit_dequantize(var, codes.scale, codes.zero_point)
    low, high = ((bound - codes.zero_point) * codes.scale for bound in (low, high))
    clipped = c.emit(relax.op.clip(real, low, high))
    return replace(data, var=c.emit_quantize(clipped, codes.scale, codes.zero_point))


def _unary(c: Canonicalizer, call):
    data = c.read(call.args[0])
    operator = getattr(relax.op.nn, op_name(call).split(".")[-1], None) or getattr(
        relax.op, op_name(call).split(".")[-1]
    )
    return replace(data, var=on_reals(c, data.var, operator))


@handles("nn.leakyrelu")
def leaky_relu(c: Canonicalizer, call):
    """``max(x, alpha * x)``, the same for 0 <= alpha <= 1, the slopes that are used."""
    alpha = float(call.attrs.alpha)
    if not 0 <= alpha <= 1:
        raise OdtError(f"{c.name}: leakyrelu has slope {alpha}; supported are 0 to 1")
    data = c.read(call.args[0])

    def rectify(var):
        scaled = c.emit(relax.op.multiply(var, relax.const(alpha, "float32")))
        return relax.op.maximum(var, scaled)

    return replace(data, var=on_reals(c, data.var, rectify))


for _name in ("nn.relu", "sigmoid", "tanh", "exp", "log", "negative", "sqrt", "nn.silu", "abs"):
    handles(_name)(_unary)


def _binary(c: Canonicalizer, call):
    operator = getattr(relax.op, op_name(call).split(".")[-1])
    left, right = (c.read(a) for a in call.args)
    if isinstance(left, Parameter) and isinstance(right, Parameter):
        function = getattr(np, op_name(call).split(".")[-1])
        return Parameter(None, function(left.value, right.value))
    tensor = left if isinstance(left, Value) else right
    perm = tensor.perm
    operands = [
        _broadcast(c, operand, tensor, call) if isinstance(operand, Parameter) else operand
        for operand in (left, right)
    ]
    if aligned(*operands):
        variables = [operand.var for operand in operands]
    else:
        variables = [c.physical(operand) for operand in operands]
        perm = tuple(range(max(len(o.perm) for o in operands)))
    var = c.emit(operator(*variables))
    _remember_bias(c, call, operands, var)
    return Value(var, perm)


for _name in ("add", "subtract", "multiply", "divide", "maximum", "minimum"):
    handles(_name)(_binary)


def _broadcast(c: Canonicalizer, parameter: Parameter, other: Value, call) -> Value:
    """A constant operand, broadcast to the rank of the other one and in its axis order.

    A vector along one axis (a bias) stays a vector parameter and is reshaped in the graph.
    """
    rank = len(other.perm)
    if parameter.value.ndim > rank:
        raise OdtError(f"{c.name}: a constant of {parameter.value.ndim} axes in {op_name(call)}")
    logical = (1,) * (rank - parameter.value.ndim) + parameter.value.shape
    order = sorted(range(rank), key=lambda i: other.perm[i])
    shape = [1] * len(shape_of(other.var))
    for axis, extent in zip(other.perm, logical, strict=True):
        shape[axis] = extent
    lifted = parameter.map(lambda a: np.transpose(a.reshape(logical), order).reshape(shape))
    perm = other.perm
    flat = lifted.map(lambda a: a.reshape(-1))
    bias = _bias_name(c, call, shape)
    if flat.value.size == 1 and bias is None and flat.scale is None:
        return Value(relax.const(lifted.value), perm)  # a number of the formula, not a parameter
    if max(shape) == flat.value.size:
        var = c.emit_parameter(flat, bias or op_name(call).removeprefix("relax.") + ".constant")
        if len(shape) == 1:
            return Value(var, perm)
        reshaped = c.emit(relax.op.reshape(var, shape))
        c.parameter_names[reshaped] = c.parameter_names[var]
        return Value(reshaped, perm)
    return Value(c.emit_parameter(lifted), perm)


def _linear_operand(c: Canonicalizer, call):
    for arg in call.args:
        value = c.read(arg)
        if isinstance(value, Value) and value.var in c.linear:
            return value.var
    return None


def _bias_name(c: Canonicalizer, call, shape) -> str | None:
    """Name for a vector of `shape` that `call` adds to a layer's output, one for each channel."""
    linear = _linear_operand(c, call)
    if linear is None or op_name(call) != "relax.add":
        return None
    channels = shape_of(linear)[1]
    if list(shape) != [1, channels, 1, 1]:
        return None
    return c.linear[linear][0].removesuffix(".weight") + ".bias"


def _remember_bias(c: Canonicalizer, call, operands, var):
    linear = _linear_operand(c, call)
    names = [c.parameter_names[o.var] for o in operands if o.var in c.parameter_names]
    if linear is not None and op_name(call) == "relax.add" and names:
        weight, bias = c.linear[linear]
        if bias is None:
            c.linear[var] = (weight, names[0])


def _softmax(c: Canonicalizer, call):
    data = c.read(call.args[0])
    axis = data.perm[int(call.attrs.axis) % len(data.perm)]
    operator = getattr(relax.op.nn, op_name(call).split(".")[-1])
    return replace(data, var=on_reals(c, data.var, lambda v: operator(v, axis)))


for _name in ("nn.softmax", "nn.log_softmax"):
    handles(_name)(_softmax)
