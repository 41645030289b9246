"""TVM's elementwise operators."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from tvm import relax, te
from tvm.relax.op.grad import no_grad

from ..graph import dtype_of, shape_of
from ..tir import const_like, tirx
from . import numbering
from .canonical import Rule, refusal, summed_to, tvm_gradient, widened
from .groups import integer_add
from .masks import interval_mask, masked, positive_mask
from .registry import Attributes, Trim, call, describe, like_first, register

_CODES = "int8", "uint8", "int16", "uint16"


def _relu_gradient(
    var: relax.Var, _call: relax.Call, adjoint: relax.Var, _builder: relax.BlockBuilder
) -> list[relax.Expr]:
    """`[adjoint where y > 0, else 0]`: reads the output, which the next layer saves anyway."""
    return [masked(positive_mask(var), adjoint)]


def _clip_gradient(
    _var: relax.Var, call: relax.Call, adjoint: relax.Var, _builder: relax.BlockBuilder
) -> list[relax.Expr]:
    """`[adjoint where low <= x <= high, else 0]`, bounds included as in PyTorch."""
    data, low, high = call.args
    mask = interval_mask(data, float(low.value), float(high.value))
    return [masked(mask, adjoint), no_grad(low), no_grad(high)]


def _abs_gradient(
    _var: relax.Var, call: relax.Call, adjoint: relax.Var, builder: relax.BlockBuilder
) -> list[relax.Expr]:
    """`[adjoint * sign(x)]`: 0 at 0, as in PyTorch."""
    return [relax.op.multiply(adjoint, builder.emit(relax.op.sign(call.args[0])))]


def _maximum_gradient(
    _var: relax.Var, call: relax.Call, adjoint: relax.Var, builder: relax.BlockBuilder
) -> list[relax.Expr]:
    """`[adjoint to the greater operand, half of it to each of two equals]`, as in PyTorch."""
    return _shared(builder, call, adjoint, relax.op.greater)


def _minimum_gradient(
    _var: relax.Var, call: relax.Call, adjoint: relax.Var, builder: relax.BlockBuilder
) -> list[relax.Expr]:
    """`[adjoint to the lesser operand, half of it to each of two equals]`, as in PyTorch."""
    return _shared(builder, call, adjoint, relax.op.less)


def _shared(
    builder: relax.BlockBuilder,
    call: relax.Call,
    adjoint: relax.Var,
    wins: Callable[[relax.Expr, relax.Expr], relax.Call],
) -> list[relax.Expr]:
    op, emit, (left, right) = relax.op, builder.emit, call.args
    zero, half = (relax.const(value, dtype_of(adjoint)) for value in (0, 0.5))
    tie = emit(op.where(emit(op.equal(left, right)), emit(op.multiply(adjoint, half)), zero))
    return [
        summed_to(builder, op.where(emit(wins(own, other)), adjoint, tie), own)
        for own, other in ((left, right), (right, left))
    ]


def _astype_gradient(
    _var: relax.Var, call: relax.Call, adjoint: relax.Var, _builder: relax.BlockBuilder
) -> list[relax.Expr]:
    """`[adjoint in the operand's dtype]`; a condition and an index have none.

    Of codes, integers of few bits, it would have to be that of the real value (see `ops.codes`),
    which a cast does not tell.
    """
    source = dtype_of(call.args[0])
    if source in _CODES:
        raise refusal(call, f"to {source} codes; read them through relax.dequantize")
    if "float" not in source:
        return [no_grad(call.args[0])]
    return [relax.op.astype(adjoint, source)]


def _square_gradient(
    _var: relax.Var, call: relax.Call, adjoint: relax.Var, builder: relax.BlockBuilder
) -> list[relax.Expr]:
    """`[2 * x * adjoint]`."""
    (data,) = call.args
    return [relax.op.multiply(adjoint, builder.emit(relax.op.add(data, data)))]


def _rsqrt_gradient(
    var: relax.Var, call: relax.Call, adjoint: relax.Var, builder: relax.BlockBuilder
) -> list[relax.Expr]:
    """`[-adjoint / 2 * y / x]`."""
    op, emit, (data,) = relax.op, builder.emit, call.args
    half = emit(op.multiply(adjoint, relax.const(-0.5, dtype_of(adjoint))))
    return [op.multiply(half, emit(op.divide(var, data)))]


def _leakyrelu_gradient(
    _var: relax.Var, call: relax.Call, adjoint: relax.Var, builder: relax.BlockBuilder
) -> list[relax.Expr]:
    """`[adjoint where x > 0, else alpha * adjoint]`."""
    op, emit, (data,) = relax.op, builder.emit, call.args
    zero, alpha = (relax.const(value, dtype_of(data)) for value in (0, call.attrs.alpha))
    return [op.where(emit(op.greater(data, zero)), adjoint, emit(op.multiply(adjoint, alpha)))]


def _trimmed_sum(trim: Trim, call: relax.Call, _ranges: list[int], axis: int) -> relax.Call | None:
    """Term by term, where none is broadcast."""
    if len({shape_of(term) for term in call.args}) > 1:
        return None
    return relax.op.add(*(trim(term, axis) for term in call.args))


def _derivative(
    name: str,
    derivative: Callable[..., tirx.Expr],
    inner: Callable[[tirx.Expr], tirx.Expr] | None = None,
) -> Rule:
    """Gradient rule ``[adjoint * derivative(x)]``, as one kernel, ``relax.odt.<name>_grad``.

    inner : what of x the derivative reads several times: it is ``derivative(x, inner(x))``.
    """

    @register(f"{name}_grad", like_first, elementwise=True, cheap=False)
    def _grad(_attrs: Attributes, data: te.Tensor, adjoint: te.Tensor) -> te.Tensor:
        operands = [data]
        if inner is not None:
            operands.append(te.compute(data.shape, lambda *i: inner(data(*i)), name="inner"))
        return te.compute(
            data.shape,
            lambda *i: adjoint(*i) * derivative(*(operand(*i) for operand in operands)),
            name="input_grad",
        )

    return widened(
        lambda _var, expr, adjoint, _builder: [call(f"{name}_grad", expr.args[0], adjoint)]
    )


def _erf_derivative(x: tirx.Expr) -> tirx.Expr:
    return tirx.exp(-x * x) * const_like(x, 2 / math.sqrt(math.pi))


def _gelu_derivative(x: tirx.Expr) -> tirx.Expr:
    """Of ``x * (1 + erf(x / sqrt(2))) / 2``."""
    number = partial(const_like, x)
    below = tirx.erf(x * number(math.sqrt(0.5))) * number(0.5) + number(0.5)
    return below + x * tirx.exp(x * x * number(-0.5)) * number(1 / math.sqrt(2 * math.pi))


_GELU_SCALE, _GELU_CUBE = math.sqrt(2 / math.pi), 0.044715


def _gelu_tanh_inner(x: tirx.Expr) -> tirx.Expr:
    number = partial(const_like, x)
    return tirx.tanh(x * (x * x * number(_GELU_SCALE * _GELU_CUBE) + number(_GELU_SCALE)))


def _gelu_tanh_derivative(x: tirx.Expr, tanh: tirx.Expr) -> tirx.Expr:
    """Of ``x * (1 + tanh) / 2``, tanh that of ``_GELU_SCALE * (x + _GELU_CUBE * x**3)``."""
    number = partial(const_like, x)
    inner = x * x * number(3 * _GELU_SCALE * _GELU_CUBE) + number(_GELU_SCALE)
    return (number(1) + tanh + x * (number(1) - tanh * tanh) * inner) * number(0.5)


_softplus_gradient_at_1 = _derivative("softplus", tirx.sigmoid)


def _softplus_gradient(
    var: relax.Var, expr: relax.Call, adjoint: relax.Var, builder: relax.BlockBuilder
) -> Sequence[relax.Expr]:
    """`[adjoint * sigmoid(beta * x)]`; above the threshold that is 1 to float32's precision."""
    if expr.attrs.threshold < 17:
        raise refusal(expr, f"with a threshold of {expr.attrs.threshold:g}, only with 17 and more")
    (data,) = expr.args
    if expr.attrs.beta != 1:
        data = builder.emit(relax.op.multiply(data, relax.const(expr.attrs.beta, dtype_of(data))))
    return _softplus_gradient_at_1(var, relax.Call(expr.op, [data], expr.attrs), adjoint, builder)


_describe = partial(describe, elementwise=True, channels=numbering.same)

for _name in ("multiply", "subtract"):
    _describe(_name, gradient=widened(tvm_gradient(_name)))
for _name in ("divide", "power"):
    _describe(_name, gradient=widened(tvm_gradient(_name)), cheap=False)
for _name in ("exp", "log", "nn.silu", "sigmoid", "sqrt", "tanh"):
    _describe(_name, cheap=False)
_describe("negative")
_describe("abs", gradient=_abs_gradient)
_describe("astype", gradient=_astype_gradient)
_describe("maximum", gradient=widened(_maximum_gradient))
_describe("minimum", gradient=widened(_minimum_gradient))
_describe("add", gradient=widened(tvm_gradient("add")), integer=integer_add, trimmed=_trimmed_sum)
_describe("square", gradient=_square_gradient)
_describe("rsqrt", gradient=widened(_rsqrt_gradient), cheap=False)
_describe("nn.leakyrelu", gradient=_leakyrelu_gradient)
_describe("nn.relu", gradient=_relu_gradient, bounds=lambda _: (0.0, np.inf, True))
_describe(
    "clip",
    gradient=_clip_gradient,
    bounds=lambda call: (float(call.args[1].value), float(call.args[2].value), False),
)
_describe("erf", cheap=False, gradient=_derivative("erf", _erf_derivative))
_describe("nn.gelu", cheap=False, gradient=_derivative("gelu", _gelu_derivative))
_describe(
    "nn.gelu_tanh",
    cheap=False,
    gradient=_derivative("gelu_tanh", _gelu_tanh_derivative, _gelu_tanh_inner),
)
_describe("nn.softplus", cheap=False, gradient=_softplus_gradient)
