"""Quantize, dequantize, and the integer casts between them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import helper
from tvm import relax

from relay_passes.graph import constant_value, dtype_of

from ..frontend.canonicalize import Canonicalizer, Source
from ..frontend.quantized_values import Parameter
from .form import reads

if TYPE_CHECKING:
    from ..export.onnx_writer import Writer


def _write_quantize(w: Writer, var: relax.Var, call: relax.Call) -> str:
    real, scale, zero_point = call.args
    operands = w.quantization(constant_value(scale), constant_value(zero_point))
    return w.node("QuantizeLinear", [w.operand(real), *operands], var)


@reads("quantize", write=_write_quantize)
def quantize(c: Canonicalizer, call: relax.Call) -> Source:
    data = c.read(call.args[0])
    scale, zero_point = c.quantization(call)
    if isinstance(data, Parameter):
        codes = np.clip(np.rint(data.value / np.float32(scale)) + zero_point, -128, 127)
        return Parameter.quantized(data.name, codes.astype(np.int8), scale, zero_point, 0)
    var = data.var
    if c.decoded.get(var, ())[1:] == (scale, zero_point):
        return replace(data, var=c.decoded[var][0])  # decoded and encoded alike: the same codes
    if dtype_of(var) == "int8":  # requantize: codes to codes of another scale
        var = c.emit_real(var)
    return replace(data, var=c.emit_quantize(var, scale, zero_point))


def _write_dequantize(w: Writer, var: relax.Var, call: relax.Call) -> str:
    data, scale, zero_point = (call.args[0], *map(constant_value, call.args[1:]))
    name = w.names[data]
    if name not in w.model.parameters:
        return w.node("DequantizeLinear", [name, *w.quantization(scale, zero_point)], var)
    operands = [
        name,
        w.constant(scale, f"{name}_scale"),
        w.constant(np.full(scale.shape, zero_point, dtype_of(data)), f"{name}_zero_point"),
    ]
    along: dict[str, Any] = {"axis": 0} if scale.ndim else {}
    return w.node("DequantizeLinear", operands, var, **along)


@reads("dequantize", write=_write_dequantize)
def dequantize(c: Canonicalizer, call: relax.Call) -> Source:
    data = c.read(call.args[0])
    if isinstance(data, Parameter):
        scale, zero_point = (np.asarray(c.read_constant(a).value) for a in call.args[1:3])
        return _decoded(data, scale, zero_point, int(call.attrs.axis)).restating(data)
    return replace(data, var=c.emit_dequantize(data.var, *c.quantization(call)))


def _decoded(codes: Parameter, scale: np.ndarray, zero_point: np.ndarray, axis: int) -> Parameter:
    """Codes that carry their scale; where they have a zero point, what they stand for."""
    value = codes.value
    if value.dtype == np.uint8:
        value = (value.astype(np.int16) - 128).astype(np.int8)
        zero_point = zero_point.astype(np.int16) - 128
    if scale.size == 1 and value.dtype == np.int8 and np.any(zero_point != 0):
        scale = np.asarray(scale, np.float32).reshape(())
        real = (value.astype(np.float32) - zero_point.astype(np.float32)) * scale
        return Parameter(codes.name, real.astype(np.float32))
    return Parameter.quantized(codes.name, value, scale, zero_point, axis)


def _write_astype(w: Writer, var: relax.Var, call: relax.Call) -> str:
    to = helper.np_dtype_to_tensor_dtype(np.dtype(dtype_of(var)))
    return w.node("Cast", [w.operand(call.args[0])], var, to=to)


@reads("astype", write=_write_astype)
def astype(c: Canonicalizer, call: relax.Call) -> Source:
    data = c.read(call.args[0])
    if isinstance(data, Parameter):
        return replace(data, value=data.value.astype(str(call.attrs.dtype)))
    if dtype_of(data.var) == "int8":
        return data  # integer widening around TFLite's pools: the pool itself works on reals
    return replace(data, var=c.emit(relax.op.astype(data.var, call.attrs.dtype)))
