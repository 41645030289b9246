"""What an optimizer adds to a training step: arguments, updates of what trains, new states."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import partial

import numpy as np
from tvm import relax

from ..graph import constant, dtype_of, shape_of
from ..layer_words import Layer, rates_of
from ..ops.channels import indices_of
from ..ops.masks import INT8_MAX
from ..ops.optimizer import next_scalars, optimizer_step
from ..ops.quantized import BIAS_LIMIT
from ..ops.registry import attributes
from ..ops.update import real_value, sgd_update, sgd_update_codes
from ..optimizers import Optimizer, inputs_of
from .arguments import Arguments
from .clipping import clipping_factor
from .forward import Forward, Leaf

CLIP_NORM = "clip_norm"  # the field of `Optimizer`


class Updates:
    """What an optimizer adds to a function: arguments, updates of its `leaves`, new states.

    layers : what words of `Optimizer.lr_scale` mean.

    The step takes inputs and target, the learning rate, the seed of stochastic rounding, the
    parameters, then further hyper-parameters, scalars and states.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        arguments: Arguments,
        leaves: Sequence[Leaf],
        layers: Sequence[Layer] = (),
    ) -> None:
        self.optimizer, self.leaves = optimizer, leaves
        own = arguments.parameters
        names = [leaf.parameter.name for leaf in leaves]
        self.rates = rates_of(optimizer.lr_scale, layers, names)
        inputs = inputs_of(optimizer, names, [p.name for p in own])
        scalar = relax.TensorType((), "float32")
        self.learning_rate = relax.Var("learning_rate", scalar)
        self.seed = relax.Var("seed", relax.TensorType((), "uint32"))
        self.hyper = {name: relax.Var(called, scalar) for name, called in inputs.hyper.items()}
        self.scalars = {name: relax.Var(called, scalar) for name, called in inputs.scalars.items()}
        self.states = [
            {
                state: tuple(relax.Var(t.name, relax.TensorType(t.shape, t.dtype)) for t in kept)
                for state, kept in inputs.kept(
                    leaf.parameter.name,
                    leaf.parameter.ty.shape,  # it may be symbolic
                ).items()
            }
            for leaf in leaves
        ]
        states = [*self.scalars.values()]
        states += [var for one in self.states for kept in one.values() for var in kept]
        further = [*self.hyper.values(), *states]
        leading = [*arguments.leading, self.learning_rate, self.seed]
        self.num_input: int | None = len(leading)
        self.params = [*leading, *own, *further]
        self.attributes: dict[str, object] = {"trained_parameters": names}
        if states:
            self.attributes["optimizer_states"] = [var.name for var in states]

    def results(
        self, builder: relax.BlockBuilder, gradients: Sequence[relax.Var], forward: Forward
    ) -> list[relax.Expr]:
        """The loss, the updated parameters, the new states, and what else the function returned."""
        return [forward.loss, *self.updated(builder, gradients), *forward.further]

    def updated(
        self,
        builder: relax.BlockBuilder,
        gradients: Sequence[relax.Var],
        factor: relax.Expr | None = None,
    ) -> list[relax.Expr]:
        """The updated parameters and the new states, by `gradients` times the 0-d `factor`."""
        if CLIP_NORM in self.hyper:
            unclipped = relax.const(np.float32(1)) if factor is None else factor
            factor = clipping_factor(builder.emit, gradients, unclipped, self.hyper[CLIP_NORM])
        if factor is not None:
            gradients = [builder.emit(relax.op.multiply(one, factor)) for one in gradients]
        updated: list[relax.Var] = []
        emit = partial(_emitted, builder)
        scalars = next_scalars(self.optimizer, self.scalars, self.hyper, emit)
        new_states = list(scalars.values())
        for leaf, gradient, states in zip(self.leaves, gradients, self.states, strict=True):
            direction, new = optimizer_step(
                self.optimizer,
                gradient,
                partial(_emitted_value, builder, leaf),
                states,
                {**self.hyper, **scalars},
                self.seed,
                emit,
            )
            updated.append(builder.emit_output(self._update(builder, leaf, direction)))
            new_states += new
        return [*updated, *new_states]

    def _update(self, builder: relax.BlockBuilder, leaf: Leaf, direction: relax.Var) -> relax.Call:
        parameter, factor = leaf.parameter, self.rates.get(leaf.parameter.name, 1.0)
        if leaf.decode is None:
            rate = self.learning_rate
            if factor != 1:
                rate = builder.emit(relax.op.multiply(rate, relax.const(factor, "float32")))
            return sgd_update(parameter, direction, rate)
        return sgd_update_codes(
            parameter,
            direction,
            self.learning_rate,
            self.seed,
            relax.const(_inverse_scale(leaf, leaf.decode, factor)),
            limit=INT8_MAX if dtype_of(parameter) == "int8" else BIAS_LIMIT,
            salt=zlib.crc32(parameter.name.encode()),
        )


def _emitted(builder: relax.BlockBuilder, value: relax.Expr, is_result: bool) -> relax.Var:
    return builder.emit_output(value) if is_result else builder.emit(value)


def _emitted_value(builder: relax.BlockBuilder, leaf: Leaf) -> relax.Var:
    """The float32 values of what trains."""
    if leaf.decode is None:
        return leaf.parameter
    scale = _scale(leaf, leaf.decode).astype(np.float32)
    return builder.emit(real_value(leaf.parameter, relax.const(scale)))


def _inverse_scale(leaf: Leaf, decode: relax.VarBinding, factor: float) -> np.ndarray:
    """factor / scale of each trained row, float32; 0 for a dead channel."""
    scale = _scale(leaf, decode)
    with np.errstate(divide="ignore"):
        inverse = np.where(scale > np.finfo(np.float32).tiny, factor / scale, 0.0)
    return inverse.astype(np.float32)


def _scale(leaf: Leaf, decode: relax.VarBinding) -> np.ndarray:
    """Scale of each trained row, float64."""
    whole = leaf.merge.var if leaf.merge else leaf.parameter
    scale = np.asarray(constant(decode.value.args[1]), np.float64)
    scale = np.broadcast_to(scale, shape_of(whole)[:1])
    if leaf.merge is None:
        return scale
    attrs = attributes(leaf.merge.value)
    return scale[indices_of(attrs["ranges"])] if attrs["axis"] == 0 else scale
