"""A model in the one representation that everything behind the frontend reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import tvm
from tvm import relax

from relay_passes.graph import Values, bindings_of, constant_value, consumers_of, is_call_of
from relay_passes.memory.read_step import layer_name
from relay_passes.ops.registry import operator_of

from .scheme.update_scheme import Layer
from .tensor_spec import TensorSpec


@dataclass(frozen=True)
class Model:
    """A trained network as canonical Relax.

    ``module["main"]`` takes the input (in the source model's own layout, batch 1) and every
    parameter by name, and returns float32 logits or values. Activations are NCHW, convolution
    weights OIHW, a fully connected layer is a 1x1 convolution. Int8 parts stay
    dequantize -> float op -> quantize (QDQ). ``parameters`` holds the value of each parameter as
    stored: int8 weights, int32 biases, float32 otherwise.
    """

    name: str
    module: tvm.IRModule
    parameters: dict[str, np.ndarray]
    input: TensorSpec

    @property
    def output_shape(self) -> tuple[int, ...]:
        return tuple(int(d) for d in self.module["main"].ret_ty.shape)

    @property
    def scales(self) -> dict[str, np.ndarray]:
        """Scale of each quantized parameter: a scalar, or one for each output channel."""
        decoded = (
            binding.value.args
            for binding in bindings_of(self.module["main"])
            if is_call_of(binding.value, "relax.dequantize")
        )
        return {
            data.name: constant_value(scale)
            for data, scale, _ in decoded
            if getattr(data, "name", None) in self.parameters
        }

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Every convolution or fully connected layer in execution order, with its parameters.

        What an activation has learned belongs to the layer before it.
        """
        function = self.module["main"]
        producers = {b.var: b.value for b in bindings_of(function)}
        consumers = consumers_of(function)
        layers: list[Layer] = []
        for binding in bindings_of(function):
            if operator_of(binding.value).layer:
                layers.append(_layer(binding, producers, consumers))
            elif layers and (name := _learned(binding.value, producers)):
                layers[-1] = replace(layers[-1], slopes=(*layers[-1].slopes, name))
        return tuple(layers)


def _learned(call: relax.Expr, producers: Values) -> str | None:
    """Name of the parameter that `call` has learned, if it has one."""
    operand = operator_of(call).learned
    return None if operand is None else parameter_behind(call.args[operand], producers)


def _layer(
    binding: relax.VarBinding,
    producers: Values,
    consumers: Mapping[relax.Var, list[relax.VarBinding]],
) -> Layer:
    weight = _learned(binding.value, producers)
    bias = None
    users = consumers.get(binding.var, [])
    if len(users) == 1 and is_call_of(users[0].value, "relax.add"):
        other = [a for a in users[0].value.args if not a.same_as(binding.var)]
        bias = parameter_behind(other[0], producers) if other else None
    name = layer_name(weight) if weight else binding.var.name
    return Layer(name=name, weight=weight, bias=bias)


def parameter_behind(expr: relax.Expr, producers: Values) -> str | None:
    """Name of the parameter that `expr` is, decoded or reshaped, if it is one."""
    while expr in producers:
        value = producers[expr]
        if not operator_of(value).restates:
            return None
        expr = value.args[0]
    return expr.name if isinstance(expr, relax.Var) else None
