"""Whether a model's operators can be trained, before anything else is done with it."""

from __future__ import annotations

from collections.abc import Collection

from tvm import relax

from relay_passes import lowering
from relay_passes.graph import bindings_of, constant, op_name, variables_in
from relay_passes.ops.registry import has_gradient
from relay_passes.read_step import layer_name, read_step

from ..codegen.c_printer import print_kernels
from ..errors import OdtError
from ..model import Model
from .forms import FORMS


def check_operators(model: Model, trained: Collection[str]) -> None:
    """Raise OdtError for an operator that cannot be compiled, or not be differentiated.

    trained : names of the parameters that train. What lies before the first of them, or beside
        them, needs no gradient.
    """
    below: dict[relax.Var, str] = {}  # what depends on a trained parameter -> the first such
    for parameter in model.module["main"].params:
        if parameter.name in trained:
            below[parameter] = parameter.name
    layer = "input"
    for binding in bindings_of(model.module["main"]):
        value = binding.value
        parameters = [v.name for v in variables_in(value) if v.name in model.parameters]
        layer = layer_name(parameters[0]) if parameters else layer
        if not isinstance(value, relax.Call):
            continue
        where = f'{model.name}: operator "{op_name(value)}" behind layer "{layer}"'
        if op_name(value) not in FORMS:
            _check_lowering(value, where)
        reached = [below[v] for v in variables_in(value) if v in below]
        if reached:
            below[binding.var] = reached[0]
            if not has_gradient(value):
                raise OdtError(
                    f'{where} has no gradient, and "{reached[0]}" trains before it; train only '
                    "layers behind it (--scheme), or use another operator"
                )


def _check_lowering(call: relax.Call, where: str) -> None:
    """Compile an operator that no frontend gives on its own."""
    operands = [arg for arg in call.args if isinstance(arg, relax.Var) and constant(arg) is None]
    builder = relax.BlockBuilder()
    with builder.function("main", operands):
        with builder.dataflow():
            output = builder.emit_output(call)
        builder.emit_func_output(output)
    try:
        print_kernels(read_step(lowering(fuse=False)(builder.get())))
    except (ValueError, TypeError, RuntimeError) as error:  # ours, and TVM's of many types
        reason = " ".join(str(error).split())[:200]
        raise OdtError(f"{where} cannot be compiled ({reason}); use another operator") from None
