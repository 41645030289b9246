"""Loop nests that fill a microkernel's operands, and the calls that stand for them."""

from __future__ import annotations

import tvm
from tvm import sym, tirx
from tvm.ir import Call

from .microkernels import (
    Columns,
    Leaf,
    Linear,
    Match,
    Taps,
    extent_of,
    extern_arguments,
    is_dense,
    is_load,
    masked_of,
    microkernel,
    uncast,
)


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
        whole = extent_of(rows) == order.rows and extent_of(taps) == order.depth
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
    if extent_of(rows) != order.rows or extent_of(taps) != order.depth:
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
    sizes = extent_of(rows), extent_of(taps)
    target = tirx.address_of(leaf.store.buffer[0])
    return Match([microkernel("odt_peak_planes", target, *planes, *sizes)])


def _scaled_planes(leaf: Leaf, value, rows, taps):
    """(x, stride, scale) of ``x[k * stride + p] * scale[k]``, p over `rows`, k over `taps`.

    A null pointer stands for scales of 1.
    """
    factors = [value.a, value.b] if type(value).__name__ == "Mul" else [value]
    if not all(is_load(f) and str(f.source.ty.dtype) == "float32" for f in factors):
        return None
    x, *scales = (Linear(load.indices[0], leaf.loops) for load in factors)
    if not (x.found and is_dense(rows, x)):
        return None
    stride = x.of[taps[-1]] if taps else extent_of(rows)
    if stride < extent_of(rows) or not is_dense(taps, x, step=stride):
        return None
    for scale in scales:
        if not (scale.found and is_dense(taps, scale)) or any(scale.of[p] for p in rows):
            return None
    scale = [tirx.address_of(f.source[s.base]) for f, s in zip(factors[1:], scales, strict=True)]
    return tirx.address_of(factors[0].source[x.base]), stride, *(scale or [0])


def _sizes(order: Columns) -> list:
    return [tirx.const(n, "int32") for n in (order.rows, order.depth)]


def _filtered(leaf: Leaf, order: Taps):
    """taps[i * width + j] = int16(w), w as it lies or turned by 180 degrees."""
    load = uncast(leaf.store.value)
    if type(load).__name__ != "TensorLoad" or str(load.source.ty.dtype) != "int8":
        return None
    index, w = (Linear(i, leaf.loops) for i in (leaf.store.indices[0], load.indices[0]))
    if not (index.found and w.found and index.constant == 0):
        return None
    size = order.height * order.width
    if not is_dense(leaf.loops, index) or extent_of(leaf.loops) != size:
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


def codes_on_grid(leaf: Leaf) -> Match | None:
    """plane[r * pitch + s] = odt_block_code(x[...], factor) on a grid of positions, 0 elsewhere."""
    value, conditions = leaf.store.value, []
    if isinstance(value, Call) and value.op.name.endswith("if_then_else"):
        condition, value, border = value.args
        if not (isinstance(border, tirx.IntImm) and int(border) == 0):
            return None
        conditions = _conjuncts(condition)
    arguments = extern_arguments(value, "odt_block_code")
    plane = Linear(leaf.store.indices[0], leaf.loops)
    if not arguments or not all(map(is_load, arguments)) or len(leaf.loops) != 2:
        return None
    (load, factor), (row, column) = arguments, leaf.loops
    down, across = (_Grid(loop) for loop in leaf.loops)
    if not all(down.take(test) or across.take(test) for test in conditions):
        return None
    pitch = (int(column.extent) + 1) // 2 * 2
    if not plane.found or (plane.constant, plane.of[row], plane.of[column]) != (0, pitch, 1):
        return None
    x = Linear(_at_points(load.indices[0], (down, across)), leaf.loops)
    scales = Linear(factor.indices[0], leaf.loops)
    if not (down.count and across.count and x.found and x.of[column] == 1 and scales.found):
        return None
    if any(scales.of.values()):
        return None
    call = microkernel(
        "odt_block_plane",
        tirx.address_of(leaf.store.buffer[0]),
        *(int(row.extent), int(column.extent), down.first, across.first, down.step, across.step),
        tirx.address_of(load.source[x.base]),
        *(x.of[row], down.count, across.count, factor),
    )
    return Match([call])


class _Grid:
    """The values of a loop's variable for which conditions hold: first, first + step, ..."""

    def __init__(self, loop):
        self.loop, self.bounds = loop, {loop: [0, int(loop.extent)]}
        self.step, self.residue = 1, 0

    def take(self, test) -> bool:
        """Whether `test` is about this loop alone, and understood."""
        if _narrow(self.bounds, test):
            return True
        if type(test).__name__ != "EQ" or type(test.a).__name__ not in ("Mod", "FloorMod"):
            return False
        position = Linear(test.a.a, (self.loop,))
        if not position.found or position.constant is None or position.of[self.loop] != 1:
            return False
        if not isinstance(test.b, tirx.IntImm) or int(test.b) or self.step != 1:
            return False
        self.step = int(test.a.b)
        self.residue = -position.constant % self.step
        return True

    @property
    def first(self) -> int:
        low = self.bounds[self.loop][0]
        return low + (self.residue - low) % self.step

    @property
    def count(self) -> int:
        return len(range(self.first, self.bounds[self.loop][1], self.step))


def _at_points(index, grids):
    """`index`, with loop variables that count the points of their grids."""
    analyzer = sym.Analyzer()
    for grid in grids:
        analyzer.bind(grid.loop.loop_var, tvm.ir.Range(0, max(1, grid.count)))

    def rebuilt(expr):
        for grid in grids:
            if expr.same_as(grid.loop.loop_var):
                return expr * grid.step + grid.first
        if type(expr).__name__ == "RShift":
            return tirx.floordiv(rebuilt(expr.a), 1 << int(expr.b))
        if type(expr).__name__ in ("Add", "Sub", "Mul", "Div", "FloorDiv"):
            return type(expr)(rebuilt(expr.a), rebuilt(expr.b))
        return expr

    return analyzer.simplify(rebuilt(index))


def masking(leaf: Leaf) -> Match | None:
    """gathered[k * rows + p] = mask[...] ? x[k * stride + p] : 0; the mask is read like x."""
    mask, load = masked_of(leaf.store)
    if not is_load(load) or len(leaf.loops) > 2:
        return None
    to, x, bits = (Linear(at.indices[0], leaf.loops) for at in (leaf.store, load, mask))
    if not (to.found and x.found and bits.found) or to.constant != 0:
        return None
    rows = [loop for loop in leaf.loops if to.of[loop] == 1]
    taps = [loop for loop in leaf.loops if loop not in rows]
    count = extent_of(rows)
    stride = x.of[taps[0]] if taps else count
    if len(rows) > 1 or stride < count or any(x.of[loop] != bits.of[loop] for loop in leaf.loops):
        return None
    if not (is_dense(rows, to, x) and is_dense(taps, to, step=count)):
        return None
    call = microkernel(
        "odt_mask_planes",
        tirx.address_of(leaf.store.buffer[0]),
        tirx.address_of(load.source[x.base]),
        stride,
        tirx.address_of(mask.source[0]),
        *(bits.base, count, extent_of(taps)),
    )
    return Match([call])


def scaling(leaf: Leaf) -> Match | None:
    """filters[k * width + j] = float32(w) * scale[k]."""
    value = leaf.store.value
    if type(value).__name__ != "Mul" or type(value.b).__name__ != "TensorLoad":
        return None
    load, scale = uncast(uncast(value.a)), value.b
    if type(load).__name__ != "TensorLoad" or str(load.source.ty.dtype) != "int8":
        return None
    to, w, s = (Linear(x.indices[0], leaf.loops) for x in (leaf.store, load, scale))
    if not (to.found and w.found and s.found) or to.constant != 0 or len(leaf.loops) > 2:
        return None
    taps = [loop for loop in leaf.loops if s.of[loop] == 1]
    outputs = [loop for loop in leaf.loops if loop not in taps]
    width = extent_of(outputs)
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
        *(width, extent_of(taps)),
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
    """(load, zero point) of ``int16(int32(x) - zero_point)`` with int8 x; None for other values."""
    if type(value).__name__ != "Cast":
        return None
    value, zero_point = value.value, 0
    if type(value).__name__ in ("Add", "Sub") and isinstance(value.b, tirx.IntImm):
        sign = 1 if type(value).__name__ == "Sub" else -1
        value, zero_point = value.a, sign * int(value.b)
    load = uncast(value)
    if type(load).__name__ != "TensorLoad" or str(load.source.ty.dtype) != "int8":
        return None
    return load, zero_point
