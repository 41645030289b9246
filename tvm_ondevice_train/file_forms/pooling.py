"""Pooling in two dimensions and in one."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from tvm import relax

from relay_passes.graph import dtype_of, op_name, shape_of
from relay_passes.ops.integer_average import average_of_codes
from relay_passes.ops.pooling import covering_pads

from ..errors import OdtError
from ..frontend.canonicalize import NHWC, Canonicalizer, Value
from .form import integers, on_reals, reads, windows
from .shape import ROW, as_row

if TYPE_CHECKING:
    from ..export.onnx_writer import Writer

_GEOMETRY = ("pool_size", "strides", "padding", "dilation")


def _write_pool(kind: str, w: Writer, var: relax.Var, call: relax.Call) -> str:
    attrs = call.attrs
    pads, rounded_up = integers(attrs.padding), bool(attrs.ceil_mode)
    counts_pads = kind == "AveragePool" and bool(attrs.count_include_pad) and any(pads)
    if rounded_up and not counts_pads:
        # readers of ONNX disagree about windows of `ceil_mode` that start in the padding
        pads, rounded_up = covering_pads(attrs, shape_of(call.args[0]), shape_of(var)), False
    options = windows(attrs) | {"kernel_shape": integers(attrs.pool_size), "pads": pads}
    options |= {"ceil_mode": 1} if rounded_up else {}
    options |= {"count_include_pad": 1} if counts_pads else {}
    return w.node(kind, [w.operand(call.args[0])], var, **options)


@reads("nn.avg_pool2d", write=partial(_write_pool, "AveragePool"))
@reads("nn.max_pool2d", write=partial(_write_pool, "MaxPool"))
def pool2d(c: Canonicalizer, call: relax.Call) -> Value:
    perm = NHWC if str(call.attrs.layout) == "NHWC" else (0, 1, 2, 3)
    geometry = {name: list(getattr(call.attrs, name)) for name in _GEOMETRY}
    return Value(_pooled(c, c.tensor(call.args[0], perm), call, geometry), perm)


@reads("nn.max_pool1d", "nn.avg_pool1d")
def pool1d(c: Canonicalizer, call: relax.Call) -> Value:
    """Pooling of a map one pixel high."""
    if str(call.attrs.layout) != "NCW":
        raise OdtError(f"{c.name}: {op_name(call)} needs NCW data")
    attrs = call.attrs
    before, after = attrs.padding
    geometry = {name: [1, getattr(attrs, name)[0]] for name in _GEOMETRY}
    geometry["padding"] = [0, before, 0, after]
    return Value(_pooled(c, as_row(c, call.args[0]), call, geometry), ROW)


def _pooled(
    c: Canonicalizer, data: relax.Expr, call: relax.Call, geometry: dict[str, list[int]]
) -> relax.Var:
    """Max or average pooling of an NCHW variable."""
    average = "avg" in op_name(call)
    options = {name: getattr(call.attrs, name) for name in ("ceil_mode", "count_include_pad")}
    if average and dtype_of(data) == "int8":  # of TFLite: of the codes themselves
        pool = c.builder.normalize(relax.op.nn.avg_pool2d(data, **geometry, **options))
        return c.emit_moved(data, lambda _: average_of_codes(pool))
    whole = [int(n) for n in geometry["pool_size"]] == list(shape_of(data)[2:])
    if average and whole and not any(int(p) for p in geometry["padding"]):
        return c.emit(relax.op.mean(data, [2, 3], True))
    if average:
        return c.emit(relax.op.nn.avg_pool2d(data, **geometry, **options))
    # a maximum of codes is the code of the maximum: no need to decode
    return c.emit_moved(data, lambda v: relax.op.nn.max_pool2d(v, **geometry, **options))


@reads("nn.adaptive_avg_pool2d")
def adaptive_avg_pool2d(c: Canonicalizer, call: relax.Call) -> Value:
    perm = NHWC if str(call.attrs.layout) == "NHWC" else (0, 1, 2, 3)
    if [int(n) for n in call.attrs.output_size or ()] != [1, 1]:
        raise OdtError(f"{c.name}: adaptive_avg_pool2d is supported for an output of 1x1 only")
    data = c.tensor(call.args[0], perm)
    return Value(on_reals(c, data, lambda v: relax.op.mean(v, [2, 3], True)), perm)


def _write_average_of_codes(w: Writer, var: relax.Var, call: relax.Call) -> str:
    """ONNX pools floats, here the codes themselves: what lies between two goes to the even one."""
    attrs = call.attrs
    as_they_are = w.quantization(1.0, 0)
    codes = w.node("DequantizeLinear", [w.operand(call.args[0]), *as_they_are])
    window, pads = integers(attrs["pool_size"]), integers(attrs["padding"])
    if window == list(shape_of(call.args[0])[2:]) and not any(pads):
        pooled = w.node("GlobalAveragePool", [codes])
    else:
        strides = integers(attrs["strides"])
        pooled = w.node("AveragePool", [codes], kernel_shape=window, strides=strides, pads=pads)
    return w.node("QuantizeLinear", [pooled, *as_they_are], var)


@reads("odt.qavg_pool2d", write=_write_average_of_codes)
def average_pool_of_codes(c: Canonicalizer, call: relax.Call) -> Value:
    """As `pool2d` left it."""
    data = c.read_data(call.args[0])
    pool = partial(relax.Call, call.op, attrs=call.attrs)
    return replace(data, var=c.emit_moved(data.var, lambda v: pool([v, *call.args[1:]])))
