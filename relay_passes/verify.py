"""What must hold of a module after every pass of the pipeline."""

from __future__ import annotations

from collections.abc import Collection

import tvm
from tvm import relax

from .graph import bindings_of, op_name, shape_of, updated_by
from .tir import tirx

KERNEL, RESHAPE = "relax.call_tir", "relax.reshape"
_UPDATES = ("relax.odt.sgd_update", "relax.odt.sgd_update_codes")


def verify(module: tvm.IRModule, name: str, trained: Collection[str] = ()) -> None:
    """Raise an AssertionError, in one line that begins with `name`, if pass `name` broke `module`.

    * The module is well-formed in TVM's sense.
    * Every operator of ``main`` can become a kernel; once there are kernels, there is none but
      their calls and reshapes.
    * Each of `trained` is updated (see `updated_by`), and new versions follow the first result:
      computed, of the parameter's shape, from a gradient of its shape.
    """
    try:
        relax.analysis.well_formed(module)
    except Exception as error:  # of no class of its own
        raise AssertionError(f"{name}: {str(error).strip().splitlines()[-1]}") from error
    if "main" not in [gvar.name_hint for gvar in module.get_global_vars()]:
        return  # kernels alone
    function = module["main"]
    if isinstance(function, relax.Function):
        _check_operators(module, function, name)
        _check_updates(function, name, trained)


def _check_operators(module: tvm.IRModule, function: relax.Function, name: str) -> None:
    lowered = any(isinstance(f, tirx.PrimFunc) for f in module.functions.values())
    for binding in bindings_of(function):
        operator = getattr(binding.value, "op", None)  # of a group to fuse it is a GlobalVar
        if not isinstance(operator, tvm.ir.Op) or operator.name in (KERNEL, RESHAPE):
            continue
        if lowered or operator.get_attr("FLegalize") is None:
            raise AssertionError(f"{name}: {operator.name} cannot become a kernel")


def _check_updates(function: relax.Function, name: str, trained: Collection[str]) -> None:
    names = updated_by(function)
    if not names and not trained:
        return
    values = {b.var: b.value for b in bindings_of(function)}
    result = values.get(function.body.body, function.body.body)
    updated = result.fields[1:] if isinstance(result, relax.Tuple) else []
    new_values = dict(zip(names, updated, strict=False))
    parameters = {p.name: p for p in function.params}
    for parameter in (*names, *trained):
        if new_values.get(parameter) not in values:
            raise AssertionError(f'{name}: nothing updates "{parameter}", which trains')
    for parameter, new in new_values.items():
        value = values[new]
        gradients = [("gradient", value.args[1])] if op_name(value) in _UPDATES else []
        for what, expr in (("new value", new), *gradients):
            expected = shape_of(parameters[parameter])
            if shape_of(expr) != expected:
                raise AssertionError(
                    f'{name}: the {what} of "{parameter}" has shape {shape_of(expr)}, '
                    f"not {expected}"
                )
