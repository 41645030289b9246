"""odt_epilogue.h: how kernels end, from accumulators to codes."""

from __future__ import annotations

from typing import NamedTuple

from tvm import sym, tirx

from .nest import Linear, Nest, address, check, extent_of, is_dense
from .record import ELEMENTS, RESULTS, microkernel

HEADER = "odt_epilogue.h"
_RUNS = (2, 4, 8, 16, 32)  # booleans that one byte, or whole bytes, hold


class Tile(NamedTuple):
    """Of results: `stride` from row to row; `step` is 1 where each row is a channel."""

    stride: int
    step: int
    rows: int
    columns: int


def tile_of(nest: Nest, acc, to: Linear, sums: Linear, *tables: Linear) -> Tile:
    """The tile that a nest makes of all of its accumulators.

    tables : what there is one of for each channel.
    """
    scratch = acc.source in nest.scratch and nest.store.buffer not in nest.scratch
    check(scratch and sums.constant == 0, "its sums are not those of a tile")
    still = [loop for loop in nest.loops if not any(linear.of[loop] for linear in tables)]
    inner = [loop for loop in still if sums.of[loop] == 1 and to.of[loop] == 1]
    outer = [loop for loop in nest.loops if loop not in inner]
    check(len(inner) <= 1 and len(outer) <= 1, "its tile is no matrix")
    rows, columns = extent_of(outer), extent_of(inner)
    stride = to.of[outer[0]] if outer else columns
    steps = {linear.of[outer[0]] if outer else 0 for linear in tables} or {0}
    check(len(steps) == 1 and stride >= columns, "its channels are not read alike")
    check(is_dense(outer, sums, step=columns), "its sums lie otherwise")
    return Tile(stride, steps.pop(), rows, columns)


def is_zero(expr) -> bool:
    rest = sym.Analyzer().simplify(expr)
    return isinstance(rest, tirx.IntImm) and int(rest) == 0


def _codes(nest, out, acc, *operands) -> tuple:
    """The tile, and the arguments of odt_requantize_tile."""
    *tables, offset = operands
    to, sums, *vectors = (nest.linear(x) for x in (out, acc.load, *(t.load for t in tables)))
    tile = tile_of(nest, acc, to, sums, *vectors)
    pointers = (address(t.source, v.base) for t, v in zip(tables, vectors, strict=True))
    sizes = tile.step, offset.expr, tile.rows, tile.columns
    first = address(out.buffer, to.base), tile.stride
    return tile, [*first, address(acc.source), *pointers, *sizes]


@microkernel(
    HEADER,
    RESULTS,
    "odt_clamp8(odt_requantize_high((int32 + int32), int32, int32, number))",
)
def odt_requantize_tile(nest, *operands):
    """out[r * stride + q] = the code of acc[r * columns + q] + bias[r], or bias[0]."""
    _, arguments = _codes(nest, nest.store, *operands)
    return arguments


@microkernel(
    HEADER,
    RESULTS,
    "odt_requantize_high((int32 + int32), int32, int32, number); odt_clamp8(int32); "
    "odt_is_int8(int32)",
)
def odt_requantize_tile_masked(nest, *operands):
    """The same, and which codes are int8."""
    *operands, code, tested = operands
    local, out, mask = nest.stores
    same = all(x.source.same_as(local.buffer) for x in (code, tested))
    check(same, "its mask is not of its codes")
    tile, arguments = _codes(nest, out, *operands)
    to, bits = nest.linear(out), nest.linear(mask)
    run = tile.columns
    whole = tile.stride % run == 0 and is_zero(tirx.truncmod(bits.base, run))
    check(bits.of == to.of and (run not in _RUNS or whole), "its mask begins within a byte")
    return [*arguments, address(mask.buffer), bits.base, tile.stride]


@microkernel(HEADER, RESULTS, "select(bool, float32, 0)")
def odt_mask_tile_f32(nest, mask, acc):
    """out[r * stride + q] = mask[r * stride + q] ? acc[r * columns + q] : 0."""
    to, bits, sums = nest.linears(mask, acc)
    tile = tile_of(nest, acc, to, sums)
    check(bits.of == to.of, "its mask is not read like its results")
    return [
        address(nest.store.buffer, to.base),
        tile.stride,
        address(acc.source),
        address(mask.source),
        *(bits.base, tile.rows, tile.columns),
    ]


@microkernel(
    HEADER,
    ELEMENTS,
    "odt_clamp8((odt_scaled_sum_narrow(int8, number, int8, number, number) >> number))",
)
def odt_add_s8(nest, a, a_multiplier, b, b_multiplier, offset, shift):
    """out[i] = clamp((a[i] * a_multiplier + b[i] * b_multiplier + offset) >> shift), for all i."""
    at = nest.linears(a, b)
    whole = all(index.constant == 0 for index in at) and is_dense(nest.loops, *at)
    check(whole, "its operands are not added element by element")
    buffers = nest.store.buffer, a.source, b.source
    numbers = (number.expr for number in (a_multiplier, b_multiplier, offset, shift))
    return [*map(address, buffers), *numbers, extent_of(nest.loops)]
