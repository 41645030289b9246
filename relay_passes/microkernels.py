"""The loop nests that runtime/c/include/odt_*.h computes, and the calls that stand for them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import tvm
from tvm import sym, tirx
from tvm.ir import Call

from .orders import Columns, PhaseTaps, Spread, Taps, even

MAX_FLOAT_OUTPUTS = 4  # of odt_dot_f32


@dataclass(frozen=True)
class Leaf:
    """One store of a nest, and the loops around it, outermost first.

    around : the loops that the nest itself is in.
    """

    loops: tuple
    store: tirx.BufferStore
    around: tuple = ()


@dataclass(frozen=True)
class Match:
    """Calls that stand for a nest, and the orders of the scratch buffers that they assume."""

    calls: list
    orders: dict = field(default_factory=dict)


class Linear:
    """An index as a sum: a coefficient for each loop around it, and the rest."""

    def __init__(self, index, loops):
        parts = sym.detect_linear_equation(index, [loop.loop_var for loop in loops])
        self.found = bool(parts) and all(isinstance(c, tirx.IntImm) for c in parts[:-1])
        if self.found:
            self.base = parts[-1]
            self.of = {loop: int(c) for loop, c in zip(loops, parts, strict=False)}

    @property
    def constant(self) -> int | None:
        return int(self.base) if isinstance(self.base, tirx.IntImm) else None


def accumulation(leaves: list[Leaf], sizes: dict, spread: dict) -> Match | None:
    """Calls for ``acc[...] += a[...] * b[...]``.

    sizes : the elements of scratch buffers; spread : the planes among them that are a `Spread`.
    """
    matches = [_accumulated(leaf, sizes, spread) for leaf in leaves]
    if not matches or None in matches:
        return None
    orders = matches[0].orders
    if any(match.orders != orders for match in matches):
        return None
    return Match([call for match in matches for call in match.calls], orders)


def _accumulated(leaf: Leaf, sizes: dict, spread: dict) -> Match | None:
    loads = _product(leaf.store)
    if loads is None or leaf.store.buffer not in sizes:
        return None
    sums = Linear(leaf.store.indices[0], leaf.loops)
    a, b = (Linear(load.indices[0], leaf.loops) for load in loads)
    if not (sums.found and a.found and b.found):
        return None
    dtypes = tuple(str(load.source.ty.dtype) for load in loads)
    scratch = tuple(load.source in sizes for load in loads)
    if dtypes == ("int16", "int8") and scratch[0]:
        return _dot(leaf, sizes, sums, a, b)
    if dtypes == ("int16", "int16") and all(scratch):
        return _dot_columns(leaf, sizes, sums, a, b) or _window(leaf, sizes, sums, a, b, spread)
    if dtypes == ("float32", "float32") and scratch[1]:
        return _dot_f32(leaf, sums, a, b) or _window(leaf, sizes, sums, a, b, spread)
    return None


def _product(store):
    """The two loads of ``acc[i] = acc[i] + a * b``, without their casts."""
    value = store.value
    if type(value).__name__ != "Add" or type(value.b).__name__ != "Mul":
        return None
    total, factors = value.a, [uncast(uncast(factor)) for factor in (value.b.a, value.b.b)]
    if type(total).__name__ != "TensorLoad" or not total.source.same_as(store.buffer):
        return None
    if any(type(factor).__name__ != "TensorLoad" for factor in factors):
        return None
    return factors


def uncast(expr):
    return expr.value if type(expr).__name__ == "Cast" else expr


def _roles(leaf: Leaf, sums: Linear, a: Linear, b: Linear):
    """The loops that move (sum and a), (sum and b), (a and b); None if one does neither."""
    rows, outputs, taps = [], [], []
    for loop in leaf.loops:
        moves = tuple(linear.of[loop] != 0 for linear in (sums, a, b))
        group = {(1, 1, 0): rows, (1, 0, 1): outputs, (0, 1, 1): taps}.get(tuple(map(int, moves)))
        if group is None:
            return None
        group.append(loop)
    return rows, outputs, taps


def extent_of(loops) -> int:
    return math.prod(int(loop.extent) for loop in loops)


def is_dense(loops, *linears, step: int = 1) -> bool:
    """Whether the loops, the last one fastest, walk each index in equal steps."""
    stride = step
    for loop in reversed(loops):
        if any(linear.of[loop] != stride for linear in linears):
            return False
        stride *= int(loop.extent)
    return True


def _dot(leaf, sizes, sums, a, b) -> Match | None:
    roles = _roles(leaf, sums, a, b)
    if roles is None:
        return None
    rows, outputs, taps = roles
    if len(rows) > 1 or len(outputs) > 1 or a.constant is None or not is_dense(taps, a, b):
        return None
    left, right = _product(leaf.store)
    height, width, length = extent_of(rows), extent_of(outputs), extent_of(taps)
    depth, rest = divmod(sizes[left.source], height)
    if rest or any(sums.of[p] != 1 or a.of[p] != depth for p in rows):
        return None
    if any(sums.of[o] != height for o in outputs):
        return None
    stride = b.of[outputs[0]] if outputs else 0
    call = microkernel(
        "odt_dot",
        tirx.address_of(leaf.store.buffer[sums.base]),
        tirx.address_of(left.source[0]),
        tirx.address_of(right.source[b.base]),
        *(stride, height, depth, a.constant, a.constant + length, width),
    )
    return Match([call], {left.source: Columns(height, depth)})


def _dot_columns(leaf, sizes, sums, a, b) -> Match | None:
    roles = _roles(leaf, sums, a, b)
    if roles is None:
        return None
    rows, outputs, taps = roles
    left, right = (load.source for load in _product(leaf.store))
    height, width, depth = extent_of(rows), extent_of(outputs), extent_of(taps)
    if not taps or (sizes[left], sizes[right]) != (height * depth, width * depth):
        return None
    if a.constant != 0 or b.constant != 0 or not is_dense(taps, a, b):
        return None
    if not (is_dense(rows, a, step=depth) and is_dense(rows, sums)):
        return None
    if not (is_dense(outputs, b, step=depth) and is_dense(outputs, sums, step=height)):
        return None
    call = microkernel(
        "odt_dot_columns",
        tirx.address_of(leaf.store.buffer[sums.base]),
        tirx.address_of(left[0]),
        tirx.address_of(right[0]),
        *(height, width, depth),
    )
    return Match([call], {left: Columns(height, depth), right: Columns(width, depth)})


def _dot_f32(leaf, sums, a, b) -> Match | None:
    roles = _roles(leaf, sums, a, b)
    if roles is None:
        return None
    rows, outputs, taps = roles
    if len(rows) > 1 or len(outputs) > 1 or b.constant != 0:
        return None
    left, right = _product(leaf.store)
    height, width = extent_of(rows), extent_of(outputs)
    if width > MAX_FLOAT_OUTPUTS or any(sums.of[p] != 1 or a.of[p] != 1 for p in rows):
        return None
    if any(sums.of[o] != height or b.of[o] != 1 for o in outputs):
        return None
    stride = a.of[taps[-1]] if taps else height
    if stride < height or not is_dense(taps, b, step=width) or not is_dense(taps, a, step=stride):
        return None
    call = microkernel(
        "odt_dot_f32",
        tirx.address_of(leaf.store.buffer[sums.base]),
        tirx.address_of(left.source[a.base]),
        stride,
        tirx.address_of(right.source[0]),
        *(height, width, extent_of(taps)),
    )
    return Match([call])


def _window(leaf, sizes, sums, a, b, spread: dict) -> Match | None:
    """`a` is a plane, `b` a filter."""
    roles = _roles(leaf, sums, a, b)
    if roles is None:
        return None
    pixels, outputs, taps = roles
    if outputs or len(taps) > 2 or b.constant != 0 or not is_dense(taps, b):
        return None
    if sums.constant != 0:
        return None
    left, right = _product(leaf.store)
    # a loop of extent 1 is gone: what is left moves along a row of the plane, or down
    down = taps[:-1] if len(taps) == 2 else [t for t in taps if a.of[t] != 1]
    across = [t for t in taps if t not in down]
    height, width = extent_of(down), extent_of(across)
    if height * width != sizes[right.source] or any(a.of[t] != 1 for t in across):
        return None
    pitch = a.of[down[0]] if down else 0
    tile = _tile(pixels, sums, a, pitch)
    if tile is None:
        return None
    stride, rows, count = tile
    plane = spread.get(left.source)
    phases = plane and _window_phases(leaf, plane, a, (height, width), tile)
    if phases:
        return phases
    floats = str(right.source.ty.dtype) == "float32"
    call = microkernel(
        "odt_window_f32" if floats else "odt_window",
        tirx.address_of(leaf.store.buffer[0]),
        tirx.address_of(left.source[a.base]),
        pitch,
        tirx.address_of(right.source[0]),
        *(height, width, stride, rows, count),
    )
    return Match([call], {} if floats else {right.source: Taps(height, width)})


def _window_phases(leaf, plane: Spread, a, taps, tile) -> Match | None:
    """The window over a plane whose zeros are not stored."""
    stride, rows, count = tile
    left, right = (load.source for load in _product(leaf.store))
    analyzer = sym.Analyzer()
    for loop in leaf.around:
        analyzer.bind(loop.loop_var, tvm.ir.Range.from_min_extent(loop.min, loop.extent))
    simplify = analyzer.simplify
    row, column = (
        simplify(operation(a.base, plane.pitch)) + step - first % step
        for operation, step, first in (
            (tirx.floordiv, plane.down, plane.top),
            (tirx.floormod, plane.across, plane.left),
        )
    )
    residue = simplify(tirx.floormod(column, 2 * plane.across))
    if stride > 1 or not plane.holds(*taps, count) or not isinstance(residue, tirx.IntImm):
        return None
    if not (Linear(row, leaf.around).found and Linear(column, leaf.around).found):
        return None  # a tile may lie in several rows of the plane
    order = PhaseTaps(*taps, plane.down, plane.across, int(residue))
    call = microkernel(
        "odt_window_phases",
        tirx.address_of(leaf.store.buffer[0]),
        tirx.address_of(left[0]),
        even(plane.stored[1]),
        tirx.address_of(right[0]),
        *(*taps, plane.down, plane.across, simplify(row), simplify(column), rows, count),
    )
    return Match([call], {left: plane, right: order})


def _tile(pixels, sums: Linear, a: Linear, pitch: int) -> tuple[int, int, int] | None:
    """(stride, rows, columns) of a window's results; `pitch` 0 where filters have one row."""
    if not is_dense(pixels, sums) or len(pixels) > 2:
        return None
    if len(pixels) == 2:
        row, column = pixels
        stride = a.of[column]
        whole = pitch and a.of[row] == stride * pitch
        return (stride, int(row.extent), int(column.extent)) if whole else None
    if not pixels:
        return 1, 1, 1
    step, count = a.of[pixels[0]], int(pixels[0].extent)
    if pitch and step % pitch == 0:
        return step // pitch, count, 1
    return step, 1, count


def inside(value) -> tuple:
    """(x, conditions) of a value that is x where all of those hold and 0 elsewhere."""
    if isinstance(value, Call) and value.op.name.endswith("if_then_else"):
        condition, x, border = value.args
        if isinstance(border, tirx.IntImm) and int(border) == 0:
            return x, _conjuncts(condition)
    return value, []


def _conjuncts(condition) -> list:
    """The tests that hold together where `condition` does."""
    if type(condition).__name__ == "And":
        return [*_conjuncts(condition.a), *_conjuncts(condition.b)]
    return [condition]


def narrow(bounds: dict, test) -> bool:
    """Apply a comparison of a loop variable with a constant to ``[first, end)``; whether it is."""
    kind = type(test).__name__
    if kind not in ("LE", "LT"):
        return False
    for loop, interval in bounds.items():
        if test.b.same_as(loop.loop_var) and isinstance(test.a, tirx.IntImm):
            interval[0] = max(interval[0], int(test.a) + (kind == "LT"))
            return True
        if test.a.same_as(loop.loop_var) and isinstance(test.b, tirx.IntImm):
            interval[1] = min(interval[1], int(test.b) + (kind == "LE"))
            return True
    return False


def is_load(expr) -> bool:
    return type(expr).__name__ == "TensorLoad"


def extern_arguments(expr, function: str):
    """The arguments of a call of `function`, or None."""
    if not isinstance(expr, Call) or not expr.op.name.endswith("call_pure_extern"):
        return None
    name, *arguments = expr.args
    return arguments if name.value == function else None


def masked_of(store) -> tuple:
    """(mask, x) of a float32 ``mask ? x : 0``; (None, None) for anything else."""
    value = getattr(store, "value", None)
    if type(value).__name__ != "Select" or str(store.buffer.ty.dtype) != "float32":
        return None, None
    mask, zero = value.condition, value.false_value
    if not (is_load(mask) and isinstance(zero, tirx.FloatImm) and float(zero) == 0):
        return None, None
    booleans = str(mask.source.ty.dtype) == "bool"
    return (mask, value.true_value) if booleans else (None, None)


def microkernel(name: str, *arguments):
    return tirx.Evaluate(tirx.call_extern("int32", name, *arguments))


def macs_of(call) -> int:
    """Multiply-accumulates of one call of a microkernel; 0 for one that only moves data."""
    name, *arguments = call.args
    sizes = [int(a) if isinstance(a, tirx.IntImm) else 0 for a in arguments]
    if name.value == "odt_dot":
        _, _, _, _, rows, _, begin, end, outputs = sizes
        return rows * (end - begin) * outputs
    if name.value == "odt_dot_f32":
        _, _, _, _, rows, outputs, depth = sizes
        return rows * outputs * depth
    if name.value == "odt_dot_columns":
        return math.prod(sizes[3:])
    if name.value in ("odt_window", "odt_window_f32"):
        _, _, _, _, height, width, _, rows, count = sizes
        return height * width * rows * count
    if name.value == "odt_window_phases":
        _, _, _, _, height, width, down, across, _, _, rows, count = sizes
        return height * width * rows * count // (down * across)
    return 0
