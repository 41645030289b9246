"""PReLU, whose slopes below 0 are learned: one for each channel, or one for all."""

from __future__ import annotations

import math

from tvm import relax, te

from ..graph import shape_of
from ..tir import tirx
from . import numbering
from .canonical import widened
from .registry import Attributes, call, describe, float_of_shape, like_first, register


def _gradient(
    _var: relax.Var, expr: relax.Call, adjoint: relax.Var, _builder: relax.BlockBuilder
) -> list[relax.Expr]:
    """`[adjoint, times the slope where x <= 0; the sum of adjoint * min(x, 0) for each slope]`."""
    data, slope = expr.args
    axis = int(expr.attrs.axis) % data.ty.ndim
    return [
        call("prelu_input_grad", data, slope, adjoint, axis=axis),
        call("prelu_slope_grad", data, adjoint, shape=list(shape_of(slope)), axis=axis),
    ]


def _channels(expr: relax.Call) -> numbering.Pairs | None:
    if int(expr.attrs.axis) != 1:
        return None
    slopes = [((numbering.RESULT, 1), (1, 0))] if shape_of(expr.args[1]) != (1,) else []
    return [((numbering.RESULT, 1), (0, 1)), *slopes]


describe("nn.prelu", elementwise=True, gradient=widened(_gradient), channels=_channels, learned=1)


@register("prelu_input_grad", like_first, ("axis",), elementwise=True)
def _input_grad(
    attrs: Attributes, data: te.Tensor, slope: te.Tensor, adjoint: te.Tensor
) -> te.Tensor:
    def element(*i: tirx.Var) -> tirx.Expr:
        own = slope[i[attrs["axis"]]] if int(slope.shape[0]) > 1 else slope[0]
        return tirx.Select(data(*i) > tirx.const(0, data.dtype), adjoint(*i), adjoint(*i) * own)

    return te.compute(data.shape, element, name="input_grad")


@register(
    "prelu_slope_grad",
    float_of_shape,
    ("shape", "axis"),
    macs=lambda expr: math.prod(shape_of(expr.args[0])),
)
def _slope_grad(attrs: Attributes, data: te.Tensor, adjoint: te.Tensor) -> te.Tensor:
    summed = [te.reduce_axis((0, n), "k") for n in data.shape]
    if attrs["shape"] != [1]:
        del summed[attrs["axis"]]

    def element(slope: tirx.Var) -> tirx.Expr:
        at = list(summed)
        if attrs["shape"] != [1]:
            at.insert(attrs["axis"], slope)
        return te.sum(adjoint(*at) * te.min(data(*at), tirx.const(0, data.dtype)), axis=summed)

    return te.compute(attrs["shape"], element, name="slope_grad")
