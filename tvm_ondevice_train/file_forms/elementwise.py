"""Elementwise operators and softmax; constants become parameters or biases here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from tvm import relax

from relay_passes.graph import constant, dtype_of, is_call_of, op_name, shape_of

from ..errors import OdtError
from ..frontend.canonicalize import Canonicalizer, Source, Value
from ..frontend.quantized_values import Parameter
from .form import Pattern, Write, aligned, node, on_reals, reads
from .linear import match_batch_norm, match_biased_convolution

if TYPE_CHECKING:
    from ..export.onnx_writer import Writer

_LARGEST = float(np.finfo(np.float32).max)


def _write_clip(w: Writer, var: relax.Var, call: relax.Call) -> str:
    data, *bounds = call.args
    bounds = [w.constant(np.float32(float(b.value)), "bound") for b in bounds]
    return w.node("Clip", [w.operand(data), *bounds], var)


@reads("clip", write=_write_clip)
def clip(c: Canonicalizer, call: relax.Call) -> Value:
    data = c.read_data(call.args[0])
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
        real = c.emit_real(var)
    low, high = ((bound - codes.zero_point) * codes.scale for bound in (low, high))
    return replace(data, var=c.emit_codes(c.emit(relax.op.clip(real, low, high)), like=var))


def _unary(c: Canonicalizer, call: relax.Call) -> Value:
    data = c.read_data(call.args[0])
    return replace(data, var=on_reals(c, data.var, lambda v: relax.Call(call.op, [v])))


def _write_prelu(w: Writer, var: relax.Var, call: relax.Call) -> str:
    data, slope = map(w.operand, call.args)
    if shape_of(call.args[1]) != (1,):  # along the channels, the others broadcast
        column = [-1, *[1] * (len(shape_of(var)) - 1 - int(call.attrs.axis))]
        slope = w.node("Reshape", [slope, w.integers(column, "shape")])
    return w.node("PRelu", [data, slope], var)


# else two comparisons and a choice
@reads("nn.prelu", write=_write_prelu, torch="prelu.default")
def prelu(c: Canonicalizer, call: relax.Call) -> Value:
    """One slope for each channel, or one for all."""
    data, slope = c.read_data(call.args[0]), c.read(call.args[1])
    axis = data.perm[int(call.attrs.axis) % len(data.perm)]
    if not isinstance(slope, Parameter) or slope.value.size not in (1, shape_of(data.var)[axis]):
        raise OdtError(
            f"{c.name}: prelu needs constant slopes, one for each channel or one for all"
        )
    axis = axis if slope.value.size > 1 else min(1, len(shape_of(data.var)) - 1)
    parameter = c.emit_learned(slope.map(lambda a: a.reshape(-1)), "prelu.slope")
    return replace(data, var=on_reals(c, data.var, lambda v: relax.op.nn.prelu(v, parameter, axis)))


@reads("nn.leakyrelu")
def leaky_relu(c: Canonicalizer, call: relax.Call) -> Value:
    """``max(x, alpha * x)``, the same for 0 <= alpha <= 1, the slopes that are used."""
    alpha = float(call.attrs.alpha)
    if not 0 <= alpha <= 1:
        raise OdtError(f"{c.name}: leakyrelu has slope {alpha}; supported are 0 to 1")
    data = c.read_data(call.args[0])

    def rectify(var: relax.Expr) -> relax.Expr:
        scaled = c.emit(relax.op.multiply(var, relax.const(alpha, "float32")))
        return relax.op.maximum(var, scaled)

    return replace(data, var=on_reals(c, data.var, rectify))


@reads("nn.softplus", write=node("Softplus"), onnx="Softplus", torch="softplus.default")
def softplus(c: Canonicalizer, call: relax.Call) -> Value:
    """``log(1 + exp(x))``, which is all that ONNX has."""
    beta, threshold = float(call.attrs.beta), float(call.attrs.threshold)
    if (beta, threshold) != (1.0, 20.0):
        raise OdtError(
            f"{c.name}: softplus has beta {beta:g} and threshold {threshold:g}; "
            "supported are 1 and 20"
        )
    data = c.read_data(call.args[0])
    return replace(data, var=on_reals(c, data.var, relax.op.nn.softplus))


def _write_silu(w: Writer, var: relax.Var, call: relax.Call) -> str:
    data = w.operand(call.args[0])
    return w.node("Mul", [data, w.node("Sigmoid", [data])], var)


reads("abs", write=node("Abs"))(_unary)
reads("erf", write=node("Erf"))(_unary)
reads("exp", write=node("Exp"))(_unary)
reads("log", write=node("Log"))(_unary)
reads("negative", write=node("Neg"))(_unary)
reads("nn.gelu", write=node("Gelu", opset=20))(_unary)
reads("nn.gelu_tanh", write=node("Gelu", opset=20, approximate="tanh"))(_unary)
reads("nn.relu", write=node("Relu"))(_unary)
reads("nn.silu", write=_write_silu)(_unary)
reads("sigmoid", write=node("Sigmoid"))(_unary)
reads("sqrt", write=node("Sqrt"))(_unary)
reads("tanh", write=node("Tanh"))(_unary)


def _binary(c: Canonicalizer, call: relax.Call) -> Source:
    left, right = (c.read(a) for a in call.args)
    if isinstance(left, Value):
        tensor = left
    elif isinstance(right, Value):
        tensor = right
    else:
        function = getattr(np, op_name(call).split(".")[-1])
        origins = tuple(dict.fromkeys(left.tensors + right.tensors))
        return Parameter(None, function(left.value, right.value), origins=origins)
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
    var = c.emit(relax.Call(call.op, variables))
    _remember_bias(c, call, operands, var)
    return Value(var, perm)


def _match_leaky_relu(w: Writer, var: relax.Var) -> Pattern | None:
    """``maximum(x, alpha * x)``, as `leaky_relu` reads it."""
    data, scaled = w.values[var].args
    multiply = w.values.get(scaled)
    if not is_call_of(multiply, "relax.multiply") or not w.only_reader(scaled):
        return None
    slope = constant(multiply.args[1])
    if not multiply.args[0].same_as(data) or slope is None or slope.size != 1:
        return None
    alpha = float(slope.reshape(()))
    if not 0 <= alpha <= 1:  # beyond it is another function
        return None

    def write(w: Writer, var: relax.Var) -> str:
        return w.node("LeakyRelu", [w.operand(data)], var, alpha=alpha)

    return Pattern((scaled,), write)


def _match_add(w: Writer, var: relax.Var) -> Pattern | None:
    return match_biased_convolution(w, var) or match_batch_norm(w, var)


reads("add", write=node("Add"), match=_match_add)(_binary)
reads("divide", write=node("Div"))(_binary)
reads("maximum", write=node("Max"), match=_match_leaky_relu)(_binary)
reads("minimum", write=node("Min"))(_binary)
reads("multiply", write=node("Mul"))(_binary)
reads("subtract", write=node("Sub"))(_binary)


def _broadcast(c: Canonicalizer, parameter: Parameter, other: Value, call: relax.Call) -> Value:
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
    learned = c.all_learned and parameter.name is not None
    if flat.value.size == 1 and bias is None and flat.scale is None and not learned:
        c.numbers += [parameter.name] if parameter.name else []
        return Value(relax.const(lifted.value), perm)  # a number of the formula, not a parameter
    if max(shape) == flat.value.size:
        var = c.emit_learned(flat, bias or op_name(call).removeprefix("relax.") + ".constant")
        if len(shape) == 1:
            return Value(var, perm)
        reshaped = c.emit(relax.op.reshape(var, shape))
        c.parameters.names[reshaped] = c.parameters.names[var]
        return Value(reshaped, perm)
    emit = c.emit_learned if learned else c.emit_parameter  # else it may be a table, or a mask
    return Value(emit(lifted, "constant"), perm)


def _linear_operand(c: Canonicalizer, call: relax.Call) -> relax.Expr | None:
    for arg in call.args:
        value = c.read(arg)
        if isinstance(value, Value) and value.var in c.linear:
            return value.var
    return None


def _bias_name(c: Canonicalizer, call: relax.Call, shape: Sequence[int]) -> str | None:
    """Name for a vector of `shape` that `call` adds to a layer's output, one for each channel."""
    linear = _linear_operand(c, call)
    if linear is None or op_name(call) != "relax.add":
        return None
    channels = shape_of(linear)[1]
    if list(shape) != [1, channels, 1, 1]:
        return None
    return c.linear[linear][0].removesuffix(".weight") + ".bias"


def _remember_bias(
    c: Canonicalizer, call: relax.Call, operands: Iterable[Value], var: relax.Var
) -> None:
    linear = _linear_operand(c, call)
    names = [c.parameters.names[o.var] for o in operands if o.var in c.parameters.names]
    if linear is not None and op_name(call) == "relax.add" and names:
        weight, bias = c.linear[linear]
        if bias is None:
            c.linear[var] = (weight, names[0])


def _softmax(c: Canonicalizer, call: relax.Call) -> Value:
    data = c.read_data(call.args[0])
    axis = data.perm[int(call.attrs.axis) % len(data.perm)]
    operator = getattr(relax.op.nn, op_name(call).split(".")[-1])
    return replace(data, var=on_reals(c, data.var, lambda v: operator(v, axis)))


def _write_softmax(kind: str) -> Write:
    def write(w: Writer, var: relax.Var, call: relax.Call) -> str:
        return w.node(kind, [w.operand(call.args[0])], var, axis=int(call.attrs.axis))

    return write


reads("nn.log_softmax", write=_write_softmax("LogSoftmax"))(_softmax)
reads("nn.softmax", write=_write_softmax("Softmax"))(_softmax)
