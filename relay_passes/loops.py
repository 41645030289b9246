"""Small readers of TIR: loops, and the expressions in them."""

from __future__ import annotations

import math
from collections.abc import Iterable

import tvm
from tvm import sym
from tvm.ir import Call, Range

from .tir import tirx


def check_static(function: tirx.PrimFunc, name: str, by: str) -> None:
    """ValueError where kernel `name`, which pass `by` is given, has a shape that is not static."""
    for parameter in function.params:
        shape = getattr(parameter.ty, "shape", None)
        if shape is None or not all(isinstance(n, tirx.IntImm) for n in shape):
            raise ValueError(f"{by}: the kernel {name} has a shape that is not static.")


def extent_of(loops: Iterable[tirx.For]) -> int:
    return math.prod(int(loop.extent) for loop in loops)


def analyzer_of(loops: Iterable[tirx.For]) -> sym.Analyzer:
    """One that knows the values of the loops' variables."""
    analyzer = sym.Analyzer()
    for loop in loops:
        analyzer.bind(loop.loop_var, Range.from_min_extent(loop.min, loop.extent))
    return analyzer


def operands(expr: tvm.ir.Expr) -> list[tvm.ir.Expr]:
    """Direct operands of a TIR expression."""
    names = ("a", "b", "value", "condition", "true_value", "false_value")
    found = [getattr(expr, name, None) for name in names]
    found += [*getattr(expr, "args", ()), *getattr(expr, "indices", ())]
    return [operand for operand in found if isinstance(operand, tvm.ir.Expr)]


def parts_of(expr: tvm.ir.Expr) -> list[tvm.ir.Expr]:
    """A TIR expression and every expression in it."""
    return [expr, *(part for operand in operands(expr) for part in parts_of(operand))]


def likely_in(expr: tirx.Expr) -> list[Call]:
    """The conditions in an expression that cut loops."""
    calls = (part for part in parts_of(expr) if isinstance(part, Call))
    return [call for call in calls if call.op.name.endswith("likely")]
