"""How each operator of a canonical model is written in ONNX.

``WRITERS[name](writer, var, call)`` adds the nodes for ``var = call`` and gives the result's name.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from onnx import helper

from relay_passes.graph import constant, dtype_of, op_name, shape_of

from ..model import layer_name

WRITERS = {}

_SAME = {  # operands and meaning are those of ONNX
    "abs": "Abs",
    "add": "Add",
    "divide": "Div",
    "exp": "Exp",
    "log": "Log",
    "matmul": "MatMul",
    "maximum": "Max",
    "minimum": "Min",
    "multiply": "Mul",
    "negative": "Neg",
    "nn.relu": "Relu",
    "sigmoid": "Sigmoid",
    "sqrt": "Sqrt",
    "subtract": "Sub",
    "tanh": "Tanh",
}


def _same(kind, w, var, call):
    return w.node(kind, [w.operand(arg) for arg in call.args], var)


for _name, _kind in _SAME.items():
    WRITERS[f"relax.{_name}"] = partial(_same, _kind)


def _writes(name):
    def register(function):
        WRITERS[f"relax.{name}"] = function
        return function

    return register


# -- quantization -----------------------------------------------------------------------------


@_writes("quantize")
def _quantize(w, var, call):
    real, scale, zero_point = call.args
    operands = w.quantization(constant(scale), constant(zero_point))
    return w.node("QuantizeLinear", [w.operand(real), *operands], var)


@_writes("dequantize")
def _dequantize(w, var, call):
    data, scale, zero_point = (call.args[0], *map(constant, call.args[1:]))
    name = w.names[data]
    if name not in w.model.parameters:
        return w.node("DequantizeLinear", [name, *w.quantization(scale, zero_point)], var)
    operands = [
        name,
        w.constant(scale, f"{name}_scale"),
        w.constant(np.full(scale.shape, zero_point, dtype_of(data)), f"{name}_zero_point"),
    ]
    along = {"axis": 0} if scale.ndim else {}
    return w.node("DequantizeLinear", operands, var, **along)


# -- layers -----------------------------------------------------------------------------------


@_writes("nn.conv2d")
def convolution(w, var, call, bias=None) -> str:
    """A Conv that is called as its layer; `bias` is a vector."""
    data, weight = call.args
    attrs = call.attrs
    parameter = _parameter_behind(w, weight)
    return w.node(
        "Conv",
        [w.operand(operand) for operand in (data, weight, bias) if operand is not None],
        var,
        name=layer_name(parameter) if parameter else None,
        kernel_shape=shape_of(weight)[2:],
        strides=_ints(attrs.strides),
        pads=_ints(attrs.padding),
        dilations=_ints(attrs.dilation),
        group=int(attrs.groups),
    )


def _parameter_behind(w, weight) -> str | None:
    """Name of the parameter that `weight` is, or decodes."""
    if op_name(w.values.get(weight)) == "relax.dequantize":
        weight = w.values[weight].args[0]
    name = w.names[weight]
    return name if name in w.model.parameters else None


def _pool(kind, w, var, call):
    attrs = call.attrs
    pads, rounded_up = _ints(attrs.padding), bool(attrs.ceil_mode)
    counts_pads = kind == "AveragePool" and bool(attrs.count_include_pad) and any(pads)
    if rounded_up and not counts_pads:
        pads, rounded_up = _wider_pads(shape_of(call.args[0]), shape_of(var), attrs), False
    options = {"ceil_mode": 1} if rounded_up else {}
    options |= {"count_include_pad": 1} if counts_pads else {}
    return w.node(
        kind,
        [w.operand(call.args[0])],
        var,
        kernel_shape=_ints(attrs.pool_size),
        strides=_ints(attrs.strides),
        pads=pads,
        dilations=_ints(attrs.dilation),
        **options,
    )


def _wider_pads(source, result, attrs) -> list[int]:
    """Pads with which rounding down gives the result's shape.

    Readers of ONNX disagree about windows of ``ceil_mode`` that start in the padding.
    """
    pads = _ints(attrs.padding)
    for axis in (0, 1):
        window = (int(attrs.pool_size[axis]) - 1) * int(attrs.dilation[axis]) + 1
        reach = (result[2 + axis] - 1) * int(attrs.strides[axis]) + window
        pads[2 + axis] = max(reach - source[2 + axis] - pads[axis], 0)
    return pads


WRITERS["relax.nn.max_pool2d"] = partial(_pool, "MaxPool")
WRITERS["relax.nn.avg_pool2d"] = partial(_pool, "AveragePool")


@_writes("mean")
def _mean(w, var, call):
    data = call.args[0]
    axes = _ints(call.attrs.axis) if call.attrs.axis else list(range(len(shape_of(data))))
    if axes == [2, 3] and len(shape_of(data)) == 4 and call.attrs.keepdims:
        return w.node("GlobalAveragePool", [w.operand(data)], var)
    operands = [w.operand(data), w.constant(np.array(axes, np.int64), "axes")]
    return w.node("ReduceMean", operands, var, keepdims=int(call.attrs.keepdims))


# -- activations ------------------------------------------------------------------------------


@_writes("clip")
def _clip(w, var, call):
    data, *bounds = call.args
    bounds = [w.constant(np.float32(float(b.value)), "bound") for b in bounds]
    return w.node("Clip", [w.operand(data), *bounds], var)


@_writes("nn.silu")
def _silu(w, var, call):
    data = w.operand(call.args[0])
    return w.node("Mul", [data, w.node("Sigmoid", [data])], var)


def _softmax(kind, w, var, call):
    return w.node(kind, [w.operand(call.args[0])], var, axis=int(call.attrs.axis))


WRITERS["relax.nn.softmax"] = partial(_softmax, "Softmax")
WRITERS["relax.nn.log_softmax"] = partial(_softmax, "LogSoftmax")


# -- shapes -----------------------------------------------------------------------------------


@_writes("reshape")
def _reshape(w, var, call):
    shape = w.constant(np.array(shape_of(var), np.int64), "shape")
    return w.node("Reshape", [w.operand(call.args[0]), shape], var)


@_writes("permute_dims")
def _permute_dims(w, var, call):
    data, axes = call.args[0], call.attrs.axes
    axes = _ints(axes) if axes else list(range(len(shape_of(data))))[::-1]
    return w.node("Transpose", [w.operand(data)], var, perm=axes)


@_writes("concat")
def _concat(w, var, call):
    parts = [w.operand(field) for field in call.args[0].fields]
    return w.node("Concat", parts, var, axis=int(call.attrs.axis or 0))


@_writes("astype")
def _astype(w, var, call):
    to = helper.np_dtype_to_tensor_dtype(np.dtype(dtype_of(var)))
    return w.node("Cast", [w.operand(call.args[0])], var, to=to)


def _ints(values) -> list[int]:
    return [int(v) for v in values]
