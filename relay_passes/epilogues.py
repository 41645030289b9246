"""How kernels end, as runtime/c/include/odt_epilogue.h does it: from accumulators to codes."""

from __future__ import annotations

from tvm import tirx
from tvm.ir import Call

from .microkernels import Leaf, Linear, Match, microkernel


def requantization(leaf: Leaf, sizes: dict) -> Match | None:
    """out[r * stride + q] = clamp(requantize(acc[r * inner + q] + bias[r], ...)).

    `sizes` are the elements of scratch buffers; the accumulators are such a buffer.
    """
    operands = _operands(leaf.store)
    if operands is None or len(leaf.loops) > 2:
        return None
    acc, *vectors, offset = operands
    if acc.source not in sizes or leaf.store.buffer in sizes:
        return None
    out, sums = (Linear(at.indices[0], leaf.loops) for at in (leaf.store, acc))
    tables = [Linear(load.indices[0], leaf.loops) for load in vectors]
    if not all(linear.found for linear in (out, sums, *tables)) or sums.constant != 0:
        return None
    inner = [loop for loop in leaf.loops if sums.of[loop] == 1 and out.of[loop] == 1]
    outer = [loop for loop in leaf.loops if loop not in inner]
    if len(inner) != 1 or len(outer) > 1:
        return None
    count = int(inner[0].extent)
    rows = int(outer[0].extent) if outer else 1
    stride = out.of[outer[0]] if outer else count
    steps = {linear.of[outer[0]] if outer else 0 for linear in tables}
    if any(linear.of[inner[0]] for linear in tables) or len(steps) > 1:
        return None
    if stride < count or any(sums.of[loop] != count for loop in outer):
        return None
    (step,) = steps
    call = microkernel(
        "odt_requantize_tile",
        tirx.address_of(leaf.store.buffer[out.base]),
        stride,
        tirx.address_of(acc.source[0]),
        *(
            tirx.address_of(load.source[linear.base])
            for load, linear in zip(vectors, tables, strict=True)
        ),
        *(step, offset, rows, count),
    )
    return Match([call])


def _operands(store) -> tuple | None:
    """(acc, bias, multiplier, shift, offset) of the store's value, if it has that form."""
    value = store.value
    if type(value).__name__ != "Cast" or str(store.buffer.ty.dtype) != "int8":
        return None
    clamped = _arguments(value.value, "odt_clamp8")
    found = _arguments(clamped[0], "odt_requantize_high") if clamped else None
    if found is None or type(found[0]).__name__ != "Add":
        return None
    total, multiplier, shift, offset = found
    loads = [total.a, total.b, multiplier, shift]
    if any(type(load).__name__ != "TensorLoad" for load in loads):
        return None
    return (*loads, int(offset)) if isinstance(offset, tirx.IntImm) else None


def _arguments(expr, function: str) -> list | None:
    """Of a call of `function`; None if `expr` is none."""
    is_extern = isinstance(expr, Call) and expr.op.name.endswith("call_pure_extern")
    if not is_extern or expr.args[0].value != function:
        return None
    return list(expr.args[1:])
