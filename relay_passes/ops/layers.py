"""TVM's layers with weights, its pools and means."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tvm import relax
from tvm_ffi import structural_equal

from ..graph import is_call_of, shape_of
from . import numbering
from .canonical import only_batch_is_symbolic, refusal, relaid, tvm_gradient, widened
from .channels import indices_of, take_channels
from .convolution import conv2d_input_grad, conv2d_weight_grad, lists_of
from .groups import integer_conv2d
from .integer_average import integer_avg_pool2d, integer_mean
from .pooling import avg_pool2d_input_grad, max_pool2d_argmax, max_pool2d_input_grad
from .registry import Trim, describe


def _trimmed_product(
    _trim: Trim, call: relax.Call, ranges: list[int], axis: int
) -> relax.Call | None:
    """Of rows of the left operand, or columns of the right one; None for what is a batch."""
    left, right = call.args
    from_last = call.ty.ndim - 1 - axis
    if from_last > 1 or min(left.ty.ndim, right.ty.ndim) < 2:
        return None
    operand = left if from_last else right
    taken = take_channels(operand, ranges, operand.ty.ndim - 1 - from_last)
    operands = (taken, right) if from_last else (left, taken)
    return relax.Call(call.op, list(operands), call.attrs)


def _trimmed_collapse(
    trim: Trim, call: relax.Call, ranges: list[int], axis: int
) -> relax.Call | None:
    """Before the sum, which is over other axes."""
    data, shape = call.args[0], list(shape_of(call))
    before = data.ty.ndim - len(shape) + axis
    if not structural_equal(data.ty.shape[before], call.ty.shape[axis]):
        return None
    shape[axis] = len(indices_of(ranges))
    return relax.op.collapse_sum_to(trim(data, before), relax.ShapeExpr(shape))


def _macs_of_conv2d(call: relax.Call) -> int:
    weight, outputs = call.args[1], str(call.attrs.kernel_layout).index("O")
    taps = math.prod(n for axis, n in enumerate(shape_of(weight)) if axis != outputs)
    return math.prod(shape_of(call)) * taps


_tvm_conv2d, _tvm_matmul = map(tvm_gradient, ("nn.conv2d", "matmul"))
_tvm_max_pool2d, _tvm_avg_pool2d = map(tvm_gradient, ("nn.max_pool2d", "nn.avg_pool2d"))


def _conv2d_gradient_of_nchw(
    var: relax.Var, call: relax.Call, adjoint: relax.Var, builder: relax.BlockBuilder
) -> Sequence[relax.Expr]:
    """`[conv2d_input_grad(dy, w), conv2d_weight_grad(dy, x)]`, see `ops.convolution`.

    Our kernels want numbers for extents; where the batch is none it is TVM's rule.
    """
    data, weight = call.args
    if only_batch_is_symbolic(call):
        _check_undilated(call)
        return _tvm_conv2d(var, call, adjoint, builder)
    return [
        conv2d_input_grad(adjoint, weight, shape_of(data), call.attrs),
        conv2d_weight_grad(adjoint, data, shape_of(weight), call.attrs),
    ]


def _max_pool2d_gradient(
    var: relax.Var, call: relax.Call, adjoint: relax.Var, builder: relax.BlockBuilder
) -> Sequence[relax.Expr]:
    """`[adjoint of each window at the window's first maximum]`, see `ops.pooling`."""
    (data,) = call.args
    if only_batch_is_symbolic(call):
        _check_undilated(call)
        return _tvm_max_pool2d(var, call, adjoint, builder)
    argmax = builder.emit(max_pool2d_argmax(data, shape_of(var), call.attrs))
    return [max_pool2d_input_grad(adjoint, argmax, shape_of(data), call.attrs)]


def _avg_pool2d_gradient(
    var: relax.Var, call: relax.Call, adjoint: relax.Var, builder: relax.BlockBuilder
) -> Sequence[relax.Expr]:
    """`[adjoint of each window, divided by its number of taps]`, see `ops.pooling`."""
    if only_batch_is_symbolic(call):
        _check_undilated(call)
        if call.attrs.ceil_mode:
            raise refusal(call, "with ceil_mode and a batch that is no number")
        return _tvm_avg_pool2d(var, call, adjoint, builder)
    return [avg_pool2d_input_grad(adjoint, call.args[0], call.attrs)]


def _check_undilated(call: relax.Call) -> None:
    if any(int(step) != 1 for step in call.attrs.dilation):
        raise refusal(call, "with dilation and a batch that is no number")


def _conv2d_in_nchw(call: relax.Call, operands: Sequence[relax.Expr]) -> relax.Call:
    attrs = lists_of(call.attrs, "strides", "padding", "dilation")
    groups, out_dtype = int(call.attrs.groups), call.attrs.out_dtype
    return relax.op.nn.conv2d(*operands, **attrs, groups=groups, out_dtype=out_dtype)


def _pool2d_in_nchw(call: relax.Call, operands: Sequence[relax.Expr]) -> relax.Call:
    is_max = is_call_of(call, "relax.nn.max_pool2d")
    pool = relax.op.nn.max_pool2d if is_max else relax.op.nn.avg_pool2d
    attrs = lists_of(call.attrs, "pool_size", "strides", "padding", "dilation")
    flags = {name: bool(call.attrs[name]) for name in ("ceil_mode", "count_include_pad")}
    return pool(*operands, **attrs, **flags)


conv2d_gradient = widened(
    relaid(
        _conv2d_gradient_of_nchw,
        _conv2d_in_nchw,
        data_layout="NCHW",
        kernel_layout="OIHW",
        out_layout="NCHW",
    )
)
max_pool2d_gradient, avg_pool2d_gradient = (
    widened(relaid(rule, _pool2d_in_nchw, layout="NCHW", out_layout="NCHW"))
    for rule in (_max_pool2d_gradient, _avg_pool2d_gradient)
)

describe(
    "nn.conv2d",
    gradient=conv2d_gradient,
    integer=integer_conv2d,
    channels=numbering.convolution,
    macs=_macs_of_conv2d,
    layer=True,
    learned=1,
)

describe(
    "matmul",
    gradient=widened(_tvm_matmul),
    trimmed=_trimmed_product,
    macs=lambda call: math.prod(shape_of(call)) * shape_of(call.args[0])[-1],
    layer=True,
    learned=1,
)
describe("nn.max_pool2d", gradient=max_pool2d_gradient, channels=numbering.same)
describe(
    "nn.avg_pool2d",
    gradient=avg_pool2d_gradient,
    integer=integer_avg_pool2d,
    channels=numbering.same,
)
describe("variance", gradient=widened(tvm_gradient("variance")))
describe("nn.softmax", gradient=widened(tvm_gradient("nn.softmax")))
describe("collapse_sum_to", trimmed=_trimmed_collapse, adjoint=False)  # of a bias, over the pixels
describe("mean", integer=integer_mean, channels=numbering.spatial_mean)
