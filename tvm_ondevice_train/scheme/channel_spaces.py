"""Which tensors number their channels alike.

A space is one numbering. Axis 1 of every activation belongs to one; a convolution leads from one
space to another, a depthwise convolution, an elementwise operator or a pool stays in it, and the
operands of an add share one, as the operators' records say. A space is fixed where its order is
visible or where an operator reads it whose record says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from tvm import relax

from relay_passes.graph import bindings_of, constant, shape_of, variables_in
from relay_passes.ops.registry import operator_of

# for the first two axes of a parameter the original index of each position, None where it is that
Orders = tuple[np.ndarray | None, np.ndarray | None]


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

    def numberings_of(self, name: str, numberings: Mapping[int, np.ndarray]) -> Orders:
        """What `numberings` (by space) mean for the two axes of a parameter."""
        rows, columns = (
            None if space is None else numberings.get(space)
            for space in self.parameters.get(name, (None, None))
        )
        return rows, columns


def channel_spaces(function: relax.Function) -> Spaces:
    """The spaces of a model's function: ``main(input, parameters...)``, activations NCHW."""
    return _Analysis(function).spaces()


class _Analysis:
    def __init__(self, function: relax.Function) -> None:
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

        def resolved(var: relax.Var, axis: int) -> int | None:
            space = self._find(self.axis[var, axis]) if (var, axis) in self.axis else None
            return space if space in free else None

        constants: dict[relax.Var, list[tuple[int, int, int]]] = {}
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

    def _unite(self, first: tuple[relax.Var, int], second: tuple[relax.Var, int]) -> None:
        self.parent[self._find(self._space(*first))] = self._find(self._space(*second))

    def _space(self, var: relax.Var, axis: int) -> int:
        if (var, axis) not in self.axis:
            self.axis[var, axis] = len(self.parent)
            self.parent.append(len(self.parent))
            self.extents.append(shape_of(var)[axis])
        return self.axis[var, axis]

    def _fix(self, var: relax.Var) -> None:
        for axis in range(len(shape_of(var))):
            self.fixed.append(self._space(var, axis))

    def _binding(self, var: relax.Var, value: relax.Expr) -> None:
        rule = operator_of(value).channels
        pairs = rule(value) if rule else None
        if pairs is None:
            for other in [var, *variables_in(value)]:
                if isinstance(other.ty, relax.TensorType):
                    self._fix(other)
            return
        operands = [*value.args, var]  # the last is numbering.RESULT
        for (first, first_axis), (second, axis) in pairs:
            known = operands[first], first_axis
            if constant(operands[second]) is None:
                self._unite(known, (operands[second], axis))
            else:
                self.constants.append((var, second, axis, self._space(*known)))
