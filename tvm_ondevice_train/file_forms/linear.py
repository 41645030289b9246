"""Convolutions and fully connected layers: one canonical form, conv2d; batch norm folds into it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from tvm import relax

from relay_passes.graph import constant, is_call_of, shape_of
from relay_passes.layer_words import layer_name
from relay_passes.layers import parameter_behind

from ..errors import OdtError
from ..frontend.canonicalize import NHWC, Canonicalizer, Value
from ..frontend.quantized_values import Parameter
from .form import Pattern, identity, node, reads, windows
from .shape import ROW, as_row, reshaped

if TYPE_CHECKING:
    from ..export.onnx_writer import Writer


def _layer(
    c: Canonicalizer, kind: str, data: relax.Expr, weight: Parameter, **geometry: Any
) -> relax.Var:
    """A convolution of an NCHW variable; `kind` names its OIHW weight where the source does not."""
    parameter = c.emit_parameter(weight, f"{kind}{c.linear_count}.weight")
    c.linear_count += 1
    var = c.emit(relax.op.nn.conv2d(data, parameter, **geometry))
    c.linear[var] = (c.parameters.names[parameter], None)
    return var


def _write_conv2d(
    w: Writer, var: relax.Var, call: relax.Call, bias: relax.Var | None = None
) -> str:
    """A Conv that is called as its layer; `bias` is a vector."""
    data, weight = call.args
    parameter = parameter_behind(weight, w.values)
    return w.node(
        "Conv",
        [w.operand(operand) for operand in (data, weight, bias) if operand is not None],
        var,
        name=layer_name(parameter) if parameter in w.model.parameters else None,
        kernel_shape=shape_of(weight)[2:],
        group=int(call.attrs.groups),
        **windows(call.attrs),
    )


def match_biased_convolution(w: Writer, var: relax.Var) -> Pattern | None:
    """``conv2d(x, w) + reshape(bias, (1, C, 1, 1))``."""
    operands = w.values[var].args
    for conv, column in (operands, reversed(operands)):
        if not is_call_of(w.values.get(conv), "relax.nn.conv2d") or not w.only_reader(conv):
            continue
        bias = _vector_behind(w, column, shape_of(conv)[1])
        if bias is not None:
            return Pattern((conv, column), partial(_write_conv2d, call=w.values[conv], bias=bias))
    return None


def _vector_behind(w: Writer, column: relax.Var, channels: int) -> relax.Var | None:
    """The bias that `column` spreads over the channels."""
    reshape = w.values.get(column)
    if not is_call_of(reshape, "relax.reshape") or not w.only_reader(column):
        return None
    is_bias = shape_of(column) == (1, channels, 1, 1) and shape_of(reshape.args[0]) == (channels,)
    return reshape.args[0] if is_bias else None


def match_batch_norm(w: Writer, var: relax.Var) -> Pattern | None:
    """What `batch_norm` makes of one that it cannot fold, along axis 1."""

    def operands(expr: relax.Expr, kind: str) -> tuple[relax.Expr, ...] | None:
        value = w.values.get(expr)
        return tuple(value.args) if is_call_of(value, f"relax.{kind}") else None

    scaled, shifted = w.values[var].args
    data, scaling = operands(scaled, "multiply") or (None, None)
    (factor, _), (shift, _) = (operands(e, "reshape") or (None, None) for e in (scaling, shifted))
    gamma, deviation = operands(factor, "divide") or (None, None)
    beta, moved = operands(shift, "subtract") or (None, None)
    again, mean = operands(moved, "multiply") or (None, None)
    inside = (factor, scaling, scaled, moved, shift, shifted)
    known = None if again is None or not again.same_as(factor) else constant(deviation)
    if known is None or any(not w.only_reader(v) for v in inside[1:]):
        return None
    along = {shape_of(data)[1:2], shape_of(scaling)[1:2], shape_of(gamma)}
    if len(w.consumers[factor]) > 2 or len(along) > 1:
        return None

    def write(w: Writer, var: relax.Var) -> str:
        variance = w.constant(known * known, "variance")  # whose root is `known` again
        tensors = [w.operand(operand) for operand in (data, gamma, beta, mean)]
        return w.node("BatchNormalization", [*tensors, variance], var, epsilon=0.0)

    return Pattern(inside, write)


@reads("nn.conv2d", write=_write_conv2d)
def conv2d(c: Canonicalizer, call: relax.Call) -> Value:
    attrs = call.attrs
    layout, kernel = str(attrs.data_layout), str(attrs.kernel_layout)
    perm = {"NCHW": (0, 1, 2, 3), "NHWC": NHWC}.get(layout)
    weight = c.read(call.args[1])
    if perm is None or not isinstance(weight, Parameter):
        raise OdtError(f"{c.name}: conv2d needs NCHW or NHWC data and a constant weight")
    weight = weight.map(lambda a: np.transpose(a, [kernel.index(axis) for axis in "OIHW"]))
    groups = int(attrs.groups)
    if groups > 1 and weight.value.shape[1] != shape_of(call.args[0])[layout.index("C")] // groups:
        # a depthwise kernel stored as (1, C*M): the multiplier lies on the input axis
        weight = weight.map(lambda a: a.reshape(-1, 1, *a.shape[2:]))
    geometry = {name: getattr(attrs, name) for name in ("strides", "padding", "dilation")}
    data = c.tensor(call.args[0], perm)
    return Value(_layer(c, "conv", data, weight, groups=groups, **geometry), perm)


@reads("nn.conv1d")
def conv1d(c: Canonicalizer, call: relax.Call) -> Value:
    """A convolution over a map one pixel high."""
    attrs = call.attrs
    weight = c.read(call.args[1])
    layouts = (str(attrs.data_layout), str(attrs.kernel_layout))
    if layouts != ("NCW", "OIW") or not isinstance(weight, Parameter):
        raise OdtError(f"{c.name}: conv1d needs NCW data and a constant OIW weight")
    before, after = attrs.padding
    var = _layer(
        c,
        "conv",
        as_row(c, call.args[0]),
        weight.map(lambda a: a[:, :, None, :]),
        strides=(1, attrs.strides[0]),
        padding=(0, before, 0, after),
        dilation=(1, attrs.dilation[0]),
        groups=int(attrs.groups),
    )
    return Value(var, ROW)


@reads("matmul", write=node("MatMul"))
def matmul(c: Canonicalizer, call: relax.Call) -> Value:
    """``x @ W`` with one row and a constant W becomes a 1x1 convolution, one rule for both."""
    weight = c.read(call.args[1])
    shape = shape_of(call.args[0])
    if not isinstance(weight, Parameter) or weight.value.ndim != 2 or int(np.prod(shape[:-1])) != 1:
        operands = [c.tensor(a) for a in call.args]
        return identity(c.emit(relax.op.matmul(*operands)))
    weight = weight.map(lambda a: np.ascontiguousarray(a.T)[:, :, None, None])
    inputs = weight.value.shape[1]
    column = c.physical(reshaped(c, c.read_data(call.args[0]), (1, inputs, 1, 1)))
    var = _layer(c, "dense", column, weight)
    if len(shape) == 2:
        return Value(var, (0, 1))
    return reshaped(c, Value(var, (0, 1, 2, 3)), shape_of(call))


@reads("nn.batch_norm")
def batch_norm(c: Canonicalizer, call: relax.Call) -> Value:
    """Inference batch norm: an affine map, folded into the layer that feeds it where one does.

    With one sample a step batch statistics mean nothing; the trained statistics stay.
    """
    gamma, beta, mean, variance = map(c.read_constant, call.args[1:5])
    deviation = np.sqrt(variance.value + float(call.attrs.epsilon))
    data = c.read_data(call.args[0])
    own = all(c.sources.readers(p.source) < 2 for p in (gamma, beta))
    axis = data.perm[int(call.attrs.axis)]
    alone = own and axis == 1 and len(c.consumers.get(call.args[0], [])) == 1
    if alone and _foldable(c, data.var, deviation.size):
        factor = gamma.value / deviation
        return _folded(c, data, factor, beta.value - mean.value * factor)
    shape = [1] * len(shape_of(data.var))
    shape[axis] = deviation.size

    def column(vector: relax.Expr) -> relax.Expr:
        return c.emit(relax.op.reshape(vector, shape))

    # gamma and beta stay what they are in the file, so that they can train
    gamma_var = c.emit_learned(gamma, "batch_norm.gamma")
    factor = c.emit(relax.op.divide(gamma_var, relax.const(deviation.astype(np.float32))))
    moved = c.emit(relax.op.multiply(factor, relax.const(mean.value.astype(np.float32))))
    shift = c.emit(relax.op.subtract(c.emit_learned(beta, "batch_norm.beta"), moved))
    scaled = c.emit(relax.op.multiply(data.var, column(factor)))
    return replace(data, var=c.emit(relax.op.add(scaled, column(shift))))


def _folded(c: Canonicalizer, data: Value, factor: np.ndarray, shift: np.ndarray) -> Value:
    """`data`, a layer's output, times `factor` and plus `shift`, by other weights and biases."""
    weight, bias = c.linear[data.var]
    c.parameters.values[weight] = (
        c.parameters.values[weight] * factor.reshape(-1, 1, 1, 1)
    ).astype(np.float32)
    if bias is not None:
        c.parameters.values[bias] = (c.parameters.values[bias] * factor + shift).astype(np.float32)
        return data
    name = weight.removesuffix(".weight") + ".bias"
    vector = c.emit_parameter(Parameter(None, shift.astype(np.float32)), name)
    column = c.emit(relax.op.reshape(vector, (1, factor.size, 1, 1)))
    return replace(data, var=c.emit(relax.op.add(data.var, column)))


def _foldable(c: Canonicalizer, var: relax.Expr, channels: int) -> bool:
    """Whether `var` is a float32 layer's output, whose parameters are that layer's alone."""
    names = [name for name in c.linear.get(var, ()) if name is not None]
    biases = [c.parameters.values[name].shape for name in names[1:]]
    own = all(c.read_once(name) for name in names)
    floats = all(c.parameters.values[name].dtype == np.float32 for name in names)
    return bool(names) and own and floats and all(shape == (channels,) for shape in biases)
