"""Transposes, reshapes, means, concatenation, and operators that vanish."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from tvm import relax

from relay_passes.graph import dtype_of, shape_of

from ..errors import OdtError
from ..frontend.canonicalize import Canonicalizer, Source, Value
from ..frontend.quantized_values import Parameter
from .form import aligned, identity, integers, on_reals, reads

if TYPE_CHECKING:
    from ..export.onnx_writer import Writer


def _write_permute_dims(w: Writer, var: relax.Var, call: relax.Call) -> str:
    data, axes = call.args[0], call.attrs.axes
    axes = integers(axes) if axes else list(range(len(shape_of(data))))[::-1]
    return w.node("Transpose", [w.operand(data)], var, perm=axes)


@reads("permute_dims", write=_write_permute_dims)
def permute_dims(c: Canonicalizer, call: relax.Call) -> Source:
    data = c.read(call.args[0])
    rank = data.value.ndim if isinstance(data, Parameter) else len(data.perm)
    axes = [int(a) for a in call.attrs.axes] if call.attrs.axes else list(range(rank))[::-1]
    if isinstance(data, Parameter):
        return data.map(lambda a: np.transpose(a, axes))
    return replace(data, perm=tuple(data.perm[a] for a in axes))


ROW = (0, 1, 3)  # logical NCW axis -> axis of an NCHW map one pixel high


def as_row(c: Canonicalizer, expr: relax.Expr) -> relax.Expr:
    """An NCW operand as an NCHW variable with H = 1."""
    value = c.read_data(expr)
    if value.perm == ROW and len(shape_of(value.var)) == 4:
        return value.var
    var = c.physical(value)
    batch, channels, width = shape_of(var)
    return c.emit_moved(var, lambda v: relax.op.reshape(v, (batch, channels, 1, width)))


def _reshape(c: Canonicalizer, call: relax.Call) -> Source:
    data = c.read(call.args[0])
    shape = shape_of(call)
    if isinstance(data, Parameter):
        return data.map(lambda a: a.reshape(shape))
    return reshaped(c, data, shape)


def reshaped(c: Canonicalizer, data: Value, shape: tuple[int, ...]) -> Value:
    """`data` with logical `shape`; nothing is emitted where only unit axes come or go."""
    physical = shape_of(data.var)
    is_its_own = shape == tuple(physical[p] for p in data.perm)
    if is_its_own and (len(shape) == len(physical) or len(shape) < 4):
        return data
    long_axes = [p for p, extent in enumerate(physical) if extent > 1]
    if max(len(long_axes), sum(n > 1 for n in shape)) <= 1 and len(shape) <= len(physical):
        unit = iter(p for p in range(len(physical)) if p not in long_axes)
        return Value(data.var, tuple(long_axes[0] if n > 1 else next(unit) for n in shape))
    moved = [p for p in data.perm if physical[p] > 1]
    var = data.var if moved == sorted(moved) else c.physical(data)
    return identity(c.emit_moved(var, lambda v: relax.op.reshape(v, shape)))


def _write_reshape(w: Writer, var: relax.Var, call: relax.Call) -> str:
    shape = w.integers(shape_of(var), "shape")
    return w.node("Reshape", [w.operand(call.args[0]), shape], var)


reads("reshape", write=_write_reshape)(_reshape)
reads("expand_dims", "flatten", "squeeze")(_reshape)


def _write_mean(w: Writer, var: relax.Var, call: relax.Call) -> str:
    data = call.args[0]
    axes = integers(call.attrs.axis) if call.attrs.axis else list(range(len(shape_of(data))))
    if axes == [2, 3] and len(shape_of(data)) == 4 and call.attrs.keepdims:
        return w.node("GlobalAveragePool", [w.operand(data)], var)
    operands = [w.operand(data), w.integers(axes, "axes")]
    return w.node("ReduceMean", operands, var, keepdims=int(call.attrs.keepdims))


@reads("mean", write=_write_mean)
def mean(c: Canonicalizer, call: relax.Call) -> Value:
    data = c.read_data(call.args[0])
    axes = [int(a) % len(data.perm) for a in (call.attrs.axis or range(len(data.perm)))]
    physical = sorted(data.perm[a] for a in axes)
    var = on_reals(c, data.var, lambda v: relax.op.mean(v, physical, True))
    if call.attrs.keepdims:
        return replace(data, var=var)
    return Value(var, tuple(p for i, p in enumerate(data.perm) if i not in axes))


def _write_concat(w: Writer, var: relax.Var, call: relax.Call) -> str:
    parts = [w.operand(field) for field in call.args[0].fields]
    return w.node("Concat", parts, var, axis=int(call.attrs.axis or 0))


@reads("concat", write=_write_concat)
def concat(c: Canonicalizer, call: relax.Call) -> Value:
    operands = [c.read(field) for field in call.args[0].fields]
    parts = [operand for operand in operands if isinstance(operand, Value)]
    if len(parts) < len(operands) or len({dtype_of(p.var) for p in parts}) > 1:
        raise OdtError(f"{c.name}: concat of constants or of mixed types is unsupported")
    perm = parts[0].perm
    axis = int(call.attrs.axis or 0) % len(perm)
    if all(aligned(parts[0], p) for p in parts[1:]):
        variables = [p.var for p in parts]
    else:
        variables = [c.physical(p) for p in parts]
        perm = tuple(range(len(perm)))
    if dtype_of(variables[0]) != "int8":
        return Value(c.emit(relax.op.concat(variables, perm[axis])), perm)
    joined = c.emit(relax.op.concat([c.emit_real(v) for v in variables], perm[axis]))
    return Value(c.emit_codes(joined, like=variables[0]), perm)


@reads("nn.dropout")
def dropout(c: Canonicalizer, call: relax.Call) -> Source:
    """Inference dropout is the identity."""
    return c.read(call.args[0])


@reads("shape_of")
def shape_of_tensor(c: Canonicalizer, call: relax.Call) -> Parameter:
    return Parameter(None, np.asarray(shape_of(call.args[0]), np.int64))


@reads("zeros_like")
def zeros_like(_c: Canonicalizer, call: relax.Call) -> Parameter:
    """PyTorch's importer pairs a max pool with indices that nobody reads."""
    return Parameter(None, np.zeros(shape_of(call), np.float32))
