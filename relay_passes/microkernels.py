"""The loop nests that runtime/c/include/odt_*.h computes, and the calls that stand for them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from tvm import sym, tirx
from tvm.ir import Call


MAX_FLOAT_OUTPUTS = 4  # of odt_dot_f32


@dataclass(frozen=True)
class Leaf:
    """One store of a nest, and the loops around it, outermost first."""

    loops: tuple
    store: tirx.BufferStore


@dataclass(frozen=True)
class Match:
    """Calls that stand for a nest, and the orders of the scratch buffers that they assume."""

    calls: list
    orders: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Columns:
    """odt_column's order of a matrix."""

    rows: int
    depth: int


@dataclass(frozen=True)
class Taps:
    """odt_taps' order of a filter."""

    height: int
    width: int

    @property
    def elements(self) -> int:
        """Of the largest ODT_TAPS of all targets."""
        return 4 * self.height * max(1, self.width // 2)


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


def accumulation(leaves: list[Leaf], sizes: dict) -> Match | None:
    """Calls for ``acc[...] += a[...] * b[...]``; `sizes` are the elements of scratch buffers."""
    matches = [_accumulated(leaf, sizes) for leaf in leaves]
    if not matches or None in matches:
        return None
    orders = matches[0].orders
    if any(match.orders != orders for match in matches):
        return None
    return Match([call for match in matches for call in match.calls], orders)


def _accumulated(leaf: Leaf, sizes: dict) -> Match | None:
    loads = _product(leaf.store)
    if loads is None or leaf.store.buffer not in sizes:
        return None
    sums = Linear(leaf.store.indices[0], leaf.loops)
    a, b = (Linear(load.indices[0], leaf.loops) for load in loads)
    if not (sums.found and a.found and b.found) or sums.constant != 0:
        return None
    dtypes = tuple(str(load.source.ty.dtype) for load in loads)
    scratch = tuple(load.source in sizes for load in loads)
    if dtypes == ("int16", "int8") and scratch[0]:
        return _dot(leaf, sizes, sums, a, b)
    if dtypes == ("int16", "int16") and all(scratch):
        return _dot_columns(leaf, sizes, sums, a, b) or _window(leaf, sizes, sums, a, b)
    if dtypes == ("float32", "float32") and scratch[1]:
        return _dot_f32(leaf, sums, a, b) or _window(leaf, sizes, sums, a, b)
    return None


def _product(store):
    """The two loads of ``acc[i] = acc[i] + a * b``, both of them cast or neither."""
    value = store.value
    if type(value).__name__ != "Add" or type(value.b).__name__ != "Mul":
        return None
    total, factors = value.a, [_uncast(value.b.a), _uncast(value.b.b)]
    if type(total).__name__ != "TensorLoad" or not total.source.same_as(store.buffer):
        return None
    if any(type(factor).__name__ != "TensorLoad" for factor in factors):
        return None
    return factors


def _uncast(expr):
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


def _extent(loops) -> int:
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
    height, width, length = _extent(rows), _extent(outputs), _extent(taps)
    depth, rest = divmod(sizes[left.source], height)
    if rest or any(sums.of[p] != 1 or a.of[p] != depth for p in rows):
        return None
    if any(sums.of[o] != height for o in outputs):
        return None
    stride = b.of[outputs[0]] if outputs else 0
    call = microkernel(
        "odt_dot",
        tirx.address_of(leaf.store.buffer[0]),
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
    height, width, depth = _extent(rows), _extent(outputs), _extent(taps)
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
        tirx.address_of(leaf.store.buffer[0]),
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
    height, width = _extent(rows), _extent(outputs)
    if width > MAX_FLOAT_OUTPUTS or any(sums.of[p] != 1 or a.of[p] != 1 for p in rows):
        return None
    if any(sums.of[o] != height or b.of[o] != 1 for o in outputs):
        return None
    stride = a.of[taps[-1]] if taps else height
    if stride < height or not is_dense(taps, b, step=width) or not is_dense(taps, a, step=stride):
        return None
    call = microkernel(
        "odt_dot_f32",
        tirx.address_of(leaf.store.buffer[0]),
        tirx.address_of(left.source[a.base]),
        stride,
        tirx.address_of(right.source[0]),
        *(height, width, _extent(taps)),
    )
    return Match([call])


def _window(leaf, sizes, sums, a, b) -> Match | None:
    """`a` is a plane, `b` a filter."""
    roles = _roles(leaf, sums, a, b)
    if roles is None:
        return None
    pixels, outputs, taps = roles
    if outputs or len(taps) > 2 or b.constant != 0 or not is_dense(taps, b):
        return None
    left, right = _product(leaf.store)
    # a loop of extent 1 is gone: what is left moves along a row of the plane, or down
    down = taps[:-1] if len(taps) == 2 else [t for t in taps if a.of[t] != 1]
    across = [t for t in taps if t not in down]
    height, width = _extent(down), _extent(across)
    if height * width != sizes[right.source] or any(a.of[t] != 1 for t in across):
        return None
    pitch = a.of[down[0]] if down else 0
    tile = _tile(pixels, sums, a, pitch)
    if tile is None:
        return None
    stride, rows, count = tile
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


def staging(leaves: list[Leaf], order) -> Match | None:
    """Calls, or stores, that fill a scratch buffer in a private order."""
    if isinstance(order, Columns):
        stores = [_packed(leaf, order) for leaf in leaves]
    elif len(leaves) == 1:
        stores = [_filtered(leaves[0], order)]
    else:
        return None
    return None if None in stores else Match(stores)


def _packed(leaf: Leaf, order: Columns):
    """columns[p * depth + k] = int16(int32(x) - zero_point), or anything else."""
    store = leaf.store
    index = Linear(store.indices[0], leaf.loops)
    if not index.found or index.constant is None:
        return None
    rows = [loop for loop in leaf.loops if index.of[loop] == order.depth and order.rows > 1]
    taps = [loop for loop in leaf.loops if loop not in rows]
    source = _centred(store.value)
    begin = index.constant
    blocks = _packed_blocks(leaf, order, index, rows, taps)
    if blocks is not None:
        return blocks
    if source is not None and begin == 0 and is_dense(taps, index):
        load, zero_point = source
        x = Linear(load.indices[0], leaf.loops)
        whole = _extent(rows) == order.rows and _extent(taps) == order.depth
        if whole and x.found and all(x.of[p] == 1 for p in rows) and len(taps) <= 1:
            return microkernel(
                "odt_pack",
                tirx.address_of(store.buffer[0]),
                tirx.address_of(load.source[x.base]),
                *(x.of[taps[0]] if taps else 0, zero_point, order.rows, order.depth),
            )
    first, offset = divmod(begin, order.depth)
    p = sum((loop.loop_var for loop in rows), start=tirx.const(first, "int32"))
    k = sum((loop.loop_var * index.of[loop] for loop in taps), start=tirx.const(offset, "int32"))
    simplify = sym.Analyzer().simplify
    at = tirx.call_pure_extern("int32", "odt_column", simplify(p), simplify(k), *_sizes(order))
    moved = tirx.BufferStore(store.buffer, store.value, [at])
    for loop in reversed(leaf.loops):
        moved = tirx.For(loop.loop_var, loop.min, loop.extent, loop.kind, moved)
    return moved


def _packed_blocks(leaf: Leaf, order: Columns, index, rows, taps):
    """columns[p * depth + k] = odt_block_code(x[k * stride + p] * scale[k], factor[p])."""
    arguments = extern_arguments(leaf.store.value, "odt_block_code")
    planes = arguments and _scaled_planes(leaf, arguments[0], rows, taps)
    if not planes or index.constant != 0 or not is_dense(taps, index):
        return None
    if _extent(rows) != order.rows or _extent(taps) != order.depth:
        return None
    factor = arguments[1]
    at = Linear(factor.indices[0], leaf.loops) if is_load(factor) else None
    if at is None or not at.found or at.constant != 0:
        return None
    if not is_dense(rows, at) or any(at.of[k] for k in taps):
        return None
    return microkernel(
        "odt_pack_planes",
        tirx.address_of(leaf.store.buffer[0]),
        *planes,
        tirx.address_of(factor.source[0]),
        *(order.rows, order.depth),
    )


def peaks(leaf: Leaf) -> Match | None:
    """peak[p] = odt_peak(peak[p], x[k * stride + p] * scale[k])."""
    arguments = extern_arguments(leaf.store.value, "odt_peak")
    if not arguments or not is_load(arguments[0]):
        return None
    to = Linear(leaf.store.indices[0], leaf.loops)
    if not arguments[0].source.same_as(leaf.store.buffer) or not to.found or to.constant != 0:
        return None
    rows = [loop for loop in leaf.loops if to.of[loop]]
    taps = [loop for loop in leaf.loops if loop not in rows]
    planes = _scaled_planes(leaf, arguments[1], rows, taps)
    if planes is None or not is_dense(rows, to):
        return None
    sizes = _extent(rows), _extent(taps)
    target = tirx.address_of(leaf.store.buffer[0])
    return Match([microkernel("odt_peak_planes", target, *planes, *sizes)])


def _scaled_planes(leaf: Leaf, value, rows, taps):
    """(x, stride, scale) of ``x[k * stride + p] * scale[k]``, p over `rows`, k over `taps`."""
    if type(value).__name__ != "Mul" or not (is_load(value.a) and is_load(value.b)):
        return None
    x, scale = (Linear(load.indices[0], leaf.loops) for load in (value.a, value.b))
    if not (x.found and scale.found) or len(taps) > 1 or any(scale.of[p] for p in rows):
        return None
    if not (is_dense(rows, x) and is_dense(taps, scale)):
        return None
    if str(value.a.source.ty.dtype) != "float32":
        return None
    stride = x.of[taps[0]] if taps else _extent(rows)
    if stride < _extent(rows):
        return None
    return (
        tirx.address_of(value.a.source[x.base]),
        stride,
        tirx.address_of(value.b.source[scale.base]),
    )


def is_load(expr) -> bool:
    return type(expr).__name__ == "TensorLoad"


def extern_arguments(expr, function: str):
    """The arguments of a call of `function`, or None."""
    if not isinstance(expr, Call) or not expr.op.name.endswith("call_pure_extern"):
        return None
    name, *arguments = expr.args
    return arguments if name.value == function else None


def _sizes(order: Columns) -> list:
    return [tirx.const(n, "int32") for n in (order.rows, order.depth)]


def _filtered(leaf: Leaf, order: Taps):
    """taps[i * width + j] = int16(w), w as it lies or turned by 180 degrees."""
    load = _uncast(leaf.store.value)
    if type(load).__name__ != "TensorLoad" or str(load.source.ty.dtype) != "int8":
        return None
    index, w = (Linear(i, leaf.loops) for i in (leaf.store.indices[0], load.indices[0]))
    if not (index.found and w.found and index.constant == 0):
        return None
    size = order.height * order.width
    if not is_dense(leaf.loops, index) or _extent(leaf.loops) != size:
        return None
    turned = all(w.of[loop] == -index.of[loop] for loop in leaf.loops)
    if not turned and not is_dense(leaf.loops, w):
        return None
    first = w.base - (size - 1) if turned else w.base
    source = tirx.address_of(load.source[sym.Analyzer().simplify(first)])
    function = "odt_taps_flipped" if turned and size > 1 else "odt_taps"
    target = tirx.address_of(leaf.store.buffer[0])
    return microkernel(function, target, source, order.height, order.width)


def widening(leaf: Leaf) -> Match | None:
    """plane[r * pitch + s] = int16(int32(x) - zero_point) inside the image, 0 in its border."""
    value, conditions = leaf.store.value, []
    if isinstance(value, Call) and value.op.name.endswith("if_then_else"):
        condition, value, border = value.args
        if not (isinstance(border, tirx.IntImm) and int(border) == 0):
            return None
        conditions = _conjuncts(condition)
    source = _centred(value)
    if source is None or len(leaf.loops) != 2 or str(leaf.store.buffer.ty.dtype) != "int16":
        return None
    load, zero_point = source
    plane, x = (Linear(i, leaf.loops) for i in (leaf.store.indices[0], load.indices[0]))
    row, column = leaf.loops
    bounds = {loop: [0, int(loop.extent)] for loop in leaf.loops}
    if not (plane.found and x.found and all(_narrow(bounds, test) for test in conditions)):
        return None
    (top, bottom), (left, right) = bounds[row], bounds[column]
    height, width = int(row.extent), int(column.extent)
    pitch = (width + 1) // 2 * 2
    if (plane.constant, plane.of[row], plane.of[column]) != (0, pitch, 1):
        return None
    if (x.of[row], x.of[column]) != (right - left, 1):
        return None
    first = sym.Analyzer().simplify(x.base + (top * x.of[row] + left))
    call = microkernel(
        "odt_widen_plane",
        tirx.address_of(leaf.store.buffer[0]),
        tirx.address_of(load.source[first]),
        *(bottom - top, right - left, top, left, height - bottom, width - right, zero_point),
    )
    return Match([call])


def scaling(leaf: Leaf) -> Match | None:
    """filters[k * width + j] = float32(w) * scale[k]."""
    value = leaf.store.value
    if type(value).__name__ != "Mul" or type(value.b).__name__ != "TensorLoad":
        return None
    load, scale = _uncast(_uncast(value.a)), value.b
    if type(load).__name__ != "TensorLoad" or str(load.source.ty.dtype) != "int8":
        return None
    to, w, s = (Linear(x.indices[0], leaf.loops) for x in (leaf.store, load, scale))
    if not (to.found and w.found and s.found) or to.constant != 0 or len(leaf.loops) > 2:
        return None
    taps = [loop for loop in leaf.loops if s.of[loop] == 1]
    outputs = [loop for loop in leaf.loops if loop not in taps]
    width = _extent(outputs)
    if len(taps) != 1 or to.of[taps[0]] != width or w.of[taps[0]] < width:
        return None
    if any((to.of[j], w.of[j], s.of[j]) != (1, 1, 0) for j in outputs):
        return None
    call = microkernel(
        "odt_scale_columns_f32",
        tirx.address_of(leaf.store.buffer[0]),
        tirx.address_of(load.source[w.base]),
        w.of[taps[0]],
        tirx.address_of(scale.source[s.base]),
        *(width, _extent(taps)),
    )
    return Match([call])


def _conjuncts(condition) -> list:
    if type(condition).__name__ == "And":
        return [*_conjuncts(condition.a), *_conjuncts(condition.b)]
    return [condition]


def _narrow(bounds: dict, test) -> bool:
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


def _centred(value):
    """(load, zero point) of ``int16(int32(x) - zero_point)`` with int8 x; None for anything else."""
    if type(value).__name__ != "Cast":
        return None
    value, zero_point = value.value, 0
    if type(value).__name__ in ("Add", "Sub") and isinstance(value.b, tirx.IntImm):
        sign = 1 if type(value).__name__ == "Sub" else -1
        value, zero_point = value.a, sign * int(value.b)
    load = _uncast(value)
    if type(load).__name__ != "TensorLoad" or str(load.source.ty.dtype) != "int8":
        return None
    return load, zero_point


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
    return 0
