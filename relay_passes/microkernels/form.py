"""What statements compute, as text: the same form is the same arithmetic, on other operands."""

from __future__ import annotations

from dataclasses import dataclass

from tvm import tirx
from tvm.ir import Call

from ..graph import operands, parts_of

_BINARY = {"Add": "+", "Sub": "-", "Mul": "*", "RShift": ">>", "shift_right": ">>"}
_LOSSLESS = {("int8", "int16"), ("int8", "int32"), ("int16", "int32"), ("int8", "float32")}


@dataclass(frozen=True)
class Operand:
    """What a form's dtypes and numbers stand for, in their order.

    load : of a buffer, None for a number that none is read for; addend : constant, added to it.
    """

    expr: object
    load: object = None
    addend: int = 0

    @property
    def source(self):
        return self.load.source


@dataclass(frozen=True)
class Form:
    """The text of one or more stores, their operands, and under which conditions they are no 0.

    A load is written as its dtype, or as ``own`` where it is of the buffer that is stored; what
    loads nothing as ``number``, or ``0``. Casts that change no value are left out, and so are
    constants that are added to a load.
    """

    text: str
    operands: tuple[Operand, ...]
    conditions: tuple

    @property
    def is_product(self) -> bool:
        """Whether it multiplies and accumulates."""
        return self.text.startswith("(own + (") and " * " in self.text


def form_of(statements) -> Form:
    """``int32 acc[i] = acc[i] + int32(a[j]) * int32(b[k])``: ``(own + (int16 * int8))``.

    A statement that is no store has no form but what it is.
    """
    found, conditions, texts = [], [], []
    for statement in statements:
        if not isinstance(statement, tirx.BufferStore):
            texts.append(type(statement).__name__)
            continue
        reader = _Reader(statement.buffer)
        texts.append(reader.stored(statement.value))
        found += reader.operands
        conditions += reader.conditions
    return Form("; ".join(texts), tuple(found), tuple(conditions))


class _Reader:
    def __init__(self, own):
        self.own, self.operands, self.conditions = own, [], []

    def stored(self, expr) -> str:
        """Of a value in the dtype of the buffer."""
        return self.text(expr.value if type(expr).__name__ == "Cast" else expr)

    def text(self, expr) -> str:
        if not loads_in(expr):
            return self._number(expr)
        return getattr(self, "_" + type(expr).__name__, self._other)(expr)

    def _number(self, expr) -> str:
        if isinstance(expr, tirx.FloatImm) and float(expr.value) == 0:
            return "0"
        self.operands.append(Operand(expr))
        return "number"

    def _TensorLoad(self, load) -> str:
        if load.source.same_as(self.own):
            return "own"
        return self._operand(load, load)

    def _operand(self, expr, load, addend: int = 0) -> str:
        self.operands.append(Operand(expr, load, addend))
        return str(load.source.ty.dtype)

    def _Cast(self, cast) -> str:
        value = cast.value
        while type(value).__name__ == "Cast" and _is_lossless(value):
            value = value.value  # int8 becomes float32 by way of int32
        text = self.text(value)
        return text if _is_lossless(cast, value) else f"{cast.ty.dtype}({text})"

    def _Add(self, expr, sign: int = 1) -> str:
        load = uncast(expr.a)
        if isinstance(expr.b, tirx.IntImm) and type(load).__name__ == "TensorLoad":
            return self._operand(expr, load, sign * int(expr.b))
        return self._other(expr)

    def _Sub(self, expr) -> str:
        return self._Add(expr, sign=-1)

    def _Call(self, call) -> str:
        name, arguments = call.op.name.split(".")[-1], list(call.args)
        if name == "call_pure_extern":
            return f"{arguments[0].value}({', '.join(map(self.text, arguments[1:]))})"
        if name == "if_then_else":
            condition, value, border = arguments
            if likely_in(condition):  # parts of one tensor
                return self.text(value)
            if isinstance(border, tirx.IntImm | tirx.FloatImm) and float(border.value) == 0:
                self.conditions += _conjuncts(condition)
                return f"inside({self.stored(value)})"
        return self._other(call, name)

    def _other(self, expr, name: str = "") -> str:
        name = name or type(expr).__name__
        texts = [self.text(operand) for operand in operands(expr)]
        return f"({f' {_BINARY[name]} '.join(texts)})" if name in _BINARY else _call(name, texts)


def _is_lossless(cast, value=None) -> bool:
    value = cast.value if value is None else value
    return (str(value.ty.dtype), str(cast.ty.dtype)) in _LOSSLESS


def _call(name: str, texts: list[str]) -> str:
    return f"{name.lower()}({', '.join(texts)})"


def uncast(expr):
    """`expr` without the casts around it."""
    while type(expr).__name__ == "Cast":
        expr = expr.value
    return expr


def loads_in(expr) -> list:
    """Every load of a buffer in an expression."""
    return [part for part in parts_of(expr) if type(part).__name__ == "TensorLoad"]


def likely_in(expr) -> list:
    """The conditions in an expression that cut loops."""
    calls = (part for part in parts_of(expr) if isinstance(part, Call))
    return [call for call in calls if call.op.name.endswith("likely")]


def _conjuncts(condition) -> list:
    """The tests that hold together where `condition` does."""
    if type(condition).__name__ == "And":
        return [*_conjuncts(condition.a), *_conjuncts(condition.b)]
    return [condition]
