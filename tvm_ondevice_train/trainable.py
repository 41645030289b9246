"""Whether a model's operators can be trained, before anything else is done with it."""

from __future__ import annotations

from collections.abc import Collection

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
from .errors import OdtError
from .file_forms.form import FORMS
from .model import Model


def check_operators(model: Model, trained: Collection[str]) -> None:
    """Raise OdtError for an operator that cannot be compiled, or not be differentiated.

    trained : names of the parameters that train. What lies before the first of them, or beside
        them, needs no gradient.
    """
    function = model.module["main"]
    for binding in bindings_of(function):
        if isinstance(binding.value, relax.Call) and op_name(binding.value) not in FORMS:
            _check_lowering(binding.value, _described(model, binding))
    for binding in dependents_of(function, [p for p in function.params if p.name in trained]):
        if without_gradient(binding.value):
            raise OdtError(
                f"{_described(model, binding)} has no gradient, and what trains lies before it; "
                "train only layers behind it (--scheme), or use another operator"
            )
    _check_tied_codes(model, trained)


def _check_tied_codes(model: Model, trained: Collection[str]) -> None:
    """Codes train through the one dequantize that reads them."""
    function = model.module["main"]
    consumers = consumers_of(function)
    for parameter in function.params[1:]:
        codes = parameter.name in trained and dtype_of(parameter) != "float32"
        if codes and len(consumers.get(parameter, [])) > 1:
            raise OdtError(
                f'{model.name}: parameter "{parameter.name}" is quantized and used in two forms, '
                "as it is and transposed; only in float32 it can train so. Leave it out of the "
                "scheme (--scheme), or store it twice"
            )


def _described(model: Model, binding: relax.VarBinding) -> str:
    """The operator and the layer that it follows."""
    function, layer = model.module["main"], "input"
    for earlier in bindings_of(function):
        names = [v.name for v in variables_in(earlier.value) if v.name in model.parameters]
        layer = layer_name(names[0]) if names else layer
        if earlier.var.same_as(binding.var):
            break
    return f'{model.name}: operator "{op_name(binding.value)}" behind layer "{layer}"'


def _check_lowering(call: relax.Call, where: str) -> None:
    """Compile an operator that no frontend gives on its own."""
    operands = [arg for arg in call.args if isinstance(arg, relax.Var) and constant(arg) is None]
    function = function_of(operands, lambda builder: builder.emit_output(call))
    try:
        print_kernels(read_step(lowering(fuse=False)(tvm.IRModule({"main": function}))))
    except (ValueError, TypeError, RuntimeError) as error:  # ours, and TVM's of many types
        reason = " ".join(str(error).split())[:200]
        raise OdtError(f"{where} cannot be compiled ({reason}); use another operator") from None
