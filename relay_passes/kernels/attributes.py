"""What legalization says of a kernel, and how it outlives fusion."""

from __future__ import annotations

import tvm
from tvm import relax

from ..graph import bindings_of, op_name, variables_in
from ..tir import tirx

MACS = "odt.macs"
COSTLY = "odt.costly"  # no reader should compute it anew
OPERATORS = "odt.operators"  # of which the kernel is made, in their order
OPERANDS = "odt.operands"  # what each of them is to the operator that reads it
PLAIN_NAMES = ("data", "left", "right")  # of operands that operators give no role
_INJECTIVE = 2  # TVM's OpPatternKind: elementwise 0, broadcast 1, injective 2


def macs(function: tirx.PrimFunc) -> int:
    """Multiply-accumulates of one call of the kernel, as its operators' records say."""
    return int((function.attrs or {}).get(MACS, 0))


def operator_names(function: tirx.PrimFunc) -> tuple[str, ...]:
    """The operators that the kernel is made of; none if nothing says so."""
    return tuple(str(name) for name in (function.attrs or {}).get(OPERATORS, ()))


def operand_names(function: tirx.PrimFunc, count: int) -> tuple[str, ...]:
    """What the first `count` parameters are; their own names if nothing says so."""
    names = (function.attrs or {}).get(OPERANDS, ())
    return tuple(str(name) for name in names) or tuple(p.name for p in function.params[:count])


def is_cheap(function: tirx.PrimFunc) -> bool:
    """Whether recomputing an element of the kernel's result costs less than a load."""
    return not (function.attrs or {}).get(COSTLY, 0)


@tvm.transform.module_pass(opt_level=0, name="MergeKernels")
class MergeKernels:
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

    def transform_module(self, module: tvm.IRModule, _context) -> tvm.IRModule:
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


def _merged_attributes(module: tvm.IRModule, primitive: relax.Function) -> dict:
    calls = [b for b in bindings_of(primitive) if op_name(b.value) == "relax.call_tir"]
    parts = [module[call.value.args[0]] for call in calls]
    macs_of_parts = sum(map(macs, parts))
    names = [name for part in parts for name in operator_names(part)]
    found = {OPERANDS: [_role(module, calls, parameter) for parameter in primitive.params]}
    found |= {OPERATORS: names} if names else {}
    return found | ({MACS: macs_of_parts} if macs_of_parts else {})


def _role(module: tvm.IRModule, calls, var: relax.Var) -> str:
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
