"""The layers of a network, and their parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tvm import relax

from .graph import Values, bindings_of, consumers_of, is_call_of, op_name
from .layer_words import Layer, layer_name
from .ops.registry import operator_of

_MOVES = ("relax.permute_dims", "relax.astype")  # leave a parameter one


def layers_of(function: relax.Function) -> tuple[Layer, ...]:
    """Every convolution or fully connected layer in execution order, with its parameters.

    What an activation has learned belongs to the layer before it.
    """
    producers = {b.var: b.value for b in bindings_of(function)}
    consumers = consumers_of(function)
    layers: list[Layer] = []
    for binding in bindings_of(function):
        if operator_of(binding.value).layer:
            layers.append(_layer(binding, producers, consumers))
        elif layers and (name := _learned(binding.value, producers)):
            layers[-1] = replace(layers[-1], slopes=(*layers[-1].slopes, name))
    return tuple(layers)


def parameter_behind(expr: relax.Expr, producers: Values) -> str | None:
    """Name of the parameter that `expr` is, decoded, cast, reshaped or turned, if it is one."""
    while expr in producers:
        value = producers[expr]
        if not operator_of(value).restates and op_name(value) not in _MOVES:
            return None
        expr = value.args[0]
    return expr.name if isinstance(expr, relax.Var) else None


def _learned(call: relax.Expr, producers: Values) -> str | None:
    """Name of the parameter that `call` has learned, if it has one."""
    operand = operator_of(call).learned
    return None if operand is None else parameter_behind(call.args[operand], producers)


def _layer(
    binding: relax.Binding,
    producers: Values,
    consumers: Mapping[relax.Var, Sequence[relax.Binding]],
) -> Layer:
    weight = _learned(binding.value, producers)
    bias = None
    users = consumers.get(binding.var, [])
    if len(users) == 1 and is_call_of(users[0].value, "relax.add"):
        other = [a for a in users[0].value.args if not a.same_as(binding.var)]
        bias = parameter_behind(other[0], producers) if other else None
    name = layer_name(weight) if weight else binding.var.name
    return Layer(name=name, weight=weight, bias=bias)
