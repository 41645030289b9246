"""How kernels end, as runtime/c/include/odt_epilogue.h does it: from accumulators to codes."""

from __future__ import annotations

import math

from tvm import sym, tirx

from .microkernels import (
    Linear,
    Match,
    extern_arguments,
    is_dense,
    is_load,
    masked_of,
    microkernel,
    uncast,
)

_RUNS = (2, 4, 8, 16, 32)  # booleans that one byte, or whole bytes, hold


def ending(loop: tirx.For, sizes: dict) -> Match | None:
    """A call for the nest that makes results of accumulators.

    `sizes` are the elements of scratch buffers; the accumulators are such a buffer.
    """
    loops, node = [], loop
    while isinstance(node, tirx.For):
        loops.append(node)
        node = node.body
    if len(loops) > 2:
        return _adding(loops, node)
    found = _requantization(loops, node, sizes) or _masking(loops, node, sizes)
    found = found or _real_masking(loops, node, sizes) or _updating(loops, node, sizes)
    return found or _summing(loops, node)


def _requantization(loops, node, sizes: dict) -> Match | None:
    """out[r * stride + q] = clamp(requantize(acc[r * inner + q] + bias[r], ...)), and its mask."""
    statements = list(node.seq) if isinstance(node, tirx.SeqStmt) else [node]
    found = _statements(statements)
    if found is None:
        return None
    out, mask, (acc, *vectors, offset) = found
    if acc.source not in sizes or out.buffer in sizes:
        return None
    to, sums, *tables = (Linear(x.indices[0], loops) for x in (out, acc, *vectors))
    if not all(linear.found for linear in (to, sums, *tables)) or sums.constant != 0:
        return None
    tile = _tile(loops, to, sums, tables)
    if tile is None:
        return None
    stride, step, rows, count = tile
    arguments = [
        tirx.address_of(out.buffer[to.base]),
        stride,
        tirx.address_of(acc.source[0]),
        *(tirx.address_of(v.source[t.base]) for v, t in zip(vectors, tables, strict=True)),
        *(step, offset, rows, count),
    ]
    if mask is None:
        return Match([microkernel("odt_requantize_tile", *arguments)])
    bits = Linear(mask.indices[0], loops)
    if not bits.found or any(bits.of[at] != to.of[at] for at in loops):
        return None
    if count in _RUNS and (stride % count or not _divides(count, bits.base)):
        return None
    arguments += [tirx.address_of(mask.buffer[0]), bits.base, stride]
    return Match([microkernel("odt_requantize_tile_masked", *arguments)])


def _masking(loops, node, sizes: dict) -> Match | None:
    """out[r * stride + q] = mask[r * stride + q] ? acc[r * inner + q] : 0."""
    mask, acc = masked_of(node)
    if not is_load(acc) or acc.source not in sizes or node.buffer in sizes:
        return None
    to, sums, bits = (Linear(x.indices[0], loops) for x in (node, acc, mask))
    if not (to.found and sums.found and bits.found) or sums.constant != 0:
        return None
    tile = _tile(loops, to, sums, [])
    if tile is None or any(bits.of[at] != to.of[at] for at in loops):
        return None
    stride, _, rows, count = tile
    call = microkernel(
        "odt_mask_tile_f32",
        tirx.address_of(node.buffer[to.base]),
        stride,
        tirx.address_of(acc.source[0]),
        tirx.address_of(mask.source[0]),
        *(bits.base, rows, count),
    )
    return Match([call])


def _real_masking(loops, node, sizes: dict) -> Match | None:
    """out[r * stride + q] = mask[r * stride + q] ? odt_real(acc[r * inner + q], unit[q]) : 0."""
    mask, value = masked_of(node)
    acc, unit = extern_arguments(value, "odt_real") or (None, None)
    if not all(is_load(x) and x.source in sizes for x in (acc, unit)) or node.buffer in sizes:
        return None
    to, sums, bits, units = (Linear(x.indices[0], loops) for x in (node, acc, mask, unit))
    found = to.found and sums.found and bits.found and units.found
    tile = _tile(loops, to, sums, []) if found and sums.constant == 0 else None
    if tile is None or any(bits.of[at] != to.of[at] for at in loops):
        return None
    stride, _, rows, count = tile
    inner = [loop for loop in loops if units.of[loop]]
    if any((sums.of[at], to.of[at], units.of[at]) != (1, 1, 1) for at in inner):
        return None
    call = microkernel(
        "odt_real_tile_masked",
        tirx.address_of(node.buffer[to.base]),
        stride,
        tirx.address_of(acc.source[0]),
        tirx.address_of(unit.source[units.base]),
        len(inner),
        tirx.address_of(mask.source[0]),
        *(bits.base, rows, count),
    )
    return Match([call])


def _updating(loops, node, sizes: dict) -> Match | None:
    """out[i] = the code of weight i after a step, of a gradient from accumulators."""
    if not isinstance(node, tirx.BufferStore) or str(node.buffer.ty.dtype) != "int8":
        return None
    code, step, limit, seed, index = (
        extern_arguments(uncast(node.value), "odt_update_code") or (None,) * 5
    )
    by = step.b if type(step).__name__ == "Mul" else None
    if type(by).__name__ != "Mul" or not isinstance(limit, tirx.IntImm) or int(limit) != 127:
        return None
    acc, unit = extern_arguments(step.a, "odt_real") or (None, None)
    code, rate, inverse = uncast(code), by.a, by.b
    if not all(map(is_load, (code, acc, unit, rate, inverse))) or acc.source not in sizes:
        return None
    loads = node, code, acc, unit, inverse
    to, codes, sums, units, scales = (Linear(load.indices[0], loops) for load in loads)
    number = Linear(uncast(index), loops)
    if not all(x.found for x in (to, codes, sums, units, scales, number)) or sums.constant != 0:
        return None
    tile = _tile(loops, to, sums, [units, scales])
    moving = {loop.loop_var for loop in loops}
    if tile is None or any(moving & set(tirx.analysis.undefined_vars(x)) for x in (rate, seed)):
        return None
    stride, step_of_row, rows, count = tile
    same = all(x.of == to.of and _is_zero(x.base - to.base) for x in (codes, number))
    if not same or (rows > 1 and step_of_row != 1):
        return None
    call = microkernel(
        "odt_update_tile",
        tirx.address_of(node.buffer[to.base]),
        tirx.address_of(code.source[codes.base]),
        stride,
        tirx.address_of(acc.source[0]),
        tirx.address_of(unit.source[units.base]),
        rate,
        tirx.address_of(inverse.source[scales.base]),
        *(seed, number.base, rows, count),
    )
    return Match([call])


def _summing(loops, node) -> Match | None:
    """out[p] = the sum of x[p * stride + k] for k = 0, 1 ... in turn, x under its mask or not."""
    statements = list(node.seq) if isinstance(node, tirx.SeqStmt) else []
    kinds = [type(statement).__name__ for statement in statements]
    if kinds != ["AllocBuffer", "BufferStore", "For", "BufferStore"] or len(loops) != 1:
        return None
    allocation, start, nest, end = statements
    inner = []
    while isinstance(nest, tirx.For):
        inner.append(nest)
        nest = nest.body
    if not isinstance(nest, tirx.BufferStore) or type(nest.value).__name__ != "Add":
        return None
    total, before, term = allocation.buffer, nest.value.a, nest.value.b
    if not (is_load(before) and is_load(end.value) and _is_zero(start.value)):
        return None
    sums = start.buffer, nest.buffer, before.source, end.value.source
    if not all(buffer.same_as(total) for buffer in sums):
        return None
    mask, x = (term.condition, term.true_value) if type(term).__name__ == "Select" else (None, term)
    if mask is not None and not (is_load(mask) and _is_zero(term.false_value)):
        return None
    if not is_load(x) or any(str(b.ty.dtype) != "float32" for b in (total, x.source, end.buffer)):
        return None
    to, numbers = Linear(end.indices[0], loops), Linear(x.indices[0], [*loops, *inner])
    if not (to.found and numbers.found and is_dense(loops, to) and is_dense(inner, numbers)):
        return None
    rows, depth = (math.prod(int(loop.extent) for loop in nest) for nest in (loops, inner))
    arguments = [
        tirx.address_of(end.buffer[to.base]),
        tirx.address_of(x.source[numbers.base]),
        numbers.of[loops[0]],
    ]
    if mask is None:
        return Match([microkernel("odt_sum_rows", *arguments, rows, depth)])
    bits = Linear(mask.indices[0], [*loops, *inner])
    if not bits.found or bits.of != numbers.of:
        return None
    arguments += [tirx.address_of(mask.source[0]), bits.base, rows, depth]
    return Match([microkernel("odt_sum_rows_masked", *arguments)])


def _is_zero(expr) -> bool:
    if isinstance(expr, tirx.FloatImm):
        return float(expr.value) == 0
    rest = sym.Analyzer().simplify(expr)
    return isinstance(rest, tirx.IntImm) and int(rest) == 0


def _adding(loops, node) -> Match | None:
    """out[i] = clamp((a[i] * a_multiplier + b[i] * b_multiplier + offset) >> shift), for all i."""
    clamped = _clamped(node) if isinstance(node, tirx.BufferStore) else None
    if type(clamped).__name__ != "RShift":
        return None
    total, shift = clamped.a, clamped.b
    terms = extern_arguments(total, "odt_scaled_sum_narrow")
    if not terms:
        return None
    a, b = (term.value if type(term).__name__ == "Cast" else term for term in terms[::2][:2])
    places = [x.indices[0] for x in (node, a, b) if not isinstance(x, tirx.IntImm)]
    at = [Linear(index, loops) for index in places]
    whole = len(at) == 3 and all(linear.found and linear.constant == 0 for linear in at)
    if not whole or not is_dense(loops, *at):
        return None
    buffers = (node.buffer, a.source, b.source)
    count = math.prod(int(loop.extent) for loop in loops)
    arguments = [tirx.address_of(buffer[0]) for buffer in buffers]
    return Match(
        [microkernel("odt_add_s8", *arguments, terms[1], terms[3], terms[4], shift, count)]
    )


def _tile(loops, to: Linear, sums: Linear, tables) -> tuple[int, int, int, int] | None:
    """(stride, step, rows, columns) of a tile of results; step is 1 for a channel a row."""
    still = [loop for loop in loops if not any(linear.of[loop] for linear in tables)]
    inner = [loop for loop in still if sums.of[loop] == 1 and to.of[loop] == 1]
    outer = [loop for loop in loops if loop not in inner]
    if len(inner) > 1 or len(outer) > 1:
        return None
    count = int(inner[0].extent) if inner else 1
    rows = int(outer[0].extent) if outer else 1
    stride = to.of[outer[0]] if outer else count
    steps = {linear.of[outer[0]] if outer else 0 for linear in tables} or {0}
    if len(steps) > 1 or stride < count or any(sums.of[loop] != count for loop in outer):
        return None
    return stride, steps.pop(), rows, count


def _divides(divisor: int, expr) -> bool:
    rest = sym.Analyzer().simplify(tirx.truncmod(expr, divisor))
    return isinstance(rest, tirx.IntImm) and int(rest) == 0


def _statements(statements) -> tuple | None:
    """(store of codes, store of their mask or None, operands) of a nest's innermost statements."""
    if len(statements) == 1 and isinstance(statements[0], tirx.BufferStore):
        (out,) = statements
        clamped = _clamped(out)
        operands = clamped is not None and _operands(clamped)
        return (out, None, operands) if operands else None
    if [type(s).__name__ for s in statements] != ["AllocBuffer", *["BufferStore"] * 3]:
        return None
    _, code, out, mask = statements
    operands, clamped = _operands(code.value), _clamped(out)
    inside = extern_arguments(mask.value, "odt_is_int8")
    if not (operands and inside) or clamped is None:
        return None
    codes = all(is_load(x) and x.source.same_as(code.buffer) for x in (clamped, inside[0]))
    return (out, mask, operands) if codes else None


def _clamped(store):
    """x of ``int8(odt_clamp8(x))``."""
    value = store.value
    if type(value).__name__ != "Cast" or str(store.buffer.ty.dtype) != "int8":
        return None
    found = extern_arguments(value.value, "odt_clamp8")
    return found[0] if found else None


def _operands(code) -> tuple | None:
    """(acc, bias, multiplier, shift, offset) of ``odt_requantize_high(acc + bias, ...)``."""
    found = extern_arguments(code, "odt_requantize_high")
    if not found or type(found[0]).__name__ != "Add":
        return None
    total, multiplier, shift, offset = found
    loads = [total.a, total.b, multiplier, shift]
    if not all(is_load(load) for load in loads) or not isinstance(offset, tirx.IntImm):
        return None
    return (*loads, int(offset))
