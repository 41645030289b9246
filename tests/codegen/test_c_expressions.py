"""Brackets where C or -Wparentheses needs them, and casts where -Wconversion does."""

import pytest

from relay_passes.tir import tirx
from tvm_ondevice_train.codegen.c_expressions import Expressions

a, b, c = (tirx.Var(name, "int32") for name in "abc")
x = tirx.Var("x", "float32")
small = tirx.Var("small", "int8")
C = Expressions(names={variable: variable.name for variable in (a, b, c, x, small)})


def const(value, dtype="int32"):
    return tirx.const(value, dtype)


@pytest.mark.parametrize(
    "node, text",
    [
        ((a + b) + c, "a + b + c"),
        (tirx.Sub(a, tirx.Sub(b, c)), "a - (b - c)"),
        (tirx.Add(a, tirx.Add(b, c)), "a + (b + c)"),  # float sums have an order
        (tirx.Mul(tirx.Add(a, b), c), "(a + b) * c"),
        (tirx.Add(tirx.Mul(a, b), c), "a * b + c"),
        (tirx.Add(a, tirx.Mul(b, c)), "a + b * c"),
        (tirx.bitwise_and(tirx.Add(a, b), const(7)), "(a + b) & 7"),
        (tirx.shift_right(tirx.Add(a, b), const(1)), "(a + b) >> 1"),
        (tirx.Add(tirx.shift_right(a, const(3)), b), "(a >> 3) + b"),
        (tirx.Mul(tirx.bitwise_and(a, const(7)), b), "(a & 7) * b"),
        (tirx.And(tirx.LT(a, b), tirx.LT(b, c)), "a < b && b < c"),
        (tirx.Or(tirx.And(a < b, b < c), a < c), "(a < b && b < c) || a < c"),
        (tirx.LE(const(1), a), "a >= 1"),
        (tirx.Select(a < b, a, b), "a < b ? a : b"),
        (tirx.Add(tirx.Select(a < b, a, b), c), "(a < b ? a : b) + c"),
        (tirx.Select(a < b, tirx.Select(b < c, a, b), c), "a < b ? (b < c ? a : b) : c"),
        (tirx.Select(a < b, a, tirx.Select(b < c, b, c)), "a < b ? a : b < c ? b : c"),
        (tirx.Cast("float32", tirx.Add(a, b)), "(float)(a + b)"),
        (tirx.Mul(tirx.Cast("float32", a), x), "(float)a * x"),
        (tirx.Mul(x, const(-1.5, "float32")), "x * -1.5f"),
        (tirx.Not(tirx.LT(a, b)), "!(a < b)"),
        (tirx.Max(tirx.Add(a, b), c), "odt_maxi(a + b, c)"),
        (const(-(2**31)), "INT32_MIN"),
    ],
)
def test_brackets(node, text):
    assert C.text(node) == text


@pytest.mark.parametrize(
    "node, text",
    [
        (tirx.Cast("int32", small), "small"),  # as C does it
        (tirx.Cast("int32", tirx.Add(small, small)), "(int8_t)(small + small)"),
        (tirx.Cast("int16", tirx.Add(tirx.Cast("int32", small), a)), "(int16_t)(small + a)"),
        (tirx.Max(small, const(0, "int8")), "(int8_t)odt_maxi(small, 0)"),
        (tirx.Select(a < b, small, const(0, "int8")), "a < b ? small : 0"),
    ],
)
def test_what_is_narrower_than_int(node, text):
    assert C.value(node) == text
