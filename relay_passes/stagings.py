"""Loop nests that fill a microkernel's operands, and the calls that stand for them."""

from __future__ import annotations

from tvm import sym, tirx

from .block_stagings import codes_on_grid, packed_blocks
from .microkernels import (
    Leaf,
    Linear,
    Match,
    extent_of,
    inside,
    is_dense,
    is_load,
    masked_of,
    microkernel,
    narrow,
    uncast,
)
from .orders import Columns, PhaseTaps, Spread, Taps, even


def staging(leaves: list[Leaf], order) -> Match | None:
    """Calls, or stores, that fill a scratch buffer in a private order."""
    if isinstance(order, Columns):
        stores = [_packed(leaf, order) for leaf in leaves]
    elif isinstance(order, Spread):
        return codes_on_grid(leaves[0], order) if len(leaves) == 1 else None
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
    blocks = packed_blocks(leaf, order, index, rows, taps)
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
        if whole and x.found and is_dense(taps, x) and len(rows) == 1:
            return microkernel(
                "odt_pack_rows",
                tirx.address_of(store.buffer[0]),
                tirx.address_of(load.source[x.base]),
                *(x.of[rows[0]], zero_point, order.rows, order.depth),
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


def _sizes(order: Columns) -> list:
    return [tirx.const(n, "int32") for n in (order.rows, order.depth)]


def _filtered(leaf: Leaf, order: Taps | PhaseTaps):
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
    target = tirx.address_of(leaf.store.buffer[0])
    if isinstance(order, PhaseTaps):
        sizes = order.height, order.width, order.down, order.across, order.column
        return microkernel("odt_taps_phases", target, source, int(turned), *sizes)
    function = "odt_taps_flipped" if turned and size > 1 else "odt_taps"
    return microkernel(function, target, source, order.height, order.width)


def widening(leaf: Leaf) -> Match | None:
    """plane[r * pitch + s] = int16(int32(x) - zero_point) inside the image, 0 in its border."""
    value, conditions = inside(leaf.store.value)
    source = _centred(value)
    if source is None or len(leaf.loops) != 2 or str(leaf.store.buffer.ty.dtype) != "int16":
        return None
    load, zero_point = source
    plane, x = (Linear(i, leaf.loops) for i in (leaf.store.indices[0], load.indices[0]))
    row, column = leaf.loops
    bounds = {loop: [0, int(loop.extent)] for loop in leaf.loops}
    if not (plane.found and x.found and all(narrow(bounds, test) for test in conditions)):
        return None
    (top, bottom), (left, right) = bounds[row], bounds[column]
    height, width = int(row.extent), int(column.extent)
    pitch = even(width)
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


def clearing(leaf: Leaf) -> Match | None:
    """acc[i] = 0 for all i of a part, int32 or float32."""
    value, index = leaf.store.value, Linear(leaf.store.indices[0], leaf.loops)
    is_number = isinstance(value, tirx.IntImm | tirx.FloatImm)
    of_words = str(leaf.store.buffer.ty.dtype) in ("int32", "float32")
    if not (is_number and of_words) or float(value.value) != 0:
        return None
    if not leaf.loops or not index.found or not is_dense(leaf.loops, index):
        return None
    to = tirx.address_of(leaf.store.buffer[index.base])
    return Match([microkernel("odt_clear", to, extent_of(leaf.loops))])


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
