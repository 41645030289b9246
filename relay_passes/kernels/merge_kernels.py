"""What legalization said of kernels, kept for the kernel that fusion makes of them."""

from __future__ import annotations

from collections.abc import Sequence

import tvm
from tvm import relax

from ..graph import bindings_of, is_call_of, variables_in
from ..kernel_attributes import (
    MACS,
    OPERANDS,
    OPERATORS,
    PLAIN_NAMES,
    macs,
    operand_names,
    operator_names,
)
from ..tir import tirx
from ..tvm_pass import Pass, module_pass

_INJECTIVE = 2  # TVM's OpPatternKind: elementwise 0, broadcast 1, injective 2


@module_pass
class MergeKernels(Pass):
    """TVM's `FuseTIR`, after which a merged kernel has the MACs and the operators of its parts.

    Its operands are called as the parts call them. What is only restated, as by a dequantize, is
    called as by the operator that reads the result.

    Examples
    --------
    .. code-block:: python

        @R.function(private=True)                                    # before
        def fused_conv2d_relu(x, w):
            R.func_attr({"Primitive": 1})
            y = R.call_tir(conv2d, (x, w), ...)      # with {"odt.macs": 4608}
            z = R.call_tir(relu, (y,), ...)

        @T.prim_func(private=True)                                   # after
        def fused_conv2d_relu(x, w, z):
            T.func_attr({"odt.macs": 4608, "odt.operators": ["conv2d", "relu"],
                         "odt.operands": ["data", "weight"]})
    """

    def transform_module(
        self, module: tvm.IRModule, _context: tvm.transform.PassContext
    ) -> tvm.IRModule:
        attributes = {
            gvar.name_hint: _merged_attributes(module, function)
            for gvar, function in module.functions_items()
            if isinstance(function, relax.Function) and (function.attrs or {}).get("Primitive", 0)
        }
        merged = relax.transform.FuseTIR()(module)
        functions = {
            gvar: function.with_attrs(attributes[gvar.name_hint])
            if gvar.name_hint in attributes
            else function
            for gvar, function in merged.functions_items()
        }
        return tvm.IRModule(functions, attrs=merged.attrs)


def _merged_attributes(module: tvm.IRModule, primitive: relax.Function) -> dict[str, object]:
    calls = [b for b in bindings_of(primitive) if is_call_of(b.value, "relax.call_tir")]
    parts = [module[call.value.args[0]] for call in calls]
    macs_of_parts = sum(map(macs, parts))
    names = [name for part in parts for name in operator_names(part)]
    found: dict[str, object] = {OPERANDS: [_role(module, calls, p) for p in primitive.params]}
    if names:
        found[OPERATORS] = names
    if macs_of_parts:
        found[MACS] = macs_of_parts
    return found


def _role(module: tvm.IRModule, calls: Sequence[relax.VarBinding], var: relax.Var) -> str:
    """What `var` is to the first of the `calls` that reads it."""
    for call in calls:
        kernel, fields = module[call.value.args[0]], call.value.args[1].fields
        for field, role in zip(fields, operand_names(kernel, len(fields)), strict=True):
            if var in variables_in(field):
                if role in PLAIN_NAMES and _is_injective(kernel):
                    onward = _role(module, calls, call.var)
                    return role if onward in PLAIN_NAMES else onward
                return role
    return PLAIN_NAMES[0]


def _is_injective(kernel: tirx.PrimFunc) -> bool:
    return int((kernel.attrs or {}).get("op_pattern", _INJECTIVE + 1)) <= _INJECTIVE
