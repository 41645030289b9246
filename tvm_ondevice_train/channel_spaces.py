"""Which tensors number their channels alike.

A space is one numbering. Axis 1 of every activation belongs to one; a convolution leads from one
space to another, a depthwise convolution, an elementwise operator or a pool stays in it, and the
operands of an add share one. A space is fixed where its order is visible or where an operator that
is not known here reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from tvm import relax

from relay_passes.graph import bindings_of, constant, op_name, shape_of, variables_in

_SAME_CHANNELS = frozenset(
    f"relax.{name}"
    for name in (
        *("quantize", "dequantize", "clip", "sigmoid", "tanh", "exp", "negative", "abs", "sqrt"),
        *("add", "subtract", "multiply", "divide", "maximum", "minimum", "astype"),
        *("nn.relu", "nn.leakyrelu", "nn.silu", "nn.gelu"),
        *("nn.max_pool2d", "nn.avg_pool2d", "nn.adaptive_avg_pool2d"),
    )
)


@dataclass(frozen=True)
class Spaces:
    """parameters: name -> the space of axes 0 and 1, None for an axis that has none or is fixed.
    constants: binding variable -> (operand, axis, space) of each constant with channels.
    extent: channels of each space that can be renumbered.
    """

    parameters: Mapping[str, tuple[int | None, int | None]]
    constants: Mapping[relax.Var, tuple[tuple[int, int, int], ...]]
    extent: Mapping[int, int]

    def of_channels(self, name: str, axis: int) -> int | None:
        """The space of a weight's input channels, None if it is fixed."""
        return self.parameters.get(name, (None, None))[axis]

    def orders_of(self, name: str, orders: Mapping[int, np.ndarray]):
        """What `orders` (by space) mean for the two axes of a parameter."""
        return tuple(orders.get(space) for space in self.parameters.get(name, (None, None)))


def channel_spaces(function: relax.Function) -> Spaces:
    """The spaces of a model's function: ``main(input, parameters...)``, activations NCHW."""
    return _Analysis(function).spaces()


class _Analysis:
    def __init__(self, function: relax.Function):
        self.function = function
        self.values = {b.var: b.value for b in bindings_of(function)}
        self.parent: list[int] = []
        self.extents: list[int] = []
        self.fixed: list[int] = []  # spaces, to be resolved with `_find` at the end
        self.axis: dict[tuple[relax.Var, int], int] = {}  # (variable, axis) -> space
        self.constants: list[tuple[relax.Var, int, int, int]] = []

    def spaces(self) -> Spaces:
        function = self.function
        self._fix(function.params[0])
        for binding in bindings_of(function):
            self._binding(binding.var, binding.value)
        self._fix(function.body.body)
        fixed = {self._find(space) for space in self.fixed}
        free = {s for s in range(len(self.parent)) if s == self._find(s)} - fixed

        def resolved(var, axis):
            space = self._find(self.axis[var, axis]) if (var, axis) in self.axis else None
            return space if space in free else None

        constants: dict = {}
        for var, operand, axis, space in self.constants:
            if self._find(space) in free:
                constants.setdefault(var, []).append((operand, axis, self._find(space)))
        return Spaces(
            {p.name: (resolved(p, 0), resolved(p, 1)) for p in function.params[1:]},
            {var: tuple(entries) for var, entries in constants.items()},
            {space: self.extents[space] for space in free},
        )

    # -- union of spaces ------------------------------------------------------------------------

    def _find(self, space: int) -> int:
        while self.parent[space] != space:
            space = self.parent[space]
        return space

    def _unite(self, first: tuple, second: tuple):
        self.parent[self._find(self._space(*first))] = self._find(self._space(*second))

    def _space(self, var, axis: int) -> int:
        if (var, axis) not in self.axis:
            self.axis[var, axis] = len(self.parent)
            self.parent.append(len(self.parent))
            self.extents.append(shape_of(var)[axis])
        return self.axis[var, axis]

    def _fix(self, var):
        for axis in range(len(shape_of(var))):
            self.fixed.append(self._space(var, axis))

    # -- operators ------------------------------------------------------------------------------

    def _binding(self, var, value):
        name = op_name(value)
        if name == "relax.nn.conv2d":
            self._convolution(var, value)
        elif name == "relax.dequantize" and self._is_weight(value.args[0]):
            self._decode(var, value)
        elif name == "relax.reshape" and self._keeps_channels(var, value):
            axis = 0 if len(shape_of(value.args[0])) == 1 else 1
            self._unite((var, 1), (value.args[0], axis))
        elif name in _SAME_CHANNELS or self._is_spatial_mean(value):
            self._elementwise(var, value)
        else:
            for other in [var, *variables_in(value)]:
                if isinstance(other.ty, relax.TensorType):
                    self._fix(other)

    def _convolution(self, var, value):
        data, weight = value.args
        groups, inputs_per_group = int(value.attrs.groups), shape_of(weight)[1]
        self._unite((var, 1), (weight, 0))
        if groups == 1:
            self._unite((data, 1), (weight, 1))
        elif inputs_per_group == 1 and shape_of(weight)[0] == groups:
            self._unite((data, 1), (var, 1))
        else:
            self._fix(data)
            self._fix(weight)

    def _is_weight(self, expr) -> bool:
        return any(expr.same_as(p) for p in self.function.params[1:])

    def _decode(self, var, value):
        """A parameter's dequantize: scale and zero point lie along one of its axes."""
        data = value.args[0]
        for axis in range(min(2, len(shape_of(data)))):
            self._unite((var, axis), (data, axis))
        for operand in (1, 2):
            array = constant(value.args[operand])
            if array is None:
                self._fix(data)
            elif array.size > 1:
                axis = int(value.attrs.axis)
                self.constants.append((var, operand, 0, self._space(data, axis)))

    def _keeps_channels(self, var, value) -> bool:
        """(C,) to (1, C, 1, 1), or (1, C, 1, 1) to (1, C) and back."""
        before, after = shape_of(value.args[0]), shape_of(var)
        if len(after) < 2 or after[0] != 1 or any(n != 1 for n in after[2:]):
            return False
        return before == after[1:2] or (before[:2] == after[:2] and all(n == 1 for n in before[2:]))

    def _is_spatial_mean(self, value) -> bool:
        if op_name(value) != "relax.mean" or len(shape_of(value.args[0])) != 4:
            return False
        axes = [int(a) for a in value.attrs.axis or ()]
        return axes == [2, 3] and bool(value.attrs.keepdims)

    def _elementwise(self, var, value):
        """Result and operands share their channels; an operand of one channel is broadcast."""
        rank = len(shape_of(var))
        for operand, arg in enumerate(value.args):
            if not isinstance(getattr(arg, "ty", None), relax.TensorType):
                continue
            shape = shape_of(arg)
            if not shape or all(n == 1 for n in shape):
                continue
            if rank < 2 or len(shape) != rank or shape[1] != shape_of(var)[1]:
                self._fix(var)
                if constant(arg) is None:
                    self._fix(arg)
            elif constant(arg) is None:
                self._unite((var, 1), (arg, 1))
            else:
                self.constants.append((var, operand, 1, self._space(var, 1)))
