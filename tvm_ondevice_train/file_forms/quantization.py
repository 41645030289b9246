"""Quantize, dequantize, and the integer casts between them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import helper
from tvm import relax

from relay_passes.graph import constant_value, dtype_of

from ..frontend.canonicalize import Canonicalizer, Source
from ..frontend.quantized_values import Parameter, check_codes
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
    if isinstance(data, Parameter):
        return _encoded(data, call, *_coding(c, call))
    scale, zero_point = c.quantization(call)
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
        coding = _coding(c, call)
        decoded = Parameter.quantized(data.name, data.stored, *coding, int(call.attrs.axis))
        return decoded.restating(data)
    return replace(data, var=c.emit_dequantize(data.var, *c.quantization(call)))


def _coding(c: Canonicalizer, call: relax.Call) -> tuple[np.ndarray, np.ndarray]:
    """Scale and zero point of a constant's quantize or dequantize: numbers, or vectors."""
    scale, zero_point = (c.read_constant(operand).value for operand in call.args[1:3])
    return scale, zero_point


def _encoded(
    data: Parameter, call: relax.Call, scale: np.ndarray, zero_point: np.ndarray
) -> Parameter:
    """The codes of a constant, as plain integers until they are decoded."""
    dtype = str(call.attrs.out_dtype)
    check_codes(dtype, f'the quantized constant "{data.name or call.args[0]}"')
    limits, column = np.iinfo(dtype), [1] * data.stored.ndim
    if scale.size > 1:
        column[int(call.attrs.axis)] = -1
    scale, zero_point = (numbers.reshape(column) for numbers in (scale, zero_point))
    codes = np.rint(data.value / scale.astype(np.float32)) + zero_point
    return Parameter(data.name, np.clip(codes, limits.min, limits.max).astype(dtype))


def _write_astype(w: Writer, var: relax.Var, call: relax.Call) -> str:
    to = helper.np_dtype_to_tensor_dtype(np.dtype(dtype_of(var)))
    return w.node("Cast", [w.operand(call.args[0])], var, to=to)


@reads("astype", write=_write_astype)
def astype(c: Canonicalizer, call: relax.Call) -> Source:
    data = c.read(call.args[0])
    dtype = str(call.attrs.dtype)
    if isinstance(data, Parameter):
        if data.scale is None:
            return replace(data, stored=data.stored.astype(dtype))
        return data if dtype == "float32" else Parameter(data.name, data.value.astype(dtype))
    if dtype_of(data.var) != "int8":
        return replace(data, var=c.emit(relax.op.astype(data.var, dtype)))
    if "int" in dtype:
        return data  # integer widening around TFLite's pools: the pool itself works on reals
    # the numbers that the source has there, whatever its codes stand for
    zero_point = -128 if dtype_of(call.args[0]) == "uint8" else 0
    return replace(data, var=c.emit_dequantize(data.var, 1.0, zero_point))
