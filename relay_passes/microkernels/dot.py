"""odt_dot.h: matrices of int16 columns, and inner products of them."""

from __future__ import annotations

from dataclasses import dataclass

from tvm import sym

from ..runtime_call import call_of_runtime
from ..tir import tirx
from .formula import Solution
from .nest import Nest, Unfit, address, check
from .record import records

HEADER = "odt_dot.h"


@dataclass(frozen=True)
class Columns:
    """odt_column's arrangement of a matrix: P rows of K elements."""

    P: int
    K: int

    @property
    def elements(self) -> int:
        """At least 2: one alone would be a variable, and not aligned."""
        return max(2, self.P * self.K)


def by_element(nest: Nest) -> tirx.Stmt:
    """The nest, with elements where odt_column says."""
    rows, depth = vars(nest.filled_as(Columns)).values()
    index = nest.linear(nest.store)
    check(index.constant is not None, "its matrix begins where a loop says")
    p, k = divmod(index.constant, depth)
    for loop in nest.loops:
        if index.of[loop] == depth and rows > 1:
            p += loop.loop_var
        else:
            k += loop.loop_var * index.of[loop]
    at = map(sym.Analyzer().simplify, (p, k, rows, depth))
    index = call_of_runtime("int32", "odt_column", *at)
    return nest.with_store(tirx.BufferStore(nest.store.buffer, nest.store.value, [index]))


def _zero_words(solution: Solution) -> None:
    store = solution.nest.store
    words = str(store.buffer.ty.dtype) in ("int32", "float32")
    check(words and float(store.value.value) == 0, "it is no 0")


def _part_of_depth(solution: Solution) -> None:
    """The columns are all of the depth, of which the weights may be a part."""
    numbers, scratch = solution.numbers, solution.nest.scratch
    buffer, first = solution.accesses["columns"].source, solution.linears["columns"].constant
    depth, rest = divmod(scratch.elements.get(buffer, 1), numbers["P"])
    same = numbers["P"] == 1 or numbers["depth"] == depth
    if first is None or rest or not same:
        raise Unfit("its columns are no matrix")
    scratch.keep(buffer, Columns(numbers["P"], depth))
    numbers |= {"depth": depth, "begin": first, "end": first + numbers["K"]}
    numbers["columns"] = address(buffer)


def _whole_matrices(solution: Solution) -> None:
    numbers, scratch = solution.numbers, solution.nest.scratch
    for name, rows in (("a", numbers["P"]), ("b", numbers["O"])):
        buffer = solution.accesses[name].source
        check(scratch.elements.get(buffer) == rows * numbers["K"], f"its {name} is no whole matrix")
        scratch.keep(buffer, Columns(rows, numbers["K"]))


PACKING = {"fills": Columns, "otherwise": by_element}
records(
    HEADER,
    """
elements of columns: odt_column(p, k, P, K)

start of sums: odt_clear(acc, I)
    acc[i] = number zero
    acc[i] = 0

columns of planes: odt_pack(columns, x, stride, zero_point, P, K)
    columns{p*K + k} = int8 x[k*stride + p]

columns of rows: odt_pack_rows(columns, x, stride, zero_point, P, K)
    columns{p*K + k} = int8 x[p*stride + k]

sums over columns: odt_dot(acc, columns, w, stride, P, depth, begin, end, O)
    acc[o*P + p] = (own + (int16 columns[p*depth + k] * int8 w[o*stride + k]))

sums over columns: odt_dot_columns(acc, a, b, P, O, K)
    acc[o*P + p] = (own + (int16 a{p*K + k} * int16 b{o*K + k}))
""",
    odt_column={"otherwise": by_element},
    odt_clear={"beside": _zero_words},
    odt_pack=PACKING,
    odt_pack_rows=PACKING,
    odt_dot={"beside": _part_of_depth},
    odt_dot_columns={"beside": _whole_matrices},
)
