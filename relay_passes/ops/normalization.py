"""Gradients of ``gamma * (x - mean) / sqrt(variance + epsilon) + beta``, in all its forms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tvm import relax
from tvm.relax.op.grad import no_grad

from ..graph import dtype_of
from .canonical import refusal, widened
from .registry import describe

op = relax.op


@dataclass(frozen=True)
class _Normalization:
    """How one operand is normalized.

    over : axes whose mean and variance are taken. along : axes of gamma and beta.
    mean, variance : of a shape that broadcasts with the operand; None for a mean of 0.
    moving : whether they are constants, not computed of the operand.
    """

    over: Sequence[int]
    along: Sequence[int]
    epsilon: float
    mean: relax.Expr | None
    variance: relax.Expr
    moving: bool = False

    def gradients(
        self, emit: Callable[..., relax.Var], data: relax.Expr, gamma: relax.Expr, dy: relax.Expr
    ) -> list[relax.Expr]:
        """Of the operand, gamma and beta."""
        variance = emit(op.add(self.variance, relax.const(self.epsilon, dtype_of(data))))
        factor = emit(op.rsqrt(variance))
        centred = data if self.mean is None else emit(op.subtract(data, self.mean))
        white = emit(op.multiply(centred, factor))
        d_white = emit(op.multiply(dy, _spread(emit, gamma, data, self.along)))
        d_centred = d_white if self.moving else self._of_centred(emit, white, d_white)
        return [
            op.multiply(d_centred, factor),
            self._collapsed(emit, emit(op.multiply(dy, white)), gamma),
            self._collapsed(emit, dy, gamma),
        ]

    def _of_centred(
        self, emit: Callable[..., relax.Var], white: relax.Var, d_white: relax.Var
    ) -> relax.Var:
        """What moves neither the mean nor the variance."""
        share = emit(op.mean(emit(op.multiply(d_white, white)), self.over, True))
        rest = emit(op.subtract(d_white, emit(op.multiply(white, share))))
        if self.mean is None:
            return rest
        return emit(op.subtract(rest, emit(op.mean(d_white, self.over, True))))

    def _collapsed(
        self, emit: Callable[..., relax.Var], partial: relax.Expr, gamma: relax.Expr
    ) -> relax.Expr:
        others = [axis for axis in range(partial.ty.ndim) if axis not in self.along]
        return op.reshape(emit(op.sum(partial, others)), gamma.ty.shape)


def _spread(
    emit: Callable[..., relax.Var], values: relax.Expr, data: relax.Expr, along: Sequence[int]
) -> relax.Var:
    """`values` along these axes of `data`, of a shape that broadcasts with it."""
    shape = [n if axis in along else 1 for axis, n in enumerate(data.ty.shape)]
    return emit(op.reshape(values, shape))


def _of_itself(
    emit: Callable[..., relax.Var],
    data: relax.Expr,
    over: Sequence[int],
    along: Sequence[int],
    epsilon: float,
) -> _Normalization:
    mean, variance = (emit(statistic(data, over, True)) for statistic in (op.mean, op.variance))
    return _Normalization(over, along, epsilon, mean, variance)


def _axes(call: relax.Call, name: str) -> list[int]:
    """Attribute `name`, one axis or several, as numbers from 0."""
    value = call.attrs[name]
    axes = [value] if isinstance(value, int) else value
    return [int(axis) % call.args[0].ty.ndim for axis in axes]


def _layer_norm(
    _var: relax.Var, call: relax.Call, adjoint: relax.Var, builder: relax.BlockBuilder
) -> list[relax.Expr]:
    data, gamma, _ = call.args
    over = _axes(call, "axes")
    normalization = _of_itself(builder.emit, data, over, over, call.attrs.epsilon)
    return normalization.gradients(builder.emit, data, gamma, adjoint)


def _rms_norm(
    _var: relax.Var, call: relax.Call, adjoint: relax.Var, builder: relax.BlockBuilder
) -> list[relax.Expr]:
    data, gamma = call.args
    over = _axes(call, "axes")
    squares = builder.emit(op.mean(builder.emit(op.multiply(data, data)), over, True))
    normalization = _Normalization(over, over, call.attrs.epsilon, None, squares)
    return normalization.gradients(builder.emit, data, gamma, adjoint)[:2]


def _instance_norm(
    _var: relax.Var, call: relax.Call, adjoint: relax.Var, builder: relax.BlockBuilder
) -> list[relax.Expr]:
    data, gamma, _ = call.args
    over, along = _axes(call, "axes"), _axes(call, "channel_axis")
    normalization = _of_itself(builder.emit, data, over, along, call.attrs.epsilon)
    return normalization.gradients(builder.emit, data, gamma, adjoint)


def _group_norm(
    _var: relax.Var, call: relax.Call, adjoint: relax.Var, builder: relax.BlockBuilder
) -> list[relax.Expr]:
    """As of one whose channel axis is split in two: (group, channel of the group)."""
    emit, (data, gamma, _) = builder.emit, call.args
    (channel,), groups = _axes(call, "channel_axis"), int(call.attrs.num_groups)
    shape = list(data.ty.shape)
    shape[channel : channel + 1] = [groups, shape[channel] // groups]
    inner = [axis + (axis > channel) for axis in _axes(call, "axes")]
    split, d_split = (emit(op.reshape(tensor, shape)) for tensor in (data, adjoint))
    over, along = [channel + 1, *inner], [channel, channel + 1]
    normalization = _of_itself(emit, split, over, along, call.attrs.epsilon)
    partial, *others = normalization.gradients(emit, split, gamma, d_split)
    return [op.reshape(emit(partial), data.ty.shape), *others]


def _batch_norm(
    _var: relax.Var, call: relax.Call, adjoint: relax.Var, builder: relax.BlockBuilder
) -> list[relax.Expr]:
    """Of the first result alone: the new moving mean and variance are no part of a loss."""
    emit, (data, gamma, _, *moving) = builder.emit, call.args
    if not (call.attrs.scale and call.attrs.center):
        raise refusal(call, "without its gamma or its beta")
    along = _axes(call, "axis")
    over = [axis for axis in range(data.ty.ndim) if axis not in along]
    epsilon = call.attrs.epsilon
    if call.attrs.training:
        normalization = _of_itself(emit, data, over, along, epsilon)
    else:
        statistics = (_spread(emit, values, data, along) for values in moving)
        mean, variance = statistics
        normalization = _Normalization(over, along, epsilon, mean, variance, moving=True)
    first = emit(relax.TupleGetItem(adjoint, 0))
    return [*normalization.gradients(emit, data, gamma, first), *map(no_grad, moving)]


describe("nn.layer_norm", gradient=widened(_layer_norm), cheap=False)
describe("nn.rms_norm", gradient=widened(_rms_norm), cheap=False)
describe("nn.instance_norm", gradient=widened(_instance_norm), cheap=False)
describe("nn.group_norm", gradient=widened(_group_norm), cheap=False)
describe("nn.batch_norm", gradient=_batch_norm, cheap=False)
