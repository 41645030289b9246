"""Schedules of convolutions around microkernels: a tile of the result at a time.

Each stages an operand as int16 (see `ops.staging`), then accumulates a small tile of the result
from it, then runs what follows the convolution on that tile. `SelectMicrokernels` turns the staging
and the accumulation into calls of the runtime; what is left are the loops over tiles.

``choose(schedule, name, candidates, default)`` decides every tile size: by default the last
argument, while tuning a sample that MetaSchedule records. Candidates divide the extents, so that no
tile is ragged.
"""

from __future__ import annotations

import math
from functools import partial

from tvm import tirx
from tvm.ir import Call

from .graph import tensor_bytes
from .in_place import operands
from .microkernels import MAX_FLOAT_OUTPUTS
from .ops.staging import COLUMNS, FACTOR, FILTERS, GATHERED, PEAK, PLANE, STAGES, TAPS, UNIT

_BLOCKS = (UNIT, FACTOR, PEAK, GATHERED)  # consumers first
# of a tile: more accumulators are no better, and take scratch
MAX_ROWS = 32
MAX_SIDE = 16
MAX_FLOAT_ROWS = 64
MAX_UNROLLED = 32
MAX_OUTPUTS = 16
MAX_BLOCK_ROWS = 64  # of the columns of integer gradients
# a staged operand takes so many bytes, or this part of what the kernel reads and writes
SCRATCH_BYTES, SCRATCH_PART = 1024, 4
# what a kernel may have: AMPLE scratch where that raises no peak
NONE, LITTLE, AMPLE = range(3)


def by_default(_schedule, _name: str, _candidates: list[int], default: int) -> int:
    """The choice of a schedule that is not tuned."""
    return default


def schedule_columns(schedule, choose, scratch: int) -> None:
    """A convolution whose every output reads every input channel of its group, or its gradient.

    for each tile of columns: stage them; for each tile of outputs: stage their filters where those
    are computed, accumulate, finish.
    """
    accumulator = schedule.get_sblock("acc")
    driver, *others = _readers(schedule, accumulator)  # its loops become the kernel's
    leading = _spatial_axes(schedule, accumulator) - 2
    loops = schedule.get_loops(driver)
    floats = str(schedule.get(accumulator).writes[0].source.ty.dtype) == "float32"
    row_limits = (MAX_FLOAT_ROWS, MAX_FLOAT_ROWS) if floats else (4, MAX_ROWS)
    taps = _shape(schedule, COLUMNS)[2:-1] if floats else _shape(schedule, COLUMNS)[3:]
    row_bytes = math.prod(taps) * (4 if floats else 2)
    outer, channel = loops[:leading], loops[leading]
    if PEAK in _names(schedule):
        row_limits = MAX_BLOCK_ROWS, MAX_BLOCK_ROWS  # each tile packs all weights again
        row_bytes += 0 if _is_copy(schedule, GATHERED) else 2 * row_bytes
        group, channel = schedule.split(channel, _shape(schedule, FILTERS)[:2])
        outer = [*outer, group]
    wanted_rows = _fitting(schedule, COLUMNS, row_limits[0], row_bytes, scratch)
    if PEAK in _names(schedule):
        wanted_rows = max(4, wanted_rows)
    wanted_outputs = _fitting(schedule, FILTERS, 4, row_bytes, scratch)
    most_outputs = MAX_FLOAT_OUTPUTS if floats else MAX_OUTPUTS
    tile = partial(_split, schedule, choose=choose, at_most=scratch != AMPLE)
    rows, row = tile(loops[leading + 1 :], "rows", wanted_rows, row_limits[1])
    outputs, output = tile([channel], "outputs", wanted_outputs, most_outputs)
    schedule.reorder(*outer, rows, outputs, output, row)
    for other in others:
        schedule.reverse_compute_at(other, row)
    schedule.compute_at(accumulator, outputs, preserve_unit_loops=True)
    for stage in (COLUMNS, *_BLOCKS):
        _stage(schedule, stage, rows)
    _separate_peak(schedule)
    if FILTERS in _names(schedule):
        cut_where_likely(schedule, outputs, schedule.get_sblock(FILTERS))
    _stage(schedule, FILTERS, outputs)
    if FILTERS in _names(schedule):
        for loop in schedule.get_loops(schedule.get_sblock(FILTERS))[-5:]:
            cut_where_likely(schedule, loop, schedule.get_sblock(FILTERS))
    _separate_init(schedule, accumulator, outer=len(outer) + 2)


def schedule_planes(schedule, choose, _scratch: int) -> None:
    """A depthwise convolution, or its gradient.

    for each channel: stage its plane and its filter; for each tile of pixels: accumulate, finish.
    """
    accumulator = schedule.get_sblock("acc")
    driver, *others = _readers(schedule, accumulator)
    _, channel, row, column = schedule.get_loops(driver)
    columns, column = _split(schedule, [column], "columns", MAX_SIDE, MAX_SIDE, choose, pairs=True)
    most = max(1, MAX_SIDE**2 // int(schedule.get(column).extent))
    rows, row = _split(schedule, [row], "rows", min(MAX_SIDE, most), MAX_SIDE, choose)
    schedule.reorder(rows, columns, row, column)
    for other in others:
        schedule.reverse_compute_at(other, column)
    schedule.compute_at(accumulator, columns, preserve_unit_loops=True)
    cut_where_likely(schedule, channel, schedule.get_sblock(TAPS))
    _stage(schedule, PLANE, channel)
    schedule.storage_align(schedule.get_sblock(PLANE), 0, axis=-2, factor=2, offset=0)
    for stage in (TAPS, *_BLOCKS):
        _stage(schedule, stage, channel)
    _separate_peak(schedule)
    _separate_init(schedule, accumulator, outer=4)


def schedule_elements(schedule, buffer_plane) -> None:
    """The same kernels element by element, with next to no scratch, where memory is the limit.

    buffer_plane : copies the channel that a depthwise convolution is about to read, so that its
        result may take the operand's place.
    """
    accumulator = schedule.get_sblock("acc")
    driver, *others = _readers(schedule, accumulator)
    loops = schedule.get_loops(driver)
    for stage in STAGES:
        if stage in _names(schedule):
            schedule.compute_inline(schedule.get_sblock(stage))
    for other in others:
        schedule.reverse_compute_at(other, loops[-1])
    schedule.compute_at(accumulator, loops[-1], preserve_unit_loops=True)
    buffer_plane(schedule, "acc")
    _separate_init(schedule, accumulator, outer=len(loops))


def _stage(schedule, name: str, loop) -> None:
    """Compute the stage in `loop`; not at all where it only copies an operand."""
    if name not in _names(schedule):
        return
    block = schedule.get_sblock(name)
    if _is_copy(schedule, name):
        schedule.compute_inline(block)
        return
    schedule.compute_at(block, loop, preserve_unit_loops=name in (COLUMNS, GATHERED, PEAK))
    if name == GATHERED or (name == COLUMNS and PEAK not in _names(schedule)):
        _unroll_window(schedule, block)


def _fitting(schedule, stage: str, wanted: int, row_bytes: int, scratch: int) -> int:
    """As many rows of a staged operand as take a part of what the kernel reads and writes anyway.

    Where memory is tight the kernel's own buffers are small too.
    """
    if stage not in _names(schedule) or _is_copy(schedule, stage):
        return wanted
    budget = sum(_bytes(param) for param in schedule.mod["main"].params) // SCRATCH_PART
    budget = max(SCRATCH_BYTES, budget) if scratch == AMPLE else min(SCRATCH_BYTES, budget) // 2
    return max(1, min(wanted, budget // row_bytes))


def _bytes(buffer) -> int:
    return tensor_bytes([int(n) for n in buffer.ty.shape], str(buffer.ty.dtype))


def _is_copy(schedule, stage: str) -> bool:
    """Whether the columns are what an operand holds, its rows in the order of the columns."""
    block = schedule.get(schedule.get_sblock(stage))
    value, row = block.body.value, block.iter_vars[-1].var
    if stage not in (COLUMNS, GATHERED) or type(value).__name__ != "TensorLoad":
        return False
    return any(row.same_as(used) for used in tirx.analysis.undefined_vars(value.indices[-1]))


def _shape(schedule, name: str) -> list[int]:
    """Of what the block writes."""
    return [int(n) for n in schedule.get(schedule.get_sblock(name)).writes[0].source.ty.shape]


def _names(schedule) -> set[str]:
    return {schedule.get(b).name_hint for b in schedule.get_child_blocks(_root(schedule))}


def _unroll_window(schedule, block) -> None:
    """So that which taps lie outside the image is mostly known while compiling."""
    axes = schedule.get(block).iter_vars
    if len(axes) != 6:
        return
    floats = str(schedule.get(block).writes[0].source.ty.dtype) == "float32"
    loops = schedule.get_loops(block)[-4:-1] if floats else schedule.get_loops(block)[-3:]
    sizes = [int(schedule.get(loop).extent) for loop in loops]  # channels, rows, columns
    if sizes[1] * sizes[2] > 1:
        for loop in loops if math.prod(sizes) <= MAX_UNROLLED else loops[1:]:
            schedule.unroll(loop)


def _root(schedule):
    return schedule.get_sblock("root")


def _spatial_axes(schedule, block) -> int:
    return sum(int(axis.iter_type) == 0 for axis in schedule.get(block).iter_vars)


def _readers(schedule, block) -> list:
    """Every block that depends on `block`, in the order of the program."""
    behind, waiting = set(), [block]
    while waiting:
        for consumer in schedule.get_consumers(waiting.pop()):
            name = schedule.get(consumer).name_hint
            if name not in behind:
                behind.add(name)
                waiting.append(consumer)
    children = schedule.get_child_blocks(_root(schedule))
    return [child for child in children if schedule.get(child).name_hint in behind]


def _split(schedule, loops, name: str, wanted: int, most: int, choose, at_most=False, pairs=False):
    """The loops as one, split in two; the size of the inner is near to `wanted`, or chosen.

    at_most : it is no larger. pairs : tiles start at pairs of elements, as microkernels load them.
    """
    extents = [int(schedule.get(loop).extent) for loop in loops]
    candidates = tile_sizes(extents, most)
    if pairs:
        whole = math.prod(extents)
        candidates = [n for n in candidates if n % 2 == 0 or n == whole] or [whole]
    default = min(candidates, key=lambda n: abs(math.log(n / wanted)))
    if at_most:
        default = max(n for n in candidates if n <= wanted)
    factor = choose(schedule, name, candidates, default)
    return schedule.split(schedule.fuse(*loops), [None, factor])


def tile_sizes(extents: list[int], most: int) -> list[int]:
    """Sizes up to `most` of a tile of nested loops: a part of some loop, all of the loops in it.

    So a tile never takes part of two rows, and an index in it stays a sum.
    """
    sizes, inner = [], 1
    for extent in reversed(extents):
        sizes += [inner * n for n in range(1, extent + 1) if extent % n == 0]
        inner *= extent
    return sorted({size for size in sizes if size <= most})


def _separate_init(schedule, accumulator, outer: int) -> None:
    """Zero a whole tile first: the accumulation is then one loop nest, which a microkernel takes.

    Its loops over taps may be cut where the weights of some channels lie elsewhere.
    """
    loops = schedule.get_loops(accumulator)
    schedule.decompose_reduction(accumulator, loops[outer])
    for loop in loops[outer:]:
        cut_where_likely(schedule, loop, accumulator)


def _separate_peak(schedule) -> None:
    """Let the peaks of a tile start at 0 in a nest of its own, as `_separate_init`."""
    if PEAK in _names(schedule):
        peak = schedule.get_sblock(PEAK)
        own = len(schedule.get(peak).iter_vars)
        schedule.decompose_reduction(peak, schedule.get_loops(peak)[-own])


def cut_where_likely(schedule, loop, block) -> None:
    """Let `LowerToLoops` make several loops of this one, so that no ``likely`` is asked in it."""
    if int(schedule.get(loop).extent) > 1 and _asks_likely(schedule.get(block)):
        schedule.annotate(loop, "pragma_loop_partition_hint", True)


def _asks_likely(block) -> bool:
    statements = getattr(block.body, "seq", [block.body])
    waiting = [statement.value for statement in statements]
    while waiting:
        expr = waiting.pop()
        if isinstance(expr, Call) and expr.op.name.endswith("likely"):
            return True
        waiting.extend(operands(expr))
    return False
