"""The layers of a network, and their parameters."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from tvm import relax

from .graph import Values, bindings_of, consumers_of, is_call_of, op_name, variables_in
from .layer_words import Layer, layer_name
from .ops.registry import operator_of

_MOVES = ("relax.permute_dims", "relax.astype")  # leave a parameter one


def layers_of(function: relax.Function, learned: Collection[str] = ()) -> tuple[Layer, ...]:
    """Every convolution or fully connected layer in execution order, with its parameters.

    What an activation has learned belongs to the layer before it, and so does each of the
    parameters `learned` that no layer has; those before all layers belong to the first.
    """
    producers = {b.var: b.value for b in bindings_of(function)}
    consumers = consumers_of(function)
    layers: list[Layer] = []
    for binding in bindings_of(function):
        if operator_of(binding.value).layer:
            layers.append(_layer(binding, producers, consumers))
        elif layers and (name := _learned(binding.value, producers)):
            layers[-1] = replace(layers[-1], slopes=(*layers[-1].slopes, name))
    return _with_further(function, layers, learned) if learned else tuple(layers)


def _with_further(
    function: relax.Function, layers: Sequence[Layer], learned: Collection[str]
) -> tuple[Layer, ...]:
    """`layers` with the parameters `learned` that none of them has, each at its first reader."""
    taken = {name for layer in layers for name in layer.parameters}
    further: list[list[str]] = [[] for _ in layers]
    passed = 0
    for binding in bindings_of(function):
        passed += operator_of(binding.value).layer
        for var in variables_in(binding.value):
            if layers and var.name in learned and var.name not in taken:
                taken.add(var.name)
                further[max(passed - 1, 0)].append(var.name)
    pairs = zip(layers, further, strict=True)
    return tuple(replace(layer, slopes=(*layer.slopes, *names)) for layer, names in pairs)


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
