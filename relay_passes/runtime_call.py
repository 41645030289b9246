"""Calls of functions of the C runtime: TIR that our C printer prints, and TVM compiles no more.

TVM's own ``call_extern`` of a function that TVM does not have compiles, and crashes when it runs.
"""

from __future__ import annotations

from typing import NoReturn

import tvm
from tvm.ir import Call, Op
from tvm.ir import _ffi_api as _ir_ffi
from tvm.ir.op import register_op_attr

from .tir import Scalar, tirx

_SHOWN_AS = {"tirx.odt.pure_call": "call_pure_extern", "tirx.odt.call": "call_extern"}
_PURE, _STATEMENT = _SHOWN_AS


def call_of_runtime(dtype: str, function: str, *arguments: Scalar | int) -> tirx.Expr:
    """The result, of type `dtype`, of a C function without side effects."""
    return tirx.call_intrin(dtype, _PURE, function, *arguments)


def statement_of_runtime(function: str, *arguments: Scalar | int) -> tirx.Stmt:
    """A call of a C function that writes to what its arguments point to."""
    return tirx.Evaluate(tirx.call_intrin("int32", _STATEMENT, function, *arguments))


def called_function(expr: tvm.ir.Expr) -> str | None:
    """The function of the C runtime that `expr` calls, its arguments behind the first; or None."""
    is_call = isinstance(expr, Call) and getattr(expr.op, "name", "") in _SHOWN_AS
    return str(expr.args[0].value) if is_call else None


def shown_name(op: Op) -> str:
    """The name of an operator of TIR; that of TVM's for a call of the runtime, as TVMScript has it.

    A tuned kernel is known by it.
    """
    return f"tirx.{_SHOWN_AS[op.name]}" if op.name in _SHOWN_AS else str(op.name)


def _refuse(call: tirx.Expr) -> NoReturn:
    raise ValueError(
        f"{called_function(call)} is a function of the C runtime, which TVM's code generators do "
        "not have; lower with lowering(microkernels=False) what TVM shall compile."
    )


for _name, _shown in _SHOWN_AS.items():
    _ir_ffi.RegisterOp(_name, "")
    for _attribute in ("TCallEffectKind", "TScriptDtypePrintLocation"):
        register_op_attr(_name, _attribute, Op.get(f"tirx.{_shown}").get_attr(_attribute))
    register_op_attr(_name, "TScriptPrinterName", _shown, level=20)
    tirx.op.register_intrin_lowering(_name, "llvm", f=_refuse)
