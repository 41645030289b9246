"""Operators that move numbers without computing any, and their gradients."""

from __future__ import annotations

import math

from tvm import relax, te
from tvm.relax.op.grad import no_grad, take_backward

from ..graph import axes_of, is_static, shape_of
from ..tir import const_like, tirx
from .canonical import refusal, summed_to, widened
from .registry import Attributes, Trim, call, describe, float_of_shape, register

op = relax.op


def _reshaped(
    _var: relax.Var, expr: relax.Call, adjoint: relax.Var, _builder: relax.BlockBuilder
) -> list[relax.Expr]:
    """`[the adjoint in the operand's shape]`."""
    return [op.reshape(adjoint, expr.args[0].ty.shape)]


def _trimmed_transpose(trim: Trim, expr: relax.Call, _ranges: list[int], axis: int) -> relax.Call:
    """Before it turns them."""
    return relax.Call(expr.op, [trim(expr.args[0], axes_of(expr)[axis])], expr.attrs)


def _flipped(
    _var: relax.Var, expr: relax.Call, adjoint: relax.Var, _builder: relax.BlockBuilder
) -> list[relax.Expr]:
    return [op.flip(adjoint, expr.attrs.axis)]


def _unstacked(
    _var: relax.Var, expr: relax.Call, adjoint: relax.Var, builder: relax.BlockBuilder
) -> list[relax.Expr]:
    axis, count = int(expr.attrs.axis or 0), len(expr.args[0].ty.fields)
    slices = builder.emit(op.split(adjoint, count, axis))
    fields = [builder.emit(relax.TupleGetItem(slices, i)) for i in range(count)]
    return [relax.Tuple([builder.emit(op.squeeze(field, [axis])) for field in fields])]


def _unpadded(
    _var: relax.Var, expr: relax.Call, adjoint: relax.Var, _builder: relax.BlockBuilder
) -> list[relax.Expr]:
    """`[what of the adjoint lies within the padding]`."""
    if str(expr.attrs.pad_mode) != "constant":
        raise refusal(expr, f'in mode "{expr.attrs.pad_mode}", only in mode "constant"')
    before = [int(width) for width in expr.attrs.pad_width][::2]
    if any(int(width) < 0 for width in expr.attrs.pad_width):
        raise refusal(expr, "of a negative width")
    after = [first + n for first, n in zip(before, expr.args[0].ty.shape, strict=True)]
    inner = op.strided_slice(adjoint, list(range(len(before))), before, after)
    return [inner, *map(no_grad, expr.args[1:])]


def _strided_slice_gradient(
    var: relax.Var, expr: relax.Call, adjoint: relax.Var, _builder: relax.BlockBuilder
) -> list[relax.Expr]:
    """`[the adjoint where it was sliced from, else 0]`."""
    data, *bounds = expr.args
    if not (is_static(data.ty) and is_static(var.ty)):
        raise refusal(expr, "of extents that are no numbers")
    axes, begin, _, *steps = (_numbers(expr, bound) for bound in bounds)
    shape = shape_of(data)
    first, strides = [0] * len(shape), [1] * len(shape)
    for position, axis in enumerate(axes):
        extent, start = shape[axis], begin[position]
        first[axis] = min(start + extent if start < 0 else start, extent)
        strides[axis] = steps[0][position] if steps else 1
    if min(strides) < 1:
        raise refusal(expr, "of a negative stride")
    attrs = {"shape": list(shape), "begin": [max(n, 0) for n in first], "strides": strides}
    return [call("strided_slice_grad", adjoint, **attrs), *map(no_grad, bounds)]


def _numbers(expr: relax.Call, bound: relax.Expr) -> list[int]:
    fields = getattr(bound, "fields", [None])
    if not all(isinstance(field, tirx.IntImm) for field in fields):
        raise refusal(expr, "of bounds that are no numbers")
    return [int(field) for field in fields]


@register("strided_slice_grad", float_of_shape, ("shape", "begin", "strides"))
def _strided_slice_grad(attrs: Attributes, adjoint: te.Tensor) -> te.Tensor:
    """dx[i] = dy[(i - begin) / stride] where that is a place in dy, else 0."""

    def element(*index: tirx.Var) -> tirx.Expr:
        inside, at = [], []
        for i, begin, stride, n in zip(
            index, attrs["begin"], attrs["strides"], adjoint.shape, strict=True
        ):
            offset = i - begin
            inside += [offset >= 0, offset < n * stride, tirx.indexmod(offset, stride) == 0]
            at.append(tirx.indexdiv(offset, stride))
        value = adjoint(*at)
        return tirx.if_then_else(tirx.all(*inside), value, const_like(value, 0))

    return te.compute(attrs["shape"], element, name="input_grad")


def _take_gradient(
    _var: relax.Var, expr: relax.Call, adjoint: relax.Var, builder: relax.BlockBuilder
) -> list[relax.Expr]:
    """`[sum of the adjoints of each element's copies]`.

    TVM's rule counts no axis from the end, wants one axis of indices, and writes where they lead.
    """
    data, indices = expr.args
    if not isinstance(indices.ty, relax.TensorType):
        raise refusal(expr, "at an index that is no tensor")
    if expr.attrs.axis is None and data.ty.ndim != 1:
        raise refusal(expr, "without an axis")
    axis = int(expr.attrs.axis or 0) % data.ty.ndim
    shape = list(data.ty.shape)
    if indices.ty.ndim != 1:
        count = math.prod(shape_of(indices))
        indices = builder.emit(op.reshape(indices, [count]))
        own = [*shape[:axis], count, *shape[axis + 1 :]]
        adjoint = builder.emit(op.reshape(adjoint, own))
    indices = _within(expr, builder, indices, shape[axis])
    return [take_backward(adjoint, data, indices, axis), no_grad(expr.args[1])]


def _within(
    expr: relax.Call, builder: relax.BlockBuilder, indices: relax.Expr, extent: tirx.Expr
) -> relax.Expr:
    """`indices` as the mode of ``take`` reads them."""
    mode = str(expr.attrs.mode)
    if mode == "fast":
        return indices
    if mode not in ("clip", "wrap") or not isinstance(extent, tirx.IntImm):
        raise refusal(expr, f'in mode "{mode}" along an axis of {extent}')
    dtype = str(indices.ty.dtype)
    if mode == "clip":
        low, high = relax.const(0, dtype), relax.const(int(extent) - 1, dtype)
        return builder.emit(op.minimum(builder.emit(op.maximum(indices, low)), high))
    return builder.emit(op.floor_mod(indices, relax.const(int(extent), dtype)))


def _where_gradient(
    _var: relax.Var, expr: relax.Call, adjoint: relax.Var, builder: relax.BlockBuilder
) -> list[relax.Expr]:
    """`[-, adjoint where true, else 0; adjoint where false, else 0]`; operands may broadcast."""
    condition, chosen, other = expr.args
    zero = relax.const(0, adjoint.ty.dtype)
    return [
        no_grad(condition),
        summed_to(builder, op.where(condition, adjoint, zero), chosen),
        summed_to(builder, op.where(condition, zero, adjoint), other),
    ]


def _of_extreme(
    var: relax.Var, expr: relax.Call, adjoint: relax.Var, builder: relax.BlockBuilder
) -> list[relax.Expr]:
    """`[adjoint at the maximum or minimum, shared out evenly among equals, else 0]`."""
    emit, (data,) = builder.emit, expr.args
    axes = expr.attrs.axis
    axes = list(range(data.ty.ndim)) if axes is None else [int(axis) for axis in axes]
    if not expr.attrs.keepdims:
        axes = [axis % data.ty.ndim for axis in axes]
        var, adjoint = (emit(op.expand_dims(tensor, sorted(axes))) for tensor in (var, adjoint))
    chosen = emit(op.astype(emit(op.equal(data, var)), adjoint.ty.dtype))
    count = emit(op.sum(chosen, axes, True))
    return [op.multiply(chosen, emit(op.divide(adjoint, count)))]


for _name in ("flatten", "nn.batch_flatten"):
    describe(_name, gradient=_reshaped)
describe("permute_dims", trimmed=_trimmed_transpose)
describe("squeeze", gradient=_reshaped, restates=True, stored=False)
describe("flip", gradient=_flipped)
describe("stack", gradient=_unstacked)
describe("nn.pad", gradient=_unpadded)
describe("strided_slice", gradient=_strided_slice_gradient)
describe("take", gradient=widened(_take_gradient))
describe("where", gradient=widened(_where_gradient), elementwise=True)
for _name in ("max", "min"):
    describe(_name, gradient=widened(_of_extreme))
