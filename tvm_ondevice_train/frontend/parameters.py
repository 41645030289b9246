"""The parameters of a canonical function: their values, names, and the forms they are read in."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from tvm import relax

from relay_passes.graph import shape_of

from ..errors import OdtError
from .quantized_values import Parameter
from .sources import Axes, moves_between


class Parameters:
    """Those that were emitted so far."""

    def __init__(self, model: str, emit: Callable[[relax.Expr], relax.Var]) -> None:
        """model : its name, for errors; emit : adds an operator to the canonical function."""
        self._model = model
        self._emit = emit
        self.values: dict[str, np.ndarray] = {}
        self.declared: dict[str, Parameter] = {}  # as they were read first
        self.vars: dict[str, relax.Var] = {}
        self.reads: dict[str, relax.Expr] = {}  # as floats, one dequantize each
        self.names: dict[relax.Expr, str] = {}  # of those reads, and of reshaped ones
        self.computed: dict[str, tuple[str, ...]] = {}  # by name, `Parameter.origins`
        self.source_names: dict[relax.Expr, str] = {}  # of those that were read

    def emit(self, parameter: Parameter, fallback: str = "constant") -> relax.Expr:
        """Declare a parameter of the canonical function; quantized ones are dequantized.

        A tensor of the source that was read before is the same parameter, moved where it is read
        in another form: a tied weight has one gradient.
        """
        name = self._name_of(parameter, fallback)
        if name not in self.vars:
            value = np.ascontiguousarray(parameter.stored)
            ty = relax.TensorType(value.shape, str(value.dtype))
            self.vars[name] = relax.Var(name, ty)
            self.values[name], self.declared[name] = value, parameter
            self.reads[name] = self._decoded(self.vars[name], parameter)
            self.names[self.reads[name]] = name
            if parameter.origins:
                self.computed[name] = parameter.origins
        return self._moved(name, parameter)

    def _moved(self, name: str, parameter: Parameter) -> relax.Expr:
        """The parameter of that name in the form in which `parameter` has it."""
        read, first = self.reads[name], self.declared[name]
        if parameter.source is None or np.array_equal(first.places, parameter.places):
            return read
        moves = moves_between(first.places, parameter.places)
        if moves is None:
            raise OdtError(
                f'{self._model}: parameter "{name}" is used in two forms, of shape '
                f"{first.shape} and {parameter.shape}, and no transpose makes one of "
                "the other; use the weight once, or store it twice."
            )
        moved = self._emit_moves(self.vars[name], *moves)
        read = self._decoded(moved, parameter)
        self.names[read] = name
        return read

    def _emit_moves(self, var: relax.Expr, before: Axes, axes: Axes, after: Axes) -> relax.Expr:
        """`var` reshaped to `before`, transposed by `axes`, reshaped to `after`."""
        if before != shape_of(var):
            var = self._emit(relax.op.reshape(var, before))
        if axes != tuple(range(len(axes))):
            var = self._emit(relax.op.permute_dims(var, axes))
        return var if after == shape_of(var) else self._emit(relax.op.reshape(var, after))

    def _decoded(self, var: relax.Expr, parameter: Parameter) -> relax.Expr:
        if parameter.scale is None:
            return var
        coding = map(relax.const, (parameter.channel_scale(), parameter.channel_zero_point()))
        return self._emit(relax.op.dequantize(var, *coding, axis=0, out_dtype="float32"))

    def _name_of(self, parameter: Parameter, fallback: str) -> str:
        """The name of what `parameter` comes from, a new one where that was not read before."""
        source = parameter.source
        if source is None:
            return self._free_name(parameter, fallback, also_equal=True)
        if source not in self.source_names:
            self.source_names[source] = self._free_name(parameter, fallback)
        name = self.source_names[source]
        if name in self.declared and not self.declared[name].stands_for_same(parameter):
            if parameter.name is None:  # equal by chance
                return self._free_name(parameter, fallback, also_equal=True)
            raise OdtError(f'{self._model}: the codes of parameter "{name}" are read at two scales')
        return name

    def _free_name(self, parameter: Parameter, fallback: str, also_equal: bool = False) -> str:
        """A name that no parameter has yet, or one of the same value."""
        name = parameter.name or fallback
        candidate, count = name, 1
        while candidate in self.values and not (
            also_equal and np.array_equal(self.values[candidate], parameter.stored)
        ):
            count += 1
            candidate = f"{name}_{count}"
        return candidate
