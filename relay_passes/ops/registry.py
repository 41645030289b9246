"""Register a Relax operator from Python: its type rule and its lowering to TE."""

from __future__ import annotations

import tvm
from tvm import relax
from tvm.ir import Op
from tvm.ir import _ffi_api as _ir_ffi
from tvm.ir.op import register_op_attr
from tvm.relax.transform.legalize_ops.common import register_legalize

PREFIX = "relax.odt."
OPAQUE = 8  # TVM's OpPatternKind: never fused with a reader


def register(name: str, infer):
    """Register ``relax.odt.<name>``; decorates its TE function.

    Parameters
    ----------
    infer : call -> relax.Type, the type of the result.

    The decorated function takes the call's attributes (a dict) and its operands as TE tensors, and
    returns one or several TE tensors. A call whose attribute ``saved`` is true becomes a kernel of
    its own: its result, and not its operand, is kept until the backward.
    """
    _ir_ffi.RegisterOp(PREFIX + name, "")
    register_op_attr(PREFIX + name, "FInferType", lambda call, _context: infer(call))
    register_op_attr(PREFIX + name, "FPurity", True)
    register_op_attr(PREFIX + name, "TScriptPrinterName", "odt." + name, level=20)

    def decorate(compute):
        def legalize(builder, call):
            attrs = attributes(call)
            return builder.call_te(
                lambda *operands: compute(attrs, *operands),
                *call.args,
                primfunc_name_hint=name,
                primfunc_attrs={"op_pattern": OPAQUE} if attrs.get("saved") else None,
            )

        register_legalize(PREFIX + name, legalize)
        return compute

    return decorate


def float_of_shape(expr: relax.Call) -> relax.Type:
    """Type rule of an operator whose result is float32 of its attribute ``shape``."""
    return relax.TensorType([int(n) for n in expr.attrs["shape"]], "float32")


def call(name: str, *operands, **attrs) -> relax.Call:
    """``relax.odt.<name>(*operands)`` with compile-time attributes."""
    return relax.Call(
        Op.get(PREFIX + name), list(operands), tvm.ir.make_node("ir.DictAttrs", **attrs)
    )


def attributes(expr: relax.Call) -> dict:
    """Attributes of a ``relax.odt.*`` call as plain Python numbers, strings and lists."""
    return {key: _plain(expr.attrs[key]) for key in expr.attrs.keys()}


def _plain(value):
    if isinstance(value, (str, int, float, bool)):
        return value
    if hasattr(value, "value"):
        return value.value
    return [_plain(item) for item in value]
