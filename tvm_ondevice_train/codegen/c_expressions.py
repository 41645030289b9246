"""Expressions of lowered kernels as C, with the brackets that C or -Wparentheses needs."""

from __future__ import annotations

from dataclasses import dataclass, field

from tvm.ir import Call

from relay_passes import microkernels
from relay_passes.runtime_call import called_function
from relay_passes.tir import tirx

from ..errors import OdtError
from .c_functions import c_function
from .c_text import float_literal

C_TYPES = {
    "float32": "float",
    "int8": "int8_t",
    "uint8": "uint8_t",
    "uint16": "uint16_t",
    "int16": "int16_t",
    "int32": "int32_t",
    "uint32": "uint32_t",
    "int64": "int64_t",
    "bool": "uint8_t",
}
_BINARY = {
    "Add": "+",
    "Sub": "-",
    "Mul": "*",
    "Div": "/",
    "Mod": "%",
    "EQ": "==",
    "NE": "!=",
    "LT": "<",
    "LE": "<=",
    "GT": ">",
    "GE": ">=",
    "And": "&&",
    "Or": "||",
    "LShift": "<<",
    "RShift": ">>",
    "BitwiseAnd": "&",
    "BitwiseOr": "|",
    "BitwiseXor": "^",
    "bitwise_and": "&",
    "bitwise_or": "|",
    "bitwise_xor": "^",
    "shift_left": "<<",
    "shift_right": ">>",
}
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
# loosest first
_LEVELS = ("?:", "||", "&&", "|", "^", "&", "== !=", "< <= > >=", "<< >>", "+ -", "* / %")
_LEVEL = {operator: level for level, each in enumerate(_LEVELS) for operator in each.split()}
_PREFIX, _WHOLE = len(_LEVELS), len(_LEVELS) + 1  # a cast or a sign; a name, a call, a number
_COMPARED = {*_MIRRORED}
# operands in brackets though they bind tighter: compilers suspect a mistake
_UNCLEAR = {
    "||": {"&&"},
    "|": {"&", "^", "+", "-", *_COMPARED},
    "^": {"&", "+", "-", *_COMPARED},
    "&": {"+", "-", *_COMPARED},
    "<<": {"+", "-"},
    ">>": {"+", "-"},
    **dict.fromkeys(_COMPARED, _COMPARED),
}
_SMALL = ("int8", "uint8", "int16", "uint16")  # arithmetic on them is that of int
# take a pointer to a variable that becomes 1 where they meet a number that is not finite
_WATCHING = ("odt_update_code", *(r.name for r in microkernels.RECORDS.values() if r.watches))
NOT_YET = "this operator cannot be compiled yet"


@dataclass(frozen=True)
class _Term:
    """C text and what it is made with: a binary operator, or how tight it binds."""

    text: str
    operator: str = ""
    level: int = _WHOLE

    def within(self, operator: str, right: bool = False) -> str:
        """As an operand of a binary operator."""
        level = _LEVEL[operator]
        loose = self.level < level + right or self.operator in _UNCLEAR.get(operator, ())
        return f"({self.text})" if loose else self.text

    @property
    def chosen(self) -> str:
        """In front of the colon of a choice."""
        return f"({self.text})" if self.operator == "?:" else self.text

    @property
    def tight(self) -> str:
        """As the operand of a cast or a sign."""
        return self.text if self.level >= _PREFIX else f"({self.text})"


@dataclass
class Expressions:
    """The C of expressions over variables that have names.

    names : variable -> name.
    bits : buffer -> whether its booleans are packed.
    scalars : buffers of one element, which are variables of C.
    used : the names that expressions hold, of buffers.
    watches : whether one watches for what is not finite.
    """

    names: dict[tirx.Var | tirx.Buffer, str] = field(default_factory=dict)
    bits: dict[tirx.Var | tirx.Buffer, bool] = field(default_factory=dict)
    scalars: set[tirx.Buffer] = field(default_factory=set)
    used: set[str] = field(default_factory=set)
    watches: bool = False

    def text(self, node: tirx.Expr) -> str:
        """A whole expression: an argument, an index, what is assigned."""
        return self._term(node).text

    def value(self, node: tirx.Expr) -> str:
        """What is assigned to a variable of the expression's dtype, without -Wconversion's say."""
        kept = f"({C_TYPES[str(node.ty.dtype)]})" if _is_widened(node) else ""
        return kept + (self._term(node).tight if kept else self.text(node))

    def shifted(self, node: tirx.Expr, by: str) -> str:
        """A boolean as bit `by` of a uint32."""
        return f"(uint32_t){self._term(node).tight} << {by}"

    def element(self, buffer: tirx.Buffer, index: tirx.Expr) -> str:
        """Of a buffer that is an array."""
        return f"{self._name(buffer)}[{self.text(index)}]"

    def address(self, buffer: tirx.Buffer, index: tirx.Expr) -> str:
        """Of an element, or of a variable, as an argument."""
        if buffer in self.scalars:
            return "&" + self._name(buffer)
        is_first = isinstance(index, tirx.IntImm) and int(index) == 0
        return self._name(buffer) + ("" if is_first else f" + {self._term(index).within('+')}")

    def _name(self, buffer: tirx.Buffer) -> str:
        self.used.add(self.names[buffer])
        return self.names[buffer]

    def _term(self, node: tirx.Expr) -> _Term:
        kind = type(node).__name__
        if kind in _BINARY:
            return self._binary(_BINARY[kind], node.a, node.b)
        return getattr(self, "_" + kind, self._unknown)(node)

    def _unknown(self, node: tirx.Expr) -> _Term:
        raise OdtError(f"no C for the operation {type(node).__name__}; {NOT_YET}")

    def _binary(self, operator: str, a: tirx.Expr, b: tirx.Expr) -> _Term:
        if operator in _MIRRORED and _is_number(a) and not _is_number(b):
            a, b, operator = b, a, _MIRRORED[operator]
        left, right = self._operand(a), self._operand(b)
        text = f"{left.within(operator)} {operator} {right.within(operator, right=True)}"
        return _Term(text, operator, _LEVEL[operator])

    def _operand(self, node: tirx.Expr) -> _Term:
        """In arithmetic; a part of it that is narrower than int is cut to its dtype."""
        return _Term(self.value(node), "", _PREFIX) if _is_widened(node) else self._term(node)

    def _Var(self, node: tirx.Var) -> _Term:
        return _Term(self.names[node])

    def _IntImm(self, node: tirx.IntImm) -> _Term:
        value, dtype = int(node.value), str(node.ty.dtype)
        if dtype == "uint32":
            return _Term(f"{value & 0xFFFFFFFF}u")
        if dtype == "int32" and value == -(2**31):
            return _Term("INT32_MIN")
        return _Term(str(value), "", _WHOLE if value >= 0 else _PREFIX)

    def _FloatImm(self, node: tirx.FloatImm) -> _Term:
        text = float_literal(float(node.value))
        return _Term(text, "", _PREFIX if text.startswith("-") else _WHOLE)

    def _Cast(self, node: tirx.Cast) -> _Term:
        source, dtype = str(node.value.ty.dtype), str(node.ty.dtype)
        if dtype == "int32" and source in _SMALL:
            return self._operand(node.value)  # as C does it
        return _Term(f"({C_TYPES[dtype]}){self._term(node.value).tight}", "", _PREFIX)

    def _Not(self, node: tirx.Not) -> _Term:
        return _Term(f"!{self._term(node.a).tight}", "", _PREFIX)

    def _Select(self, node: tirx.Select) -> _Term:
        return self._ternary(node.condition, node.true_value, node.false_value)

    def _ternary(self, condition: tirx.Expr, yes: tirx.Expr, no: tirx.Expr) -> _Term:
        asked, chosen = self._term(condition).chosen, self._operand(yes).chosen
        text = f"{asked} ? {chosen} : {self._operand(no).text}"
        return _Term(text, "?:", _LEVEL["?:"])

    def _Max(self, node: tirx.Max) -> _Term:
        return self._extremum("max", node)

    def _Min(self, node: tirx.Min) -> _Term:
        return self._extremum("min", node)

    def _extremum(self, which: str, node: tirx.Max | tirx.Min) -> _Term:
        suffix = "f" if str(node.ty.dtype) == "float32" else "i"
        return _Term(f"odt_{which}{suffix}({self.text(node.a)}, {self.text(node.b)})")

    def _TensorLoad(self, node: tirx.Expr) -> _Term:
        buffer, index = node.source, node.indices[0]
        if buffer in self.scalars:
            return _Term(self._name(buffer))
        if self.bits[buffer]:
            return _Term(f"odt_bit_read({self._name(buffer)}, {self.text(index)})")
        return _Term(self.element(buffer, index))

    def _Call(self, node: Call) -> _Term:
        name = _kind(node)  # of "tirx.exp", "prim.if_then_else"
        if name in _BINARY:
            return self._binary(_BINARY[name], *node.args)
        if name == "address_of":
            return _Term(self.address(node.args[0].source, node.args[0].indices[0]))
        if name == "if_then_else":
            return self._ternary(*node.args)
        function, arguments = called_function(node), node.args[1:]
        if name == "call_pure_extern":  # of libm, as LowerIntrin has it
            name = str(node.args[0].value)
            function = c_function(name.removesuffix("f"))
        elif function is None:
            function, arguments = c_function(name), node.args
        if function is None or not function.startswith("odt_"):
            raise OdtError(f"no C for the function {function or name}; {NOT_YET}")
        texts = [self.text(a) for a in arguments]
        if function in _WATCHING:
            self.watches = True
            texts.append("&bad")
        return _Term(f"{function}({', '.join(texts)})")


def _is_number(node: tirx.Expr) -> bool:
    return isinstance(node, (tirx.IntImm, tirx.FloatImm))


def _is_widened(node: tirx.Expr) -> bool:
    """Whether compilers take it for an int, though its dtype is narrower."""
    if str(node.ty.dtype) not in _SMALL:
        return False
    if arms := _arms(node):
        return any(map(_arms, arms))
    kind = _kind(node)
    return kind in _BINARY or kind in ("Max", "Min")


def _arms(node: tirx.Expr) -> tuple[tirx.Expr, ...]:
    """Of a choice."""
    if type(node).__name__ == "Select":
        return node.true_value, node.false_value
    return tuple(node.args[1:]) if _kind(node) == "if_then_else" else ()


def _kind(node: tirx.Expr) -> str:
    """``Add``, ``bitwise_and`` ..."""
    return node.op.name.split(".")[-1] if isinstance(node, Call) else type(node).__name__
