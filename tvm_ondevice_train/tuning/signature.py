"""What a kernel is, so that what was found for it holds for the same kernel of another model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from relay_passes.loops import operands
from relay_passes.runtime_call import shown_name
from relay_passes.tir import s_tir, tirx

_CONDITIONAL = ("Select", "IfThenElse")


def signature(function: tirx.PrimFunc, limit: int | None = None) -> str:
    """Sixteen hexadecimal digits that name an unscheduled kernel, and the scratch it must keep to.

    limit : bytes of it; they follow the digits.

    The digits depend on its blocks and their names, on loops, index expressions, conditions, shapes
    and dtypes; not on names of variables, nor on the numbers that values are computed with: scales,
    zero points and multipliers.
    """
    words = _Words()
    for parameter in function.params:
        words.name(parameter)
    words.statement(function.body)
    digits = hashlib.sha256(" ".join(words.found).encode()).hexdigest()[:16]
    return digits if limit is None else f"{digits}-{limit}"


class _Words:
    """A kernel as words; variables and buffers are numbered in the order of their appearance."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self.numbers: dict[tirx.Var, int] = {}

    def statement(self, node: tirx.Stmt) -> None:
        kind = type(node).__name__
        self.found.append(kind)
        for child in getattr(node, "seq", ()):
            self.statement(child)
        if kind == "For":
            self.name(node.loop_var)
            self._expressions((node.min, node.extent), fixed=True)
        elif kind == "SBlockRealize":
            self._expressions(node.iter_values, fixed=True)
            self._block(node.block)
        elif kind == "BufferStore":
            self.name(node.buffer)
            self._expressions(node.indices, fixed=True)
            self._expressions([node.value], fixed=False)
        for name in ("body", "then_case", "else_case"):
            child = getattr(node, name, None)
            if child is not None:
                self.statement(child)
        self.found.append(";")

    def _block(self, block: s_tir.SBlock) -> None:
        self.found.append(str(block.name_hint))
        for axis in block.iter_vars:
            self.found.append(str(int(axis.iter_type)))
            self.name(axis.var)
            self._expressions((axis.dom.min, axis.dom.extent), fixed=True)
        for buffer in block.alloc_buffers:
            self.name(buffer)
        if block.init is not None:
            self.statement(block.init)
        self.statement(block.body)

    def _expressions(self, nodes: Iterable[tirx.Expr], fixed: bool) -> None:
        for node in nodes:
            self._expression(node, fixed)

    def _expression(self, node: tirx.Expr, fixed: bool) -> None:
        """fixed: whether integers are part of what the kernel is, as they are in an index."""
        kind = type(node).__name__
        self.found.append(kind)
        if kind == "Var":
            self.name(node)
        elif kind in ("IntImm", "FloatImm"):
            self.found.append(f"{node.ty.dtype} {node.value if fixed else ''}")
        elif kind == "StringImm":
            self.found.append(str(node.value))
        elif kind == "TensorLoad":
            self.name(node.source)
            self._expressions(node.indices, fixed=True)
        else:
            self.found.append(str(node.ty.dtype))
            chosen = kind in _CONDITIONAL
            if kind == "Call":
                self.found.append(shown_name(node.op))
                chosen = str(node.op.name).endswith("if_then_else")
            for position, operand in enumerate(operands(node)):
                self._expression(operand, fixed or (chosen and position == 0))
            self.found.append(")")

    def name(self, variable: tirx.Var) -> None:
        if variable not in self.numbers:
            self.numbers[variable] = len(self.numbers)
            shape = getattr(variable.ty, "shape", ())
            size = "x".join(str(int(n)) for n in shape)
            self.found.append(f"{getattr(variable.ty, 'dtype', variable.ty)}[{size}]")
        self.found.append(f"v{self.numbers[variable]}")
