"""Whether a model's operators can be trained, before anything else is done with it."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import tvm
from tvm import relax

from relay_passes import lowering
from relay_passes.graph import (
    bindings_of,
    constant,
    consumers_of,
    dependents_of,
    dtype_of,
    function_of,
    op_name,
    variables_in,
)
from relay_passes.layer_words import layer_name
from relay_passes.memory.read_step import read_step
from relay_passes.ops.registry import without_gradient

from .codegen.c_printer import print_kernels
from .errors import ModelError, Obstacle, one_line
from .file_forms.form import FORMS
from .model import Model

_NO_GRADIENT = (
    "it has no gradient, and what trains lies before it",
    "train only layers behind it (--scheme), or use another operator",
)
_TIED_CODES = (
    "it is quantized and used in two forms, as it is and transposed; so only float32 can train",
    "leave it out of the scheme (--scheme), or store it twice",
)


def check_operators(model: Model, trained: Collection[str]) -> None:
    """Raise ModelError for operators that cannot be compiled, or not be differentiated.

    trained : names of the parameters that train. What lies before the first of them, or beside
        them, needs no gradient.
    """
    function = model.module["main"]
    parameters = [p for p in function.params if p.name in trained]
    behind = {binding.var for binding in dependents_of(function, parameters)}
    obstacles = []
    for binding in bindings_of(function):
        found = _lowering_fails(binding.value)
        if found is not None:
            cure = "use another operator"
            obstacles.append(Obstacle(_described(model, binding), found, cure))
        elif binding.var in behind and without_gradient(binding.value):
            obstacles.append(Obstacle(_described(model, binding), *_NO_GRADIENT))
    obstacles += [Obstacle(f'parameter "{name}"', *_TIED_CODES) for name in _tied(model, trained)]
    obstacles += _apart(model, trained)
    if obstacles:
        raise ModelError(model.name, obstacles)


def _tied(model: Model, trained: Collection[str]) -> list[str]:
    """What trains as codes and is read more than once: codes train through one dequantize."""
    function = model.module["main"]
    consumers = consumers_of(function)
    return [
        p.name
        for p in function.params[1:]
        if p.name in trained and dtype_of(p) != "float32" and len(consumers.get(p, [])) > 1
    ]


def _apart(model: Model, trained: Collection[str]) -> Iterator[Obstacle]:
    """What trains where it is read as it is, but would not in what is computed from it."""
    for name, origins in model.computed.items():
        for origin in origins:
            if origin in trained:
                found = f'"{name}" is computed from it at compile time, and would not follow it'
                cure = "leave it out of the scheme (--scheme), or let the file store both"
                yield Obstacle(f'parameter "{origin}"', found, cure)


def _described(model: Model, binding: relax.VarBinding) -> str:
    """The operator and the layer that it follows."""
    function, layer = model.module["main"], "input"
    for earlier in bindings_of(function):
        names = [v.name for v in variables_in(earlier.value) if v.name in model.parameters]
        layer = layer_name(names[0]) if names else layer
        if earlier.var.same_as(binding.var):
            break
    return f'operator "{op_name(binding.value)}" behind layer "{layer}"'


def _lowering_fails(call: relax.Expr) -> str | None:
    """Compile an operator that no frontend gives on its own; why that is not possible, if so."""
    if not isinstance(call, relax.Call) or op_name(call) in FORMS:
        return None
    operands = [arg for arg in call.args if isinstance(arg, relax.Var) and constant(arg) is None]
    function = function_of(operands, lambda builder: builder.emit_output(call))
    try:
        print_kernels(read_step(lowering(fuse=False)(tvm.IRModule({"main": function}))))
    except (ValueError, TypeError, RuntimeError) as error:  # ours, and TVM's of many types
        return f"it cannot be compiled ({one_line(error)})"
    return None
