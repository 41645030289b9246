"""Convolutions and pools whose gradients are those of others: of one row, transposed, adaptive."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tvm
from tvm import relax

from ..graph import shape_of
from .canonical import Rule, only_batch_is_symbolic, refusal, relaid, widened
from .convolution import conv2d_weight_grad, lists_of
from .layers import avg_pool2d_gradient, conv2d_gradient, max_pool2d_gradient
from .registry import describe

op = relax.op
Rebuilt = Callable[[relax.Call, Sequence[relax.Expr]], relax.Call]


def _with_rows(rule: Rule, in_2d: Rebuilt, *layouts: str) -> Rule:
    """`rule` of two dimensions for an operator of one: as an image of one row.

    in_2d : (call, its operands as images) -> the call of the operator in two dimensions.
    layouts : the attributes that name the layout of each operand, then the result's.
    """

    def gradient(
        var: relax.Var, call: relax.Call, adjoint: relax.Var, builder: relax.BlockBuilder
    ) -> list[relax.Expr]:
        *own, out = (str(call.attrs[name]).index("W") for name in layouts)

        def image(tensor: relax.Expr, row: int) -> relax.Var:
            return builder.emit(op.expand_dims(tensor, row))

        operands = list(map(image, call.args, own))
        like = builder.normalize(in_2d(call, operands))
        partials = rule(image(var, out), like, image(adjoint, out), builder)
        return [
            op.squeeze(builder.emit(partial), [row])
            for partial, row in zip(partials, own, strict=True)
        ]

    return gradient


def _rows_of(attrs: tvm.ir.Attrs, **absent: int) -> dict[str, list[int]]:
    """Attributes of one dimension as those of two, of which the first is `absent`."""
    lists = lists_of(attrs, *absent, "padding")
    left, right = lists.pop("padding")
    return {name: [absent[name], *values] for name, values in lists.items()} | {
        "padding": [0, left, 0, right]
    }


def _layouts_of(attrs: tvm.ir.Attrs, *names: str) -> dict[str, str]:
    return {name: str(attrs[name]).replace("W", "HW") for name in names}


def _conv2d_of_row(call: relax.Call, operands: Sequence[relax.Expr]) -> relax.Call:
    attrs = _rows_of(call.attrs, strides=1, dilation=1)
    layouts = _layouts_of(call.attrs, "data_layout", "kernel_layout", "out_layout")
    groups, out_dtype = int(call.attrs.groups), call.attrs.out_dtype
    return op.nn.conv2d(*operands, **attrs, **layouts, groups=groups, out_dtype=out_dtype)


def _pool2d_of_row(pool: Callable[..., relax.Call]) -> Rebuilt:
    def in_2d(call: relax.Call, operands: Sequence[relax.Expr]) -> relax.Call:
        attrs = _rows_of(call.attrs, pool_size=1, strides=1, dilation=1)
        flags = {name: bool(call.attrs[name]) for name in ("ceil_mode", "count_include_pad")}
        return pool(*operands, **attrs, **flags, **_layouts_of(call.attrs, "layout", "out_layout"))

    return in_2d


def _conv2d_transpose_gradient(
    _var: relax.Var, call: relax.Call, adjoint: relax.Var, _builder: relax.BlockBuilder
) -> list[relax.Expr]:
    """It is the input gradient of a convolution from its result to its operand, and is linear."""
    data, weight = call.args
    attrs = call.attrs
    layouts = [str(attrs[name]) for name in ("data_layout", "kernel_layout", "out_layout")]
    if layouts != ["NCHW", "IOHW", "NCHW"]:
        raise refusal(call, f"in layouts {', '.join(layouts)}, only in NCHW, IOHW, NCHW")
    if only_batch_is_symbolic(call):
        raise refusal(call, "where the batch is no number")
    geometry = lists_of(attrs, "strides", "padding", "dilation")
    return [
        op.nn.conv2d(adjoint, weight, **geometry, groups=int(attrs.groups)),
        conv2d_weight_grad(data, adjoint, shape_of(weight), attrs),
    ]


def _adaptive_avg_pool2d_gradient(
    var: relax.Var, call: relax.Call, adjoint: relax.Var, builder: relax.BlockBuilder
) -> list[relax.Expr]:
    """`[each window's adjoint, divided by its number of elements]`, where windows are alike."""
    (data,) = call.args
    only_batch_is_symbolic(call)
    batch, channels, *size = data.ty.shape
    height, width, rows, columns = (int(n) for n in [*size, *list(var.ty.shape)[2:]])
    high, wide = height // rows, width // columns
    if (high * rows, wide * columns) != (height, width):
        raise refusal(call, f"from {height}x{width} to {rows}x{columns}, which does not divide it")
    share = builder.emit(op.multiply(adjoint, relax.const(1 / (high * wide), adjoint.ty.dtype)))
    share = builder.emit(op.reshape(share, [batch, channels, rows, 1, columns, 1]))
    spread = op.broadcast_to(share, [batch, channels, rows, high, columns, wide])
    return [op.reshape(builder.emit(spread), data.ty.shape)]


def _adaptive_avg_pool2d_in_nchw(call: relax.Call, operands: Sequence[relax.Expr]) -> relax.Call:
    return op.nn.adaptive_avg_pool2d(*operands, call.attrs.output_size)


describe(
    "nn.conv1d",
    gradient=_with_rows(
        conv2d_gradient, _conv2d_of_row, "data_layout", "kernel_layout", "out_layout"
    ),
)
describe(
    "nn.max_pool1d",
    gradient=_with_rows(
        max_pool2d_gradient, _pool2d_of_row(op.nn.max_pool2d), "layout", "out_layout"
    ),
)
describe(
    "nn.avg_pool1d",
    gradient=_with_rows(
        avg_pool2d_gradient, _pool2d_of_row(op.nn.avg_pool2d), "layout", "out_layout"
    ),
)
describe("nn.conv2d_transpose", gradient=widened(_conv2d_transpose_gradient))
describe(
    "nn.adaptive_avg_pool2d",
    gradient=widened(
        relaid(
            _adaptive_avg_pool2d_gradient,
            _adaptive_avg_pool2d_in_nchw,
            layout="NCHW",
            out_layout="NCHW",
        )
    ),
)
