"""Tensors of a source function that do not depend on its input: which are one, who reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import permutations

import numpy as np
from tvm import relax

from relay_passes.graph import bindings_of, constant, dependents_of

from .quantized_values import Parameter

Axes = tuple[int, ...]
_MOST_AXES = 4  # of a weight; the orders of more are too many to try


class Sources:
    """The constant tensors of a function: its parameters, and the constants in its bindings.

    parameters : those that have a name and a value.
    """

    def __init__(
        self,
        function: relax.Function,
        parameters: Mapping[relax.Var, tuple[str | None, np.ndarray]],
    ) -> None:
        self.parameters = _united(parameters)
        self._known: dict[tuple, relax.Expr] = {}
        self._readers = self._count(function)

    def readers(self, source: relax.Expr | None) -> int:
        """How many operators on data read it, behind transposes and the like."""
        return self._readers[source]

    def parameter(self, expr: relax.Expr, value: np.ndarray) -> Parameter:
        """A constant without a name.

        TFLite's importer copies a tensor that two layers share: equal ones are one, but for those
        of one number throughout, which are alike by chance.
        """
        if _is_uniform(value):
            return Parameter(None, value)
        return Parameter.of(self._first(expr, value), None, value)

    def _first(self, expr: relax.Expr, value: np.ndarray) -> relax.Expr:
        return self._known.setdefault(_key(value), expr)

    def _count(self, function: relax.Function) -> Counter:
        data = {function.params[0], *(b.var for b in dependents_of(function, function.params[:1]))}
        behind: dict[relax.Expr, set[relax.Expr]] = {}  # of values that do not depend on data
        readers: Counter = Counter()
        for binding in bindings_of(function):
            read = set().union(*(self._behind(e, behind) for e in _operands(binding.value)))
            if binding.var in data:
                readers.update(read)
            else:
                behind[binding.var] = read
        return readers

    def _behind(self, expr: relax.Expr, behind: dict) -> set[relax.Expr]:
        if expr in self.parameters:
            return {self.parameters[expr].source}
        if isinstance(expr, relax.Var):
            return behind.get(expr, {expr})
        return {self._first(expr, value)} if (value := constant(expr)) is not None else set()


def _united(
    parameters: Mapping[relax.Var, tuple[str | None, np.ndarray]],
) -> dict[relax.Var, Parameter]:
    """Each as it lies in the file, or as an earlier one that is transposed or has another shape.

    Exporters compute these forms of a tied tensor, and store them as if they were others.
    """
    found: dict[relax.Var, Parameter] = {}
    originals: dict[tuple, Parameter] = {}  # by their elements in any order
    for var, (name, value) in parameters.items():
        found[var] = Parameter.of(var, name, value)
        if value.ndim <= _MOST_AXES and not _is_uniform(value):  # uniform ones: alike by chance
            key = str(value.dtype), np.sort(value, axis=None).tobytes()
            original = originals.setdefault(key, found[var])
            found[var] = _moved(original, value) or found[var]
    return found


def _moved(original: Parameter, value: np.ndarray) -> Parameter | None:
    """`original` in the form of `value`; None where none makes one of the other, or they are alike.

    Two tensors may be alike at first, as those of networks that begin with the same weights.
    """
    if original.shape == value.shape and np.array_equal(original.stored, value):
        return None
    flat = value.ravel()
    orders = permutations(range(len(original.shape)))
    turned = ((axes, original.stored.transpose(axes)) for axes in orders)
    axes = next((axes for axes, form in turned if np.array_equal(form.ravel(), flat)), None)
    if axes is None:
        return None
    return original.map(lambda a: a.transpose(axes).reshape(value.shape))


def _is_uniform(value: np.ndarray) -> bool:
    return value.size < 2 or bool(np.all(value == value.flat[0]))


def _key(value: np.ndarray) -> tuple:
    return value.shape, str(value.dtype), value.tobytes()


def _operands(expr: relax.Expr) -> list[relax.Expr]:
    if isinstance(expr, relax.Call):
        return [operand for arg in expr.args for operand in _operands(arg)]
    if isinstance(expr, relax.Tuple):
        return [operand for field in expr.fields for operand in _operands(field)]
    return _operands(expr.tuple_value) if isinstance(expr, relax.TupleGetItem) else [expr]


def moves_between(first: np.ndarray, second: np.ndarray) -> tuple[Axes, Axes, Axes] | None:
    """(shape, axes, shape): reshape, transpose and reshape that make `second` of `first`.

    Both hold the numbers of the same elements, each once. None where three are not enough.
    """
    for axes in permutations(range(first.ndim)):
        if np.array_equal(first.transpose(axes).ravel(), second.ravel()):
            return first.shape, axes, second.shape
    for axes in permutations(range(second.ndim)):
        turned = second.transpose(axes)
        if np.array_equal(turned.ravel(), first.ravel()):
            return turned.shape, tuple(int(n) for n in np.argsort(axes)), second.shape
    return None
