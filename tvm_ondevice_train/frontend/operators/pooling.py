"""Pooling in two dimensions and in one."""

from __future__ import annotations

from tvm import relax

from relay_passes.graph import op_name, shape_of

from ...errors import OdtError
from ..canonicalize import NHWC, Canonicalizer, Value
from .registry import handles, on_reals
from .shape import ROW, as_row

_GEOMETRY = ("pool_size", "strides", "padding", "dilation")


@handles("nn.max_pool2d", "nn.avg_pool2d")
def pool2d(c: Canonicalizer, call):
    perm = NHWC if str(call.attrs.layout) == "NHWC" else (0, 1, 2, 3)
    geometry = {name: list(getattr(call.attrs, name)) for name in _GEOMETRY}
    return Value(_pooled(c, c.tensor(call.args[0], perm), call, geometry), perm)


@handles("nn.max_pool1d", "nn.avg_pool1d")
def pool1d(c: Canonicalizer, call):
    """Pooling of a map one pixel high."""
    if str(call.attrs.layout) != "NCW":
        raise OdtError(f"{c.name}: {op_name(call)} needs NCW data")
    attrs = call.attrs
    before, after = attrs.padding
    geometry = {name: [1, getattr(attrs, name)[0]] for name in _GEOMETRY}
    geometry["padding"] = [0, before, 0, after]
    return Value(_pooled(c, as_row(c, call.args[0]), call, geometry), ROW)


def _pooled(c: Canonicalizer, data, call, geometry):
    """Max or average pooling of an NCHW variable."""
    average = "avg" in op_name(call)
    whole = [int(n) for n in geometry["pool_size"]] == list(shape_of(data)[2:])
    if average and whole and not any(int(p) for p in geometry["padding"]):
        return on_reals(c, data, lambda v: relax.op.mean(v, [2, 3], True))
    options = {name: getattr(call.attrs, name) for name in ("ceil_mode", "count_include_pad")}
    if average:
        return on_reals(c, data, lambda v: relax.op.nn.avg_pool2d(v, **geometry, **options))
    # a maximum of codes is the code of the maximum: no need to decode
    return c.emit_moved(data, lambda v: relax.op.nn.max_pool2d(v, **geometry, **options))


@handles("nn.adaptive_avg_pool2d")
def adaptive_avg_pool2d(c: Canonicalizer, call):
    perm = NHWC if str(call.attrs.layout) == "NHWC" else (0, 1, 2, 3)
    if [int(n) for n in call.attrs.output_size or ()] != [1, 1]:
        raise OdtError(f"{c.name}: adaptive_avg_pool2d is supported for an output of 1x1 only")
    data = c.tensor(call.args[0], perm)
    return Value(on_reals(c, data, lambda v: relax.op.mean(v, [2, 3], True)), perm)
