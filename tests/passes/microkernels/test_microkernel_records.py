"""Records of microkernels: forms, formulas, and what the runtime's headers declare."""

import re
from pathlib import Path

import pytest

from relay_passes.microkernels import HEADERS, RECORDS
from relay_passes.microkernels.form import form_of
from relay_passes.microkernels.formula import Formula, Solution
from relay_passes.microkernels.grid import grid_in, numbers_on
from relay_passes.microkernels.nest import Nest, Scratch, Unfit
from relay_passes.microkernels.record import records
from relay_passes.microkernels.window import window
from relay_passes.tir import tirx

INCLUDE = Path(__file__).resolve().parents[3] / "runtime" / "c" / "include"
TEXT = {path.name: path.read_text() for path in INCLUDE.glob("*.h")}


def buffer(name: str, size: int, dtype: str):
    return tirx.decl_buffer((size,), dtype, name)


def loop(name: str, extent: int) -> tirx.For:
    return tirx.For(tirx.Var(name, "int32"), 0, extent, tirx.ForKind.SERIAL, tirx.Evaluate(0))


# -- forms -----------------------------------------------------------------------------------------

X, W, B = buffer("x", 64, "int8"), buffer("w", 64, "float32"), buffer("b", 64, "bool")
ACC, SUMS = buffer("acc", 64, "int32"), buffer("sums", 64, "float32")
AT = tirx.Var("i", "int32")


@pytest.mark.parametrize(
    "target, value, text",
    [
        (
            ACC,
            lambda: ACC[AT] + X[AT].astype("int32") * X[AT + 1].astype("int32"),
            "(own + (int8 * int8))",
        ),
        (ACC, lambda: ACC[AT + 1] + X[AT].astype("int32"), "(int32 + int8)"),  # another element
        (ACC, lambda: X[AT].astype("int32") - 3, "int8"),
        (ACC, lambda: X[AT].astype("int32") + W[AT].astype("int32"), "(int8 + int32(float32))"),
        (SUMS, lambda: X[AT].astype("int32").astype("float32") * W[AT], "(int8 * float32)"),
        (
            SUMS,
            lambda: tirx.Select(B[AT], W[AT], tirx.const(0, "float32")),
            "select(bool, float32, 0)",
        ),
        (
            SUMS,
            lambda: tirx.Select(B[AT], W[AT], tirx.const(1, "float32")),
            "select(bool, float32, number)",
        ),
        (
            SUMS,
            lambda: tirx.if_then_else(AT < 4, W[AT], tirx.const(0, "float32")),
            "inside(float32)",
        ),
        (
            SUMS,
            lambda: tirx.if_then_else(tirx.likely(AT < 4), W[AT], W[AT + 1]),
            "if_then_else(number, float32, float32)",
        ),
        (ACC, lambda: tirx.const(0, "int32"), "number"),
        (SUMS, lambda: tirx.const(0, "float32"), "0"),
    ],
)
def test_a_form_is_the_arithmetic_of_a_store(target, value, text):
    assert form_of([tirx.BufferStore(target, value(), [AT])]).text == text


def test_operands_are_in_the_order_of_the_form():
    value = tirx.if_then_else(
        tirx.all(AT >= 1, AT < 5), X[AT - 1].astype("int32") + 128, tirx.const(0, "int32")
    )
    form = form_of([tirx.BufferStore(ACC, value, [AT]), tirx.Evaluate(0)])
    (operand,) = form.operands
    assert form.text == "inside(int8); Evaluate"
    assert operand.load.source.same_as(X) and operand.addend == 128
    assert [type(test).__name__ for test in form.conditions] == ["GE", "LT"]


def test_where_loops_will_be_cut_a_tensor_of_parts_is_as_its_first_part():
    value = tirx.if_then_else(tirx.likely(AT < 4), W[AT], W[AT + 1])
    form = form_of([tirx.BufferStore(SUMS, value, [AT])], will_be_cut=True)
    assert form.text == "float32" and len(form.operands) == 1


# -- formulas --------------------------------------------------------------------------------------

DOT = "acc[o*P + p] = (own + (float32 a[k*stride + p] * float32 b{k*O + o}))"


def test_a_formula_is_a_form_with_walks():
    formula = Formula(DOT)
    assert formula.form == "(own + (float32 * float32))"
    assert formula.axes == ["o", "p", "k"]
    assert formula.walks["a"].steps == {"k": "stride", "p": "1"}
    assert [name for name, walk in formula.walks.items() if walk.is_scratch] == ["b"]


def product(a_index, b_index, extents=(2, 3, 5), scratch=True) -> Nest:
    """sums[o * 3 + p] += w[...] * b[...], o of 2, p of 3, k of 5; one without loops is a list."""
    loops = [loop(name, extent) for name, extent in zip("opk", extents, strict=True)]
    o, p, k = (each.loop_var for each in loops)
    second = buffer("second", 64, "float32")
    index = o * 3 + p
    value = SUMS[index] + W[a_index(o, p, k)] * second[b_index(o, p, k)]
    known = Scratch()
    known.elements = {second: 10} if scratch else {}
    store = tirx.BufferStore(SUMS, value, [index])
    return Nest([each for each in loops if int(each.extent) > 1], [store], scratch=known)


def solved(nest: Nest, known=None) -> Solution:
    return Solution(Formula(DOT), nest, known or {})


def test_a_solution_finds_extents_and_steps():
    solution = solved(product(lambda o, p, k: k * 7 + p + 4, lambda o, p, k: k * 2 + o))
    assert {word: solution.numbers[word] for word in ("O", "P", "K", "stride")} == {
        **{"O": 2, "P": 3, "K": 5, "stride": 7}
    }
    acc, a, stride, b, *sizes = solution.arguments(["acc", "a", "stride", "b", "P", "O", "K"])
    assert (stride, sizes) == (7, [3, 2, 5])
    bases = [int(pointer.args[0].indices[0]) for pointer in (acc, a, b)]
    assert bases == [0, 4, 0]


@pytest.mark.parametrize(
    "nest, reason",
    [
        (product(lambda o, p, k: k * 7 + p * 2, lambda o, p, k: k * 2 + o), "along no axis"),
        (product(lambda o, p, k: k * 7 + p + o, lambda o, p, k: k * 2 + o), "along no axis"),
        (product(lambda o, p, k: k * 7 + p, lambda o, p, k: k * 3 + o), "b is walked otherwise"),
        (product(lambda o, p, k: k * 7 + p, lambda o, p, k: k * 2 + o + 1), "b is no scratch"),
        (
            product(lambda o, p, k: k * 7 + p, lambda o, p, k: k * 2 + o, scratch=False),
            "no scratch",
        ),
        (product(lambda o, p, k: k * k + p, lambda o, p, k: k * 2 + o), "in equal steps"),
    ],
)
def test_another_walk_is_no_solution(nest, reason):
    with pytest.raises(Unfit, match=reason):
        solved(nest)


def test_an_axis_whose_extent_is_known_takes_no_other_loops():
    nest = product(lambda o, p, k: k * 7 + p, lambda o, p, k: k * 2 + o)
    with pytest.raises(Unfit, match=r"axis k is cut|along no axis"):
        solved(nest, {"K": 4})


def test_a_number_of_an_axis_without_loops_is_that_of_neighbours():
    nest = product(lambda o, p, k: p, lambda o, p, k: o, extents=(2, 3, 1))
    assert solved(nest).numbers["stride"] == 3


# -- planes ----------------------------------------------------------------------------------------


def test_a_grid_of_numbers_in_a_plane():
    row, column = loops = loop("r", 7), loop("s", 9)
    r, s = row.loop_var, column.loop_var
    two = tirx.const(2, "int32")
    conditions = [
        *(tirx.LE(tirx.const(1, "int32"), r), tirx.LT(s, tirx.const(8, "int32"))),
        tirx.EQ(tirx.truncmod(r + 1, two), tirx.const(0, "int32")),
        tirx.EQ(tirx.truncmod(s, two), tirx.const(0, "int32")),
    ]
    grid = grid_in(loops, conditions)
    assert vars(grid) == {
        **{"rows": 7, "columns": 9, "top": 1, "left": 0},
        **{"down": 2, "across": 2, "height": 3, "width": 4},
    }
    x = numbers_on(grid, loops, tirx.floordiv(r, 2) * 4 + tirx.floordiv(s, 2) + 5)
    assert (int(x.base), *x.of.values()) == (5, 4, 1)
    with pytest.raises(Unfit, match="apart"):
        numbers_on(grid, loops, r * s)


@pytest.mark.parametrize(
    "tests, reason",
    [
        (lambda r, s: [tirx.LT(r, s)], "no grid"),
        (
            lambda r, s: [
                tirx.EQ(tirx.truncmod(r * 2, tirx.const(3, "int32")), tirx.const(0, "int32"))
            ],
            "no grid",
        ),
        (
            lambda r, s: [
                tirx.EQ(tirx.truncmod(r * s, tirx.const(3, "int32")), tirx.const(0, "int32"))
            ],
            "no grid",
        ),
        (lambda r, s: [tirx.EQ(r, tirx.const(0, "int32"))], "no grid"),
        (lambda r, s: [tirx.LT(r, tirx.const(0, "int32"))], "no numbers"),
    ],
)
def test_a_plane_that_holds_no_grid(tests, reason):
    loops = loop("r", 7), loop("s", 9)
    with pytest.raises(Unfit, match=reason):
        grid_in(loops, tests(*(each.loop_var for each in loops)))


@pytest.mark.parametrize(
    "taps, pixels, sizes",
    [
        ([(3, 10), (3, 1)], [(4, 10), (4, 1)], (3, 3, 10, 1, 4, 4)),
        ([(3, 10), (3, 1)], [(4, 20), (4, 2)], (3, 3, 10, 2, 4, 4)),
        ([(5, 1)], [(4, 2)], (1, 5, 0, 2, 1, 4)),
        ([(3, 10)], [(4, 20)], (3, 1, 10, 2, 4, 1)),  # down a column
        ([(3, 10), (3, 1)], [], (3, 3, 10, 1, 1, 1)),
    ],
)
def test_the_sizes_of_a_window(taps, pixels, sizes):
    assert tuple(window(taps, pixels)) == sizes


# -- records ---------------------------------------------------------------------------------------


def declared(name: str) -> tuple[str, list[str]]:
    """The header that declares a function, and its parameters."""
    pattern = re.compile(rf"ODT_INLINE \w+ \*?{name}\(([^)]*)\)", re.DOTALL)
    for header, text in TEXT.items():
        if found := pattern.search(text):
            return header, [parameter.strip() for parameter in found[1].split(",")]
    raise AssertionError(f"no header declares {name}")


def included_by(header: str) -> set[str]:
    """That header and all that it includes."""
    found, waiting = set(), [header]
    while waiting:
        name = waiting.pop()
        if name in TEXT and name not in found:
            found.add(name)
            waiting += re.findall(r'#include "(\w+\.h)"', TEXT[name])
    return found


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
def test_a_record_is_a_function_of_its_header(record):
    header, parameters = declared(record.name)
    assert record.header in HEADERS and header in included_by(record.header)
    masks = {name for formula in record.formulas.values() for name in masks_of(formula)}
    arguments = len(record.words) + len(masks & set(record.words)) + record.watches
    assert arguments == len(parameters)


def masks_of(formula: Formula) -> list[str]:
    """Operands and stores that are bits: they are two arguments."""
    return [name for name in formula.walks if name == "mask"]


def test_two_records_cannot_compute_the_same_for_one_purpose():
    with pytest.raises(AssertionError, match="odt_again"):
        records("odt_dot.h", "start of sums: odt_again(acc, I)\n    acc[i] = 0")
    assert "odt_again" not in RECORDS
