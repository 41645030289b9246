"""What an optimizer adds to a training step: arguments, updates of what trains, new states."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from tvm import relax

from ..graph import constant, dtype_of, shape_of
from ..ops.channels import indices_of, take_channels
from ..ops.masks import INT8_MAX
from ..ops.optimizer import optimizer_step
from ..ops.quantized import BIAS_LIMIT
from ..ops.registry import attributes
from ..ops.update import real_value, sgd_update, sgd_update_codes
from ..optimizers import Optimizer, inputs_of


@dataclass(frozen=True)
class Leaf:
    """A trained parameter and how the function gets its real value from it.

    `merge` puts it together with its frozen channels, `decode` is its dequantize; None where there
    is none. The last of the three is what `Gradient` differentiates.
    """

    parameter: relax.Var
    merge: relax.VarBinding | None
    decode: relax.VarBinding | None

    @property
    def binding(self) -> relax.VarBinding | None:
        """What binds the real value; None if it is the parameter itself."""
        return self.decode or self.merge

    @property
    def real(self) -> relax.Var:
        """The real value."""
        return self.binding.var if self.binding else self.parameter


class Updates:
    """What an optimizer adds to a function: arguments, updates of its `leaves`, new states."""

    def __init__(
        self, optimizer: Optimizer, function: relax.Function, leaves: Sequence[Leaf]
    ) -> None:
        self.optimizer, self.leaves = optimizer, leaves
        own = function.params[2:]
        names = [leaf.parameter.name for leaf in leaves]
        inputs = inputs_of(optimizer, names, [p.name for p in own])
        scalar = relax.TensorType((), "float32")
        self.learning_rate = relax.Var("learning_rate", scalar)
        self.seed = relax.Var("seed", relax.TensorType((), "uint32"))
        self.hyper = {name: relax.Var(called, scalar) for name, called in inputs.hyper.items()}
        self.states = [
            {
                name: relax.Var(called, relax.TensorType(shape_of(leaf.parameter), "float32"))
                for name, called in inputs.states[leaf.parameter.name].items()
            }
            for leaf in leaves
        ]
        states = [var for one in self.states for var in one.values()]
        further = [*self.hyper.values(), *states]
        self.params = [*function.params[:2], self.learning_rate, self.seed, *own, *further]
        self.attributes = {"trained_parameters": names}
        if states:
            self.attributes["optimizer_states"] = [var.name for var in states]

    def emit(self, builder: relax.BlockBuilder, gradients: Sequence[relax.Expr]) -> list[relax.Var]:
        """The updated parameters, then the new states, as results of the function."""
        updated: list[relax.Var] = []
        new_states: list[relax.Var] = []
        for leaf, gradient, states in zip(self.leaves, gradients, self.states, strict=True):
            if leaf.merge:
                attrs = attributes(leaf.merge.value)
                gradient = builder.emit(take_channels(gradient, attrs["ranges"], attrs["axis"]))
            direction, new = optimizer_step(
                self.optimizer,
                gradient,
                partial(_emitted_value, builder, leaf),
                states,
                self.hyper,
                partial(_emitted, builder),
            )
            updated.append(builder.emit_output(self._update(leaf, direction)))
            new_states += new.values()
        return [*updated, *new_states]

    def _update(self, leaf: Leaf, direction: relax.Var) -> relax.Call:
        parameter = leaf.parameter
        if leaf.decode is None:
            return sgd_update(parameter, direction, self.learning_rate)
        return sgd_update_codes(
            parameter,
            direction,
            self.learning_rate,
            self.seed,
            relax.const(_inverse_scale(leaf, leaf.decode)),
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


def _inverse_scale(leaf: Leaf, decode: relax.VarBinding) -> np.ndarray:
    """1 / scale of each trained row, float32; 0 for a dead channel."""
    scale = _scale(leaf, decode)
    with np.errstate(divide="ignore"):
        inverse = np.where(scale > np.finfo(np.float32).tiny, 1.0 / scale, 0.0)
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
