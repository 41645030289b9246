"""odt_dot.h: matrices of int16 columns, and inner products of them."""

from __future__ import annotations

from dataclasses import dataclass

from tvm import sym, tirx

from .nest import Nest, address, check, extent_of
from .record import ANY, COLUMN_SUMS, PLANES, ROWS, START, record

HEADER = "odt_dot.h"


@dataclass(frozen=True)
class Columns:
    """odt_column's order of a matrix."""

    rows: int
    depth: int

    @property
    def elements(self) -> int:
        """At least 2: one alone would be a variable, and not aligned."""
        return max(2, self.rows * self.depth)


def matrix(nest: Nest) -> dict:
    """The sizes of the matrix that a nest fills."""
    order = nest.scratch.orders.get(nest.store.buffer)
    check(isinstance(order, Columns), "no microkernel reads what it fills")
    return {"P": order.rows, "K": order.depth}


def by_element(nest: Nest):
    """The nest, with elements where odt_column says."""
    rows, depth = matrix(nest).values()
    index = nest.linear(nest.store)
    check(index.constant is not None, "its matrix begins where a loop says")
    p, k = (tirx.const(n, "int32") for n in divmod(index.constant, depth))
    for loop in nest.loops:
        if index.of[loop] == depth and rows > 1:
            p += loop.loop_var
        else:
            k += loop.loop_var * index.of[loop]
    at = map(sym.Analyzer().simplify, (p, k))
    sizes = (tirx.const(size, "int32") for size in (rows, depth))
    index = tirx.call_pure_extern("int32", "odt_column", *at, *sizes)
    moved = tirx.BufferStore(nest.store.buffer, nest.store.value, [index])
    for loop in reversed(nest.loops):
        moved = tirx.For(loop.loop_var, loop.min, loop.extent, loop.kind, moved)
    return moved


def part_by_element(nest: Nest):
    """The same of a nest that was cut, and fills only a part of a matrix; else None."""
    rows, depth = matrix(nest).values()
    whole = extent_of(nest.loops) == rows * depth and nest.linear(nest.store).constant == 0
    return None if whole else by_element(nest)


PACKING = {"before": matrix, "instead": part_by_element}

record("odt_column(p, k, P, K)", HEADER, ANY, instead=by_element)


def _zero_words(solution) -> None:
    store = solution.nest.store
    words = str(store.buffer.ty.dtype) in ("int32", "float32")
    check(words and float(store.value.value) == 0, "it is no 0")


record(
    "odt_clear(acc, I)",
    *(HEADER, START, "acc[i] = number zero", "acc[i] = 0"),
    beside=_zero_words,
)
record(
    "odt_pack(columns, x, stride, zero_point, P, K)",
    *(HEADER, PLANES, "columns{p*K + k} = int8 x[k*stride + p]"),
    **PACKING,
)
record(
    "odt_pack_rows(columns, x, stride, zero_point, P, K)",
    *(HEADER, ROWS, "columns{p*K + k} = int8 x[p*stride + k]"),
    **PACKING,
)


def _part_of_depth(solution) -> None:
    """`columns` are all of the depth, of which the weights may be a part."""
    buffer, first = solution.accesses["columns"].source, solution.linears["columns"].constant
    rows, part = solution.numbers["P"], solution.numbers["K"]
    depth, rest = divmod(solution.nest.scratch.elements.get(buffer, 1), rows)
    same = rows == 1 or solution.numbers["depth"] == depth
    check(first is not None and not rest and same, "its columns are no matrix")
    solution.numbers.update(depth=depth, begin=first, end=first + part, columns=address(buffer))
    solution.nest.scratch.keep(buffer, Columns(rows, depth))


record(
    "odt_dot(acc, columns, w, stride, P, depth, begin, end, O)",
    *(HEADER, COLUMN_SUMS),
    "acc[o*P + p] = (own + (int16 columns[p*depth + k] * int8 w[o*stride + k]))",
    beside=_part_of_depth,
    macs=lambda n: n.P * (n.end - n.begin) * n.O,
)


def _whole_matrices(solution) -> None:
    depth, scratch = solution.numbers["K"], solution.nest.scratch
    for name, rows in (("a", solution.numbers["P"]), ("b", solution.numbers["O"])):
        buffer = solution.accesses[name].source
        check(scratch.elements.get(buffer) == rows * depth, f"its {name} is no whole matrix")
        scratch.keep(buffer, Columns(rows, depth))


record(
    "odt_dot_columns(acc, a, b, P, O, K)",
    *(HEADER, COLUMN_SUMS),
    "acc[o*P + p] = (own + (int16 a{p*K + k} * int16 b{o*K + k}))",
    beside=_whole_matrices,
    macs=lambda n: n.P * n.O * n.K,
)
