"""Operators to kernels that know their operators, and what operands are to these."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TypeAlias

import tvm
from tvm import relax

from ..graph import (
    Values,
    bindings_of,
    check_static_shapes,
    is_call_of,
    op_name,
    with_function,
)
from ..kernel_attributes import COSTLY, MACS, OPERANDS, OPERATORS
from ..ops.registry import LEGALIZATIONS_FOR_C, OWN, PREFIX, operand_names, operator_of
from ..tvm_pass import Pass, module_pass

_PLAIN = {"x": "data", "x1": "left", "x2": "right"}  # TVM's names of operands without a role
_PARAMETERS = ("parameter", "codes")  # of an update
_WORDS = ("weight", "bias", "slope")
_Name: TypeAlias = tuple[str, str | None]  # of an operand, and the word for it


@module_pass
class LegalizeOps(Pass):
    """TVM's `LegalizeOps` for generated C, after which a kernel has more attributes.

    ``odt.operators`` names its operator, ``odt.operands`` each of its operands by what it is to
    that: ``data``, ``weight``, ``bias``, ``adjoint``, ``scale`` ... ``odt.macs`` counts its
    multiply-accumulates, and ``odt.costly`` is 1 where no reader should compute it anew, as the
    operator's record says; without, it has neither. Reshapes stay reshapes: they become other
    names for the same buffer. Kernels of ours call functions of the C runtime, where TVM's
    `LegalizeOps` gives them formulas in TIR.

    Examples
    --------
    .. code-block:: python

        y = R.nn.conv2d(x, w)                                          # before

        y = R.call_tir(conv2d, (x, w), ...)                            # after
        # conv2d: {"odt.operators": ["conv2d"], "odt.operands": ["data", "weight"],
        #          "odt.macs": 1152}
    """

    def transform_module(
        self, module: tvm.IRModule, _context: tvm.transform.PassContext
    ) -> tvm.IRModule:
        legalized = relax.transform.LegalizeOps(LEGALIZATIONS_FOR_C, ["relax.reshape"])(module)
        facts, operands = {}, defaultdict(list)  # of kernels; operands as each call has them
        for gvar, function in module.functions_items():
            if isinstance(function, relax.Function):
                check_static_shapes(function, gvar.name_hint, "LegalizeOps")
                values = {b.var: b.value for b in bindings_of(function)}
                parameters = set(function.params)
                for kernel, source, fields in _calls_in(legalized[gvar.name_hint], values):
                    facts[kernel] = {OPERATORS: [_short(op_name(source))], **_costs(source)}
                    called = _operand_names(source, fields, parameters, values)
                    operands[kernel].append(called)
        for kernel, calls in operands.items():
            names = [_in_common(operand) for operand in zip(*calls, strict=True)]
            function = legalized[kernel].with_attrs(facts[kernel] | {OPERANDS: names})
            legalized = with_function(legalized, kernel, function)
        return legalized


def _calls_in(
    legalized: relax.Function, sources: Values
) -> Iterator[tuple[str, relax.Call, Sequence[relax.Expr]]]:
    """Kernel, the call of an operator that it stands for, and the kernel's operands."""
    for binding in bindings_of(legalized):
        value, source = binding.value, sources.get(binding.var)
        if is_call_of(value, "relax.call_tir") and op_name(source) not in ("", "relax.call_tir"):
            yield value.args[0].name_hint, source, value.args[1].fields


def _short(operator: str) -> str:
    return operator.removeprefix(OWN).removeprefix(PREFIX).removeprefix("nn.")


def _costs(call: relax.Call) -> dict[str, int]:
    """What the record of its operator says of the work of a call."""
    operator = operator_of(call)
    macs = operator.macs(call)
    return ({MACS: macs} if macs else {}) | ({} if operator.cheap else {COSTLY: 1})


def _operand_names(
    call: relax.Call,
    operands: Sequence[relax.Expr],
    parameters: Collection[relax.Var],
    values: Mapping[relax.Var, relax.Expr],
) -> list[_Name]:
    """What each of the `operands`, those of a kernel, is to the operator that `call` calls.

    And the word for it where it is a parameter, and the operator makes no difference.
    """
    names = operand_names(call)
    known = list(zip(call.args, names, strict=False))
    found = []
    for operand in operands:
        name = next((name for argument, name in known if argument.same_as(operand)), "data")
        named = name not in _PLAIN and name not in _PARAMETERS
        word = None if named else _word_of(operand, parameters, values)
        found.append((_PLAIN.get(name, name), word))
    return found


def _word_of(
    operand: relax.Expr, parameters: Collection[relax.Var], values: Mapping[relax.Var, relax.Expr]
) -> str | None:
    """What a parameter is by its name: ``weight``, ``bias``; None for what is computed."""
    while (value := values.get(operand)) is not None and operator_of(value).restates:
        operand = value.args[0]
    if operand not in parameters:
        return None
    return next((word for word in _WORDS if word in operand.name.rsplit(".")[-1]), None)


def _in_common(names: Sequence[_Name]) -> str:
    """What an operand is called by all calls of a kernel."""
    name, word = names[0]
    if word is None or any(other != word for _, other in names):
        return name
    return word
