"""How many multiply-accumulates a lowered kernel makes."""

from __future__ import annotations

from tvm import tirx
from tvm.ir import Call

from .microkernels import macs_of


def kernel_macs(function: tirx.PrimFunc) -> int:
    """Of one call: each ``a = a + ... * ...``, and what microkernels make."""
    return _macs(function.body)


def _macs(node) -> int:
    kind = type(node).__name__
    if kind == "SeqStmt":
        return sum(map(_macs, node.seq))
    if kind == "For":
        return int(node.extent) * _macs(node.body)
    if kind == "AttrStmt":
        return _macs(node.body)
    if kind == "IfThenElse":
        return sum(_macs(case) for case in (node.then_case, node.else_case) if case is not None)
    if kind == "BufferStore":
        return int(_accumulates(node))
    if kind == "Evaluate" and isinstance(node.value, Call):
        return macs_of(node.value) if node.value.op.name.endswith("call_extern") else 0
    return 0


def _accumulates(store) -> bool:
    total = store.value
    if type(total).__name__ != "Add" or type(total.a).__name__ != "TensorLoad":
        return False
    return total.a.source.same_as(store.buffer) and _has_product(total.b)


def _has_product(node) -> bool:
    if type(node).__name__ == "Cast":
        return _has_product(node.value)
    return type(node).__name__ == "Mul"
