"""TVM's layers with weights, its pools and means."""

from __future__ import annotations

import math

from tvm import relax

from ..graph import shape_of
from . import numbering
from .convolution import conv2d_input_grad, conv2d_weight_grad, macs_of_convolution
from .groups import integer_conv2d, integer_mean
from .pooling import avg_pool2d_input_grad, max_pool2d_argmax, max_pool2d_input_grad
from .registry import describe


def _conv2d_gradient(
    _var: relax.Var, call: relax.Call, adjoint: relax.Var, _builder: relax.BlockBuilder
) -> list[relax.Expr]:
    """`[conv2d_input_grad(dy, w), conv2d_weight_grad(dy, x)]`, see `ops.convolution`."""
    data, weight = call.args
    return [
        conv2d_input_grad(adjoint, weight, shape_of(data), call.attrs),
        conv2d_weight_grad(adjoint, data, shape_of(weight), call.attrs),
    ]


def _max_pool2d_gradient(
    var: relax.Var, call: relax.Call, adjoint: relax.Var, builder: relax.BlockBuilder
) -> list[relax.Expr]:
    """`[adjoint of each window at the window's first maximum]`, see `ops.pooling`."""
    (data,) = call.args
    argmax = builder.emit(max_pool2d_argmax(data, shape_of(var), call.attrs))
    return [max_pool2d_input_grad(adjoint, argmax, shape_of(data), call.attrs)]


def _avg_pool2d_gradient(
    _var: relax.Var, call: relax.Call, adjoint: relax.Var, _builder: relax.BlockBuilder
) -> list[relax.Expr]:
    """`[adjoint of each window, divided by its number of taps]`, see `ops.pooling`."""
    return [avg_pool2d_input_grad(adjoint, call.args[0], call.attrs)]


describe(
    "nn.conv2d",
    gradient=_conv2d_gradient,
    integer=integer_conv2d,
    channels=numbering.convolution,
    macs=lambda call: macs_of_convolution(shape_of(call), shape_of(call.args[1])),
    layer=True,
    learned=1,
)
describe(
    "matmul",
    macs=lambda call: math.prod(shape_of(call)) * shape_of(call.args[0])[-1],
    layer=True,
    learned=1,
)
describe("nn.max_pool2d", gradient=_max_pool2d_gradient, channels=numbering.same)
describe("nn.avg_pool2d", gradient=_avg_pool2d_gradient, channels=numbering.same)
describe("collapse_sum_to", adjoint=False)  # of a bias, over the pixels
describe("mean", integer=integer_mean, channels=numbering.spatial_mean)
