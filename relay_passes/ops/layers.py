"""TVM's layers with weights, its pools and means."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tvm import relax

from ..graph import is_call_of, shape_of
from . import numbering
from .canonical import only_batch_is_symbolic, refusal, relaid, tvm_gradient, widened
from .convolution import conv2d_input_grad, conv2d_weight_grad, lists_of
from .groups import integer_conv2d, integer_mean
from .pooling import avg_pool2d_input_grad, max_pool2d_argmax, max_pool2d_input_grad
from .registry import Trim, describe


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


def _trimmed_matmul(
    trim: Trim, call: relax.Call, _ranges: list[int], axis: int
) -> relax.Call | None:
    """Rows of the result are rows of the left matrix, columns those of the right one."""
    left, right = call.args
    if len(shape_of(left)) != 2 or len(shape_of(right)) != 2:
        return None
    operands = [trim(left, 0), right] if axis == 0 else [left, trim(right, 1)]
    return relax.op.matmul(*operands, out_dtype=call.attrs.out_dtype)


def _trimmed_transpose(trim: Trim, call: relax.Call, _ranges: list[int], axis: int) -> relax.Call:
    (data,) = call.args
    axes = [int(n) for n in call.attrs.axes or reversed(range(len(shape_of(data))))]
    return relax.op.permute_dims(trim(data, axes[axis]), axes)


describe(
    "matmul",
    gradient=widened(_tvm_matmul),
    trimmed=_trimmed_matmul,
    macs=lambda call: math.prod(shape_of(call)) * shape_of(call.args[0])[-1],
    layer=True,
    learned=1,
)
describe("nn.max_pool2d", gradient=max_pool2d_gradient, channels=numbering.same)
describe("nn.avg_pool2d", gradient=avg_pool2d_gradient, channels=numbering.same)
describe("permute_dims", trimmed=_trimmed_transpose)
describe("variance", gradient=widened(tvm_gradient("variance")))
describe("nn.softmax", gradient=widened(tvm_gradient("nn.softmax")))
describe("collapse_sum_to", adjoint=False)  # of a bias, over the pixels
describe("mean", integer=integer_mean, channels=numbering.spatial_mean)
