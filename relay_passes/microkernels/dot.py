"""odt_dot.h: matrices of int16 columns, and inner products of them."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from tvm import sym, tirx

from .nest import Linear, Nest, address, check, extent_of, is_dense
from .record import ANY, COLUMN_SUMS, PLANES, ROWS, START, microkernel

HEADER = "odt_dot.h"


@dataclass(frozen=True)
class Columns:
    """odt_column's order of a matrix."""

    rows: int
    depth: int


class Matrix:
    """The part of a matrix in the order of `Columns` that a nest fills: index and loops."""

    def __init__(self, nest: Nest):
        self.order = nest.scratch.orders.get(nest.store.buffer)
        check(isinstance(self.order, Columns), "no microkernel reads what it fills")
        self.index = nest.linear(nest.store)
        check(self.index.constant is not None, "its matrix begins where a loop says")
        self.rows = [
            loop
            for loop in nest.loops
            if self.index.of[loop] == self.order.depth and self.order.rows > 1
        ]
        self.taps = [loop for loop in nest.loops if loop not in self.rows]

    @property
    def is_whole(self) -> bool:
        sizes = extent_of(self.rows), extent_of(self.taps)
        dense = self.index.constant == 0 and is_dense(self.taps, self.index)
        return dense and sizes == (self.order.rows, self.order.depth)

    @property
    def sizes(self) -> tuple[int, int]:
        return self.order.rows, self.order.depth

    def element(self, nest: Nest):
        """Where the nest stores: `odt_column` of a row and a tap."""
        first, offset = divmod(self.index.constant, self.order.depth)
        p = sum((loop.loop_var for loop in self.rows), start=tirx.const(first, "int32"))
        moves = (loop.loop_var * self.index.of[loop] for loop in self.taps)
        k = sum(moves, start=tirx.const(offset, "int32"))
        at = map(sym.Analyzer().simplify, (p, k))
        sizes = (tirx.const(size, "int32") for size in self.sizes)
        return tirx.call_pure_extern("int32", "odt_column", *at, *sizes)


@microkernel(HEADER, ANY)
def odt_column(nest, *_):
    """columns(p, k) = anything, one by one."""
    index = Matrix(nest).element(nest)
    moved = tirx.BufferStore(nest.store.buffer, nest.store.value, [index])
    for loop in reversed(nest.loops):
        moved = tirx.For(loop.loop_var, loop.min, loop.extent, loop.kind, moved)
    return moved


def packing(arguments):
    """Of a matrix: the function's arguments get it. Where a loop was cut, element by element."""

    @functools.wraps(arguments)
    def of_nest(nest, *operands):
        matrix = Matrix(nest)
        if not matrix.is_whole:
            return odt_column(nest)
        return [address(nest.store.buffer), *arguments(nest, matrix, *operands), *matrix.sizes]

    return of_nest


@microkernel(HEADER, PLANES, "int8")
@packing
def odt_pack(nest, matrix, codes):
    """columns(p, k) = x[k * stride + p] - zero_point."""
    x = nest.linear(codes.load)
    stride = x.of[matrix.taps[-1]] if matrix.taps else 0
    neighbours = is_dense(matrix.rows, x) and is_dense(matrix.taps, x, step=stride)
    check(neighbours, "its rows are no neighbours")
    return address(codes.source, x.base), stride, -codes.addend


@microkernel(HEADER, ROWS, "int8")
@packing
def odt_pack_rows(nest, matrix, codes):
    """columns(p, k) = x[p * stride + k] - zero_point."""
    x = nest.linear(codes.load)
    check(is_dense(matrix.taps, x) and len(matrix.rows) == 1, "its rows are no rows")
    return address(codes.source, x.base), x.of[matrix.rows[0]], -codes.addend


@microkernel(HEADER, START, "0", "number")
def odt_clear(nest, *numbers):
    """acc[i] = 0 of int32 or float32."""
    index, value = nest.linear(nest.store), nest.store.value
    words = str(nest.store.buffer.ty.dtype) in ("int32", "float32")
    check(words and float(value.value) == 0, "it is no 0")
    check(is_dense(nest.loops, index), "its sums are no neighbours")
    return [address(nest.store.buffer, index.base), extent_of(nest.loops)]


def roles(nest: Nest, sums: Linear, a: Linear, b: Linear) -> tuple[list, list, list]:
    """The loops that move (sums and a), (sums and b), (a and b)."""
    groups: dict = {(True, True, False): [], (True, False, True): [], (False, True, True): []}
    for loop in nest.loops:
        moves = tuple(linear.of[loop] != 0 for linear in (sums, a, b))
        check(moves in groups, "a loop does not move two of sums and operands")
        groups[moves].append(loop)
    return tuple(groups.values())


@microkernel(
    HEADER,
    COLUMN_SUMS,
    "(own + (int16 * int8))",
    macs=lambda _acc, _a, _w, _stride, rows, _depth, begin, end, width: rows * (end - begin) * width,
)
def odt_dot(nest, columns, weights):
    """acc[o * rows + p] += sum over k of columns(p, k) * w[o * stride + k - begin]."""
    sums, a, b = nest.linears(columns, weights)
    rows, outputs, taps = roles(nest, sums, a, b)
    height, width, length = map(extent_of, (rows, outputs, taps))
    depth, rest = divmod(nest.scratch.elements.get(columns.source, 1), height)
    check(not rest and len(rows) <= 1 and len(outputs) <= 1, "its tile is no matrix")
    check(a.constant is not None and is_dense(taps, a, b), "its taps are no neighbours")
    check(is_dense(rows, sums) and is_dense(rows, a, step=depth), "its rows are no columns")
    check(is_dense(outputs, sums, step=height), "its sums lie otherwise")
    nest.scratch.keep(columns.source, Columns(height, depth))
    return [
        address(nest.store.buffer, sums.base),
        address(columns.source),
        address(weights.source, b.base),
        b.of[outputs[0]] if outputs else 0,
        *(height, depth, a.constant, a.constant + length, width),
    ]


@microkernel(
    HEADER,
    COLUMN_SUMS,
    "(own + (int16 * int16))",
    macs=lambda _acc, _a, _b, rows, outputs, depth: rows * outputs * depth,
)
def odt_dot_columns(nest, left, right):
    """acc[j * rows + i] += sum over k of a(i, k) * b(j, k)."""
    sums, a, b = nest.linears(left, right)
    rows, outputs, taps = roles(nest, sums, a, b)
    height, width, depth = map(extent_of, (rows, outputs, taps))
    sizes = [nest.scratch.elements.get(side.source) for side in (left, right)]
    check(sizes == [height * depth, width * depth], "it reads no whole matrices")
    check(a.constant == b.constant == 0 and is_dense(taps, a, b), "its taps are no neighbours")
    check(is_dense(rows, a, step=depth) and is_dense(rows, sums), "its rows are no columns")
    columns = is_dense(outputs, b, step=depth) and is_dense(outputs, sums, step=height)
    check(columns, "its outputs are no columns")
    nest.scratch.keep(left.source, Columns(height, depth))
    nest.scratch.keep(right.source, Columns(width, depth))
    buffers = nest.store.buffer, left.source, right.source
    return [address(buffers[0], sums.base), *map(address, buffers[1:]), height, width, depth]
