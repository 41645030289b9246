"""What statements compute, as text: the same form is the same arithmetic, on other operands."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tvm.ir import Call, TensorLoad
from tvm_ffi import structural_equal

from ..loops import likely_in, operands
from ..runtime_call import called_function
from ..tir import tirx

_BINARY = {"Add": "+", "Sub": "-", "Mul": "*", "RShift": ">>", "shift_right": ">>"}
_LOSSLESS = {("int8", "int16"), ("int8", "int32"), ("int16", "int32"), ("int8", "float32")}


@dataclass(frozen=True)
class Operand:
    """What a dtype or a number of a form stands for.

    load : of a buffer, None for a number; addend : constant that is added to it in `expr`.
    """

    expr: tirx.Expr
    load: TensorLoad | None = None
    addend: int = 0


@dataclass(frozen=True)
class Form:
    """The text of statements, its operands in their order, and where the values are not 0.

    A load is written as its dtype, or as ``own`` where it is of the element that is stored; what
    loads nothing as ``number``, or ``0``. Casts that change no value are left out, and so are
    constants that are added to a load.
    """

    text: str
    operands: list[Operand]
    conditions: list[tirx.Expr]

    @property
    def loads(self) -> list[TensorLoad]:
        """Of the operands that are no numbers."""
        return [operand.load for operand in self.operands if operand.load is not None]


def is_product(form: str) -> bool:
    """Whether a form multiplies and accumulates."""
    return form.startswith("(own + (") and " * " in form


def form_of(statements: Iterable[tirx.Stmt], will_be_cut: bool = False) -> Form:
    """``int32 acc[i] = acc[i] + int32(a[j]) * int32(b[k])``: ``(own + (int16 * int8))``.

    A statement that is no store is written as what it is.
    will_be_cut : loops at ``likely`` conditions, so that none of these is left.
    """
    form, texts = Form("", [], []), []
    for statement in statements:
        is_store = isinstance(statement, tirx.BufferStore)
        reader = _Reader(statement, form, will_be_cut)
        texts.append(reader.stored(statement.value) if is_store else type(statement).__name__)
    return Form("; ".join(texts), form.operands, form.conditions)


class _Reader:
    def __init__(self, store: tirx.Stmt, form: Form, will_be_cut: bool) -> None:
        self.store, self.form, self.will_be_cut = store, form, will_be_cut

    def stored(self, expr: tirx.Expr) -> str:
        """Of a value in the dtype of the buffer."""
        return self.text(expr.value if type(expr).__name__ == "Cast" else expr)

    def text(self, expr: tirx.Expr) -> str:
        if _loads(expr):
            return getattr(self, "_" + type(expr).__name__, self._other)(expr)
        if isinstance(expr, tirx.FloatImm) and float(expr.value) == 0:
            return "0"
        self.form.operands.append(Operand(expr))
        return "number"

    def _TensorLoad(self, load: TensorLoad) -> str:
        own = load.source.same_as(self.store.buffer)
        if own and structural_equal(load.indices, self.store.indices):
            return "own"
        return self._operand(load, load)

    def _operand(self, expr: tirx.Expr, load: TensorLoad, addend: int = 0) -> str:
        self.form.operands.append(Operand(expr, load, addend))
        return str(load.source.ty.dtype)

    def _Cast(self, cast: tirx.Cast) -> str:
        value = cast.value
        while type(value).__name__ == "Cast" and _is_lossless(value, value.value):
            value = value.value  # int8 becomes float32 by way of int32
        text = self.text(value)
        return text if _is_lossless(cast, value) else f"{cast.ty.dtype}({text})"

    def _Add(self, expr: tirx.Expr, sign: int = 1) -> str:
        load = uncast(expr.a)
        if isinstance(expr.b, tirx.IntImm) and type(load).__name__ == "TensorLoad":
            return self._operand(expr, load, sign * int(expr.b))
        return self._other(expr)

    def _Sub(self, expr: tirx.Expr) -> str:
        return self._Add(expr, sign=-1)

    def _Call(self, call: Call) -> str:
        if function := called_function(call):
            return _call(function, map(self.text, call.args[1:]))
        name, arguments = call.op.name.split(".")[-1], list(call.args)
        if name == "if_then_else":
            condition, value, border = arguments
            if self.will_be_cut and likely_in(condition):  # parts of one tensor
                return self.text(value)
            if isinstance(border, tirx.IntImm | tirx.FloatImm) and float(border.value) == 0:
                self.form.conditions.extend(_conjuncts(condition))
                return _call("inside", [self.stored(value)])
        return self._other(call, name)

    def _other(self, expr: tirx.Expr, name: str = "") -> str:
        name = name or type(expr).__name__
        texts = [self.text(operand) for operand in operands(expr)]
        if name in _BINARY:
            return f"({f' {_BINARY[name]} '.join(texts)})"
        return _call(name.lower(), texts)


def _call(name: str, texts: Iterable[str]) -> str:
    return f"{name}({', '.join(texts)})"


def _is_lossless(cast: tirx.Cast, value: tirx.Expr) -> bool:
    return (str(value.ty.dtype), str(cast.ty.dtype)) in _LOSSLESS


def uncast(expr: tirx.Expr) -> tirx.Expr:
    """`expr` without the casts around it."""
    return uncast(expr.value) if type(expr).__name__ == "Cast" else expr


def _loads(expr: tirx.Expr) -> bool:
    """Whether an expression loads any buffer."""
    return type(expr).__name__ == "TensorLoad" or any(map(_loads, operands(expr)))


def _conjuncts(condition: tirx.Expr) -> list[tirx.Expr]:
    """The tests that hold together where `condition` does."""
    if type(condition).__name__ == "And":
        return [*_conjuncts(condition.a), *_conjuncts(condition.b)]
    return [condition]
