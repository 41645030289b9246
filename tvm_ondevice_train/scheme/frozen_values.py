"""What does not train is computed at compile time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

import numpy as np
import tvm
from tvm import relax

from relay_passes.graph import (
    Emit,
    Renamer,
    axes_of,
    bindings_of,
    constant,
    consumers_of,
    free_name,
    op_name,
    rebuilt,
    shape_of,
    variables_in,
    with_blocks,
)

from ..model import Model

_COMPUTED: dict[str, Callable[..., np.ndarray]] = {
    "relax.divide": lambda _, left, right: left / right,
    "relax.multiply": lambda _, left, right: left * right,
    "relax.permute_dims": lambda call, data: np.transpose(data, axes_of(call)),
    "relax.reshape": lambda call, data: data.reshape(shape_of(call)),
    "relax.subtract": lambda _, left, right: left - right,
}


def compute_frozen(model: Model, trained: Collection[str]) -> Model:
    """`model` where what is computed of parameters that stay as they are is a parameter.

    trained : names of those that do not. A batch norm's factor and shift, a tied weight's
        transpose: the device would compute them in every step. A reshape alone costs nothing.
    """
    function = model.module["main"]
    known = {p: model.parameters[p.name] for p in function.params[1:] if p.name not in trained}
    bases, taken = {p: p.name for p in known}, set(model.parameters)
    computed: dict[relax.Var, relax.Var] = {}  # -> the parameter that stands for it
    values = {}
    for binding in bindings_of(function):
        operands = variables_in(binding.value)
        value = _value(binding.value, known)
        moves_only = op_name(binding.value) == "relax.reshape" and operands[0] not in computed
        if value is None or moves_only:
            continue
        name = free_name(f"{bases[operands[0]]}.computed", taken)
        taken.add(name)
        known[binding.var], bases[binding.var] = value, bases[operands[0]]
        values[name] = np.ascontiguousarray(value)
        computed[binding.var] = relax.Var(name, relax.TensorType(value.shape, str(value.dtype)))
    return _with_parameters(model, computed, values) if computed else model


def _value(expr: relax.Expr, known: Mapping[relax.Var, np.ndarray]) -> np.ndarray | None:
    """What a call of `known` values gives, None where it is not one of those computed here."""
    compute = _COMPUTED.get(op_name(expr))
    if compute is None or not variables_in(expr):
        return None
    operands = [known.get(a) if isinstance(a, relax.Var) else constant(a) for a in expr.args]
    data = operands[:1] if op_name(expr) == "relax.reshape" else operands
    return None if any(value is None for value in data) else compute(expr, *data)


def _with_parameters(
    model: Model, computed: Mapping[relax.Var, relax.Var], values: Mapping[str, np.ndarray]
) -> Model:
    """`model` with parameters of those values for variables; what nothing reads is left out."""
    function, rename = model.module["main"], Renamer(computed)

    def rewrite(_emit: Emit, binding: relax.VarBinding) -> relax.Expr | None:
        return None if binding.var in computed else rename(binding.value)

    function = rebuilt(function, rewrite, [*function.params, *computed.values()])
    read = consumers_of(function)
    params = [function.params[0], *(p for p in function.params[1:] if p in read)]
    function = with_blocks(function, function.body.blocks, params=params)
    values = {**model.parameters, **values}
    kept = {p.name: values[p.name] for p in params[1:]}
    return replace(model, module=tvm.IRModule({"main": function}), parameters=kept)
