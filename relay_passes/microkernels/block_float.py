"""odt_block_float.h: blocks of int16 codes that share an exponent, and float32 results of them."""

from __future__ import annotations

from .dot import packing
from .epilogue import is_zero, tile_of
from .nest import address, check, extent_of, is_dense
from .record import PLANES, RESULTS, ROW_SUMS, ROWS, microkernel

HEADER = "odt_block_float.h"


def _factor(nest, matrix, factor):
    """The address of the factors of blocks, one for each row."""
    at = nest.linear(factor.load)
    still = at.constant == 0 and not any(at.of[k] for k in matrix.taps)
    check(still and is_dense(matrix.rows, at), "its factors are not those of its rows")
    return address(factor.source)


def _planes(nest, rows, taps, numbers, scale=None) -> list:
    """(x, stride, scale) of ``x[k * stride + p] * scale[k]``; no scale is a null pointer."""
    x = nest.linear(numbers.load)
    stride = x.of[taps[-1]] if taps else extent_of(rows)
    dense = is_dense(rows, x) and is_dense(taps, x, step=stride)
    check(stride >= extent_of(rows) and dense, "its rows are no neighbours")
    if scale is None:
        return [address(numbers.source, x.base), stride, 0]
    s = nest.linear(scale.load)
    check(is_dense(taps, s) and not any(s.of[p] for p in rows), "its scales are not its taps'")
    return [address(numbers.source, x.base), stride, address(scale.source, s.base)]


def _rows(nest, rows, taps, numbers) -> list:
    """(x, stride) of ``x[p * stride + k]``."""
    x = nest.linear(numbers.load)
    check(len(rows) <= 1 and is_dense(taps, x), "its rows are no rows")
    stride = x.of[rows[0]] if rows else extent_of(taps)
    check(stride >= extent_of(taps), "its rows overlap")
    return [address(numbers.source, x.base), stride]


@microkernel(
    HEADER,
    PLANES,
    "odt_block_code(float32, float32)",
    "odt_block_code((float32 * float32), float32)",
)
@packing
def odt_pack_planes(nest, matrix, *operands):
    """columns(p, k) = odt_block_code(x[k * stride + p] * scale[k], factor[p])."""
    *numbers, factor = operands
    planes = _planes(nest, matrix.rows, matrix.taps, *numbers)
    return *planes, _factor(nest, matrix, factor)


@microkernel(HEADER, ROWS, "odt_block_code(float32, float32)")
@packing
def odt_pack_rows_f32(nest, matrix, numbers, factor):
    """columns(p, k) = odt_block_code(x[p * stride + k], factor[p])."""
    return *_rows(nest, matrix.rows, matrix.taps, numbers), _factor(nest, matrix, factor)


def _peaks(nest, numbers, *operands) -> list:
    to = nest.linear(nest.store)
    rows = [loop for loop in nest.loops if to.of[loop]]
    taps = [loop for loop in nest.loops if loop not in rows]
    check(to.constant == 0 and is_dense(rows, to), "its peaks are no neighbours")
    sizes = extent_of(rows), extent_of(taps)
    return [address(nest.store.buffer), *numbers(nest, rows, taps, *operands), *sizes]


@microkernel(HEADER, PLANES, "odt_peak(own, float32)", "odt_peak(own, (float32 * float32))")
def odt_peak_planes(nest, *operands):
    """peak[p] = the largest of it and the magnitudes of x[k * stride + p] * scale[k]."""
    return _peaks(nest, _planes, *operands)


@microkernel(HEADER, ROWS, "odt_peak(own, float32)")
def odt_peak_rows(nest, numbers):
    """peak[p] = the largest of it and the magnitudes of x[p * stride + k]."""
    return _peaks(nest, _rows, numbers)


@microkernel(HEADER, PLANES, "select(bool, float32, 0)")
def odt_mask_planes(nest, mask, numbers):
    """gathered[k * rows + p] = mask[...] ? x[k * stride + p] : 0; the mask is read like x."""
    to, bits, x = nest.linears(mask, numbers)
    rows = [loop for loop in nest.loops if to.of[loop] == 1]
    taps = [loop for loop in nest.loops if loop not in rows]
    count = extent_of(rows)
    stride = x.of[taps[0]] if taps else count
    check(to.constant == 0 and len(taps) <= 1 and stride >= count, "its planes are no planes")
    check(is_dense(rows, to, x) and is_dense(taps, to, step=count), "its rows are no neighbours")
    check(x.of == bits.of, "its mask is not read like its numbers")
    return [
        address(nest.store.buffer),
        address(numbers.source, x.base),
        stride,
        address(mask.source),
        *(bits.base, count, extent_of(taps)),
    ]


@microkernel(HEADER, RESULTS, "select(bool, odt_real(int32, float32), 0)")
def odt_real_tile_masked(nest, mask, acc, unit):
    """out[r * stride + q] = mask[r * stride + q] ? odt_real(acc[r * inner + q], unit[q]) : 0."""
    to, bits, sums, units = nest.linears(mask, acc, unit)
    tile = tile_of(nest, acc, to, sums)
    check(bits.of == to.of, "its mask is not read like its results")
    check(unit.source in nest.scratch, "its units are not staged")
    inner = [loop for loop in nest.loops if units.of[loop]]
    walk = all((sums.of[at], to.of[at], units.of[at]) == (1, 1, 1) for at in inner)
    check(walk, "its units are not those of its rows")
    return [
        address(nest.store.buffer, to.base),
        tile.stride,
        address(acc.source),
        address(unit.source, units.base),
        len(inner),
        address(mask.source),
        *(bits.base, tile.rows, tile.columns),
    ]


@microkernel(
    HEADER,
    RESULTS,
    "odt_update_code(int8, (odt_real(int32, float32) * (float32 * float32)), number, uint32, number)",
    watches=True,
)
def odt_update_tile(nest, code, acc, unit, rate, inverse, limit, seed, index):
    """out[i] = the code of weight i after a step, of a gradient from accumulators."""
    to, codes, sums, units, scales = nest.linears(code, acc, unit, inverse)
    tile = tile_of(nest, acc, to, sums, units, scales)
    number = nest.index(index.expr)
    still = nest.is_still(rate.expr) and nest.is_still(seed.expr)
    check(still and int(limit.expr) == 127, "its rate, its seed or its limit changes")
    same = (x.of == to.of and is_zero(x.base - to.base) for x in (codes, number))
    check(all(same), "its codes are not where it stores")
    check(tile.rows == 1 or tile.step == 1, "its rows are no channels")
    return [
        address(nest.store.buffer, to.base),
        address(code.source, codes.base),
        tile.stride,
        address(acc.source),
        address(unit.source, units.base),
        rate.load,
        address(inverse.source, scales.base),
        *(seed.expr, number.base, tile.rows, tile.columns),
    ]


def _sums(nest, total, numbers) -> tuple:
    """(out, x, stride) and (rows, depth) of sums of neighbours, one for each turn of a loop."""
    start, add, end = nest.stores
    to, x = nest.linears(numbers)
    local = all(buffer.same_as(start.buffer) for buffer in (add.buffer, total.source))
    floats = str(end.buffer.ty.dtype) == "float32"
    check(local and floats and len(nest.loops) == 1, "its sum is not one float32")
    check(is_dense(nest.loops, to) and is_dense(nest.inner, x), "its numbers are no neighbours")
    pointers = address(end.buffer, to.base), address(numbers.source, x.base)
    sizes = extent_of(nest.loops), extent_of(nest.inner)
    return [*pointers, x.of[nest.loops[0]]], sizes


@microkernel(HEADER, ROW_SUMS, "0; (own + float32); float32")
def odt_sum_rows(nest, numbers, total):
    """out[p] = the sum of x[p * stride + k] for k = 0, 1 ... in turn."""
    arguments, sizes = _sums(nest, total, numbers)
    return [*arguments, *sizes]


@microkernel(HEADER, ROW_SUMS, "0; (own + select(bool, float32, 0)); float32")
def odt_sum_rows_masked(nest, mask, numbers, total):
    """The same of x under its mask."""
    arguments, sizes = _sums(nest, total, numbers)
    bits, x = nest.linear(mask.load), nest.linear(numbers.load)
    check(bits.of == x.of, "its mask is not read like its numbers")
    return [*arguments, address(mask.source), bits.base, *sizes]
