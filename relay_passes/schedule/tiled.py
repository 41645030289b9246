"""Schedules of convolutions around microkernels: a tile of the result at a time.

Each stages an operand as int16 (see `ops.staging`), then accumulates a small tile of the result
from it, then runs what follows the convolution on that tile. `SelectMicrokernels` turns the staging
and the accumulation into calls of the runtime; what is left are the loops over tiles.

``choose(schedule, name, candidates, default)`` decides every tile size: by default the last
argument, while tuning a sample that MetaSchedule records. Candidates divide the extents, so that no
tile is ragged.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

from ..blocks import names_in, readers_of, spatial_axes, written_dtype, written_shape
from ..graph import tensor_bytes
from ..memory.scratch import STACK_SCRATCH_BYTES, allocated_bytes
from ..microkernels.choose import annotate_tiles, is_centred
from ..microkernels.float import MAX_OUTPUTS as MAX_FLOAT_OUTPUTS
from ..microkernels.window import Taps
from ..ops.staging import (
    COLUMNS,
    FACTOR,
    FILTERS,
    GATHERED,
    PEAK,
    PLANE,
    STAGES,
    TAPS,
    UNIT,
    WIDENED,
)
from ..tir import LoopRV, SBlockRV, Schedule, tirx
from .loop_cuts import cut_where_likely
from .tile_sizes import Tile, Tiling, tile_sizes

_BLOCKS = (UNIT, FACTOR, PEAK, GATHERED)  # consumers first
# of a tile: more accumulators are no better, and take scratch
MAX_ROWS = 64
MAX_SIDE = 16
MIN_PART = 16  # elements of the depth
MAX_UNROLLED = 32
MAX_OUTPUTS = 16
# a staged operand takes so many bytes, or this part of what the kernel reads and writes
SCRATCH_BYTES, SCRATCH_PART = 1024, 2


Choose = Callable[[Schedule, str, list[int], int], int]  # what decides, see above


class NotEnoughScratch(Exception):
    def __init__(self, wanted: int, limit: float) -> None:
        super().__init__(f"not enough scratch: {wanted:,} bytes wanted, {limit:,} allowed")


def by_default(_schedule: Schedule, _name: str, _candidates: list[int], default: int) -> int:
    """The choice of a schedule that is not tuned."""
    return default


def schedule_columns(schedule: Schedule, choose: Choose, limit: float) -> str | None:
    """A convolution whose every output reads every input channel of its group, or its gradient.

    for each tile of columns: stage them; for each tile of outputs: stage their filters where those
    are computed, accumulate, finish.

    Returns why its sums are plain loops, if they are; raises NotEnoughScratch.
    """
    accumulator = schedule.get_sblock("acc")
    driver, *others = readers_of(schedule, accumulator)  # its loops become the kernel's
    leading = len(spatial_axes(schedule.get(accumulator))) - 2
    loops, has_blocks = schedule.get_loops(driver), PEAK in names_in(schedule)
    outer, channel, pixels = loops[:leading], loops[leading], loops[leading + 1 :]
    of_columns = has_blocks and leading > 0  # otherwise blocks hold numbers of the filters
    best, sizes = _best_tile(schedule, choose, limit, channel, pixels, of_columns)
    if of_columns:  # a group has columns of its own
        group, channel = schedule.split(channel, written_shape(schedule, FILTERS)[:2])
        outer = [*outer, group]
    row_count, output_count, part_count = (
        choose(schedule, name, sizes[name], default) for name, default in best._asdict().items()
    )
    outputs_first = choose(schedule, "outputs_first", [0, 1], 0)
    rows, row = schedule.split(schedule.fuse(*pixels), [None, row_count])
    if part_count > 1:
        schedule.reorder(*outer, rows, channel, row)
    else:
        outputs, output = schedule.split(channel, [None, output_count])
        tile = (outputs, rows) if outputs_first else (rows, outputs)
        schedule.reorder(*outer, *tile, output, row)
    for other in others:
        schedule.reverse_compute_at(other, row)
    if part_count > 1:
        part, outputs = _accumulate_in_parts(schedule, accumulator, rows, output_count, part_count)
    else:
        schedule.compute_at(accumulator, tile[1], preserve_unit_loops=True)
        part = rows
    _stage(schedule, COLUMNS, part)
    if of_columns:
        _stage_blocks(schedule, rows)
    _unroll_window(schedule, choose)
    _stage_weights(schedule, outputs, len(outer) + 1)
    if not of_columns:
        _stage_blocks(schedule, outputs)
    _separate_peak(schedule)
    _separate_init(schedule, accumulator, outer=len(outer) + (1 if part_count > 1 else 2))
    return annotate_tiles(schedule, [driver, *others])


def _best_tile(
    schedule: Schedule,
    choose: Choose,
    limit: float,
    channel: LoopRV,
    pixels: list[LoopRV],
    of_columns: bool,
) -> tuple[Tile, dict[str, list[int]]]:
    """The tile that takes the fewest instructions, and the sizes that there are."""
    names, channels = names_in(schedule), int(schedule.get(channel).extent)
    # a tile is of one group or of whole ones; a weight's gradient has images on that axis
    groups = math.gcd(written_shape(schedule, COLUMNS)[1], channels)
    if of_columns:
        groups, channels = 1, written_shape(schedule, FILTERS)[1]
    pixel_sizes = [int(schedule.get(loop).extent) for loop in pixels]
    whole = math.prod(pixel_sizes), channels
    tiling = _tiling(schedule, *whole, of_columns)
    sizes = {
        "rows": tile_sizes(pixel_sizes, MAX_ROWS),
        "outputs": tile_sizes(
            [groups, channels // groups], MAX_FLOAT_OUTPUTS if tiling.floats else MAX_OUTPUTS
        ),
        "parts": _parts(schedule, tiling.depth) if of_columns or PEAK not in names else [1],
    }
    # columns that are gathered tap by tap: of many rows at once that is slow
    by_taps = WIDENED in names and math.prod(written_shape(schedule, COLUMNS)[4:]) > 1
    most = MAX_SIDE if by_taps else MAX_ROWS
    usual = {**sizes, "rows": [n for n in sizes["rows"] if n <= most]}
    tiles = [Tile(*each) for each in itertools.product(*usual.values())]
    if WIDENED in names:
        plain = _tiling(schedule, *whole, of_columns, without=WIDENED)
        allowed = [1] if is_centred(schedule, WIDENED) else [0, 1]
        usual_choice = int(allowed == [1] or tiling.beats(plain, tiles, limit))
        if not choose(schedule, WIDENED, allowed, usual_choice):
            schedule.compute_inline(schedule.get_sblock(WIDENED))
            tiling = plain
    best = tiling.best(tiles, limit)
    if best is None and PEAK not in names:
        raise NotEnoughScratch(min(map(tiling.scratch_bytes, tiles)), limit)
    return best or min(tiles, key=tiling.scratch_bytes), sizes


def _stage_blocks(schedule: Schedule, loop: LoopRV) -> None:
    for stage in _BLOCKS:
        _stage(schedule, stage, loop)


def _stage_weights(schedule: Schedule, loop: LoopRV, first: int) -> None:
    """first : of the loops around them that may be cut."""
    for weights in (FILTERS, WIDENED, *_merged(schedule)):
        if weights in names_in(schedule):
            _stage(schedule, weights, loop)
            block = schedule.get_sblock(weights)
            for each in schedule.get_loops(block)[first:]:
                cut_where_likely(schedule, each, block)


def _accumulate_in_parts(
    schedule: Schedule, accumulator: SBlockRV, rows: LoopRV, outputs: int, parts: int
) -> tuple[LoopRV, LoopRV]:
    """For each part of the depth, for each tile of `outputs`: accumulate; the two loops."""
    schedule.compute_at(accumulator, rows, preserve_unit_loops=True)
    spatial = len(spatial_axes(schedule.get(accumulator)))
    axes = len(schedule.get(accumulator).iter_vars)
    *batch, channel, row = schedule.get_loops(accumulator)[-axes:][:spatial]
    depth, *taps = schedule.get_loops(accumulator)[spatial - axes :]
    part, depth = schedule.split(depth, [parts, None])
    tile, channel = schedule.split(channel, [None, outputs])
    schedule.reorder(part, *batch, tile, channel, row, depth, *taps)
    return part, tile


def _parts(schedule: Schedule, depth: int) -> list[int]:
    """In how many equal parts the depth may be staged: each whole groups for the microkernels."""
    if GATHERED in names_in(schedule) and not _is_copy(schedule, GATHERED):
        return [1]  # which is all there at once
    block = schedule.get(schedule.get_sblock("acc"))
    first = int(block.iter_vars[len(spatial_axes(block))].dom.extent)
    parts = [n for n in range(1, first + 1) if first % n == 0]
    return [n for n in parts if n == 1 or (depth // n >= MIN_PART and depth // n % 4 == 0)]


def _tiling(
    schedule: Schedule, rows: int, outputs: int, of_columns: bool, without: str = ""
) -> Tiling:
    """What is staged of the convolution in `schedule`.

    of_columns : blocks are of columns, if there are any; otherwise of filters.
    without : a stage that is none.
    """
    names = {*names_in(schedule)} - {without}
    floats = written_dtype(schedule, "acc") == "float32"
    taps = (
        written_shape(schedule, COLUMNS)[2:-1] if floats else written_shape(schedule, COLUMNS)[3:]
    )
    stages = [s for s in (COLUMNS, FILTERS, WIDENED, GATHERED) if s in names]
    stages = [s for s in stages if not _is_copy(schedule, s)] + _merged(schedule)
    by_row = {COLUMNS, *(_BLOCKS if of_columns else ())}
    items = {s: tensor_bytes([1], written_dtype(schedule, s)) for s in stages}
    numbers = (4,) * sum(s in names for s in (PEAK, FACTOR, UNIT))
    return Tiling(
        rows,
        outputs,
        math.prod(taps),
        floats,
        tuple(size for s, size in items.items() if s in by_row),
        tuple(size for s, size in items.items() if s not in by_row),
        *((numbers, ()) if of_columns else ((), numbers)),
    )


def schedule_planes(schedule: Schedule, choose: Choose, limit: float) -> str | None:
    """A depthwise convolution, or its gradient.

    for each channel: stage its plane and its filter; for each tile of pixels: accumulate, finish.

    Returns why its sums are plain loops, if they are; raises NotEnoughScratch.
    """
    wanted = _plane_bytes(schedule)
    if wanted > limit and PEAK not in names_in(schedule):  # whose elements need all of their block
        raise NotEnoughScratch(wanted, limit)
    accumulator = schedule.get_sblock("acc")
    driver, *others = readers_of(schedule, accumulator)
    _, channel, row, column = schedule.get_loops(driver)
    columns, column = _split(schedule, [column], "columns", MAX_SIDE, MAX_SIDE, choose, pairs=True)
    most = min(MAX_SIDE**2, max(limit - wanted, STACK_SCRATCH_BYTES) // 4)
    most = max(1, int(most) // int(schedule.get(column).extent))
    rows, row = _split(schedule, [row], "rows", min(MAX_SIDE, most), MAX_SIDE, choose)
    schedule.reorder(rows, columns, row, column)
    for other in others:
        schedule.reverse_compute_at(other, column)
    schedule.compute_at(accumulator, columns, preserve_unit_loops=True)
    _stage(schedule, PLANE, channel)
    schedule.storage_align(schedule.get_sblock(PLANE), 0, axis=-2, factor=2, offset=0)
    _stage(schedule, TAPS, channel)
    _stage_blocks(schedule, channel)
    cut_where_likely(schedule, channel, schedule.get_sblock(TAPS))
    _separate_peak(schedule)
    _separate_init(schedule, accumulator, outer=4)
    return annotate_tiles(schedule, [driver, *others])


def _plane_bytes(schedule: Schedule) -> int:
    """Scratch of what is staged of a channel."""
    total = 0
    for stage in {PLANE, TAPS, GATHERED}.intersection(names_in(schedule)):
        if not _is_copy(schedule, stage):
            height, width = written_shape(schedule, stage)[-2:]
            elements = height * (width + width % 2)
            if stage == TAPS:
                elements = max(elements, Taps(height, width).elements)
            total += allocated_bytes(tensor_bytes([elements], written_dtype(schedule, stage)))
    return total


def schedule_elements(schedule: Schedule, buffer_plane: Callable[[Schedule, str], None]) -> None:
    """The same kernels element by element, with next to no scratch, where memory is the limit.

    buffer_plane : copies the channel that a depthwise convolution is about to read, so that its
        result may take the operand's place.
    """
    accumulator = schedule.get_sblock("acc")
    driver, *others = readers_of(schedule, accumulator)
    loops = schedule.get_loops(driver)
    for stage in STAGES:
        if stage in names_in(schedule):
            schedule.compute_inline(schedule.get_sblock(stage))
    for other in others:
        schedule.reverse_compute_at(other, loops[-1])
    schedule.compute_at(accumulator, loops[-1], preserve_unit_loops=True)
    buffer_plane(schedule, "acc")
    for loop in loops:
        cut_where_likely(schedule, loop, accumulator)
    _separate_init(schedule, accumulator, outer=len(loops))


def _stage(schedule: Schedule, name: str, loop: LoopRV) -> None:
    """Compute the stage in `loop`; not at all where it only copies an operand."""
    if name not in names_in(schedule):
        return
    block = schedule.get_sblock(name)
    if _is_copy(schedule, name):
        schedule.compute_inline(block)
        return
    schedule.compute_at(block, loop, preserve_unit_loops=name in (COLUMNS, GATHERED, PEAK))


def ample_bytes(schedule: Schedule) -> int:
    """The most scratch that a kernel should ask for: a part of what it reads and writes anyway.

    Where memory is tight the kernel's own buffers are small too.
    """
    buffers = schedule.mod["main"].params
    sizes = [tensor_bytes([int(n) for n in b.ty.shape], str(b.ty.dtype)) for b in buffers]
    return max(SCRATCH_BYTES, sum(sizes) // SCRATCH_PART)


def _merged(schedule: Schedule) -> list[str]:
    """Weights that are put together from parts, stages of no other kind."""
    readers = [name for name in (WIDENED, "acc") if name in names_in(schedule)]
    found = [b for name in readers for b in schedule.get_producers(schedule.get_sblock(name))]
    return [n for n in (schedule.get(block).name_hint for block in found) if n not in STAGES]


def _is_copy(schedule: Schedule, stage: str) -> bool:
    """Whether the columns are what an operand holds, its rows in the order of the columns."""
    block = schedule.get(schedule.get_sblock(stage))
    value, row = block.body.value, block.iter_vars[-1].var
    if stage not in (COLUMNS, GATHERED) or type(value).__name__ != "TensorLoad":
        return False
    return any(row.same_as(used) for used in tirx.analysis.undefined_vars(value.indices[-1]))


def _unroll_window(schedule: Schedule, choose: Choose) -> None:
    """So that which taps lie outside the image is mostly known while compiling.

    Of the taps of a column nothing is unrolled, or those of a channel, or those of all channels.
    """
    name = GATHERED if GATHERED in names_in(schedule) else COLUMNS
    if name not in names_in(schedule):
        return
    block = schedule.get_sblock(name)
    if len(schedule.get(block).iter_vars) != 6:
        return
    pixel_is_last = written_dtype(schedule, name) == "float32"
    loops = schedule.get_loops(block)[-4:-1] if pixel_is_last else schedule.get_loops(block)[-3:]
    sizes = [int(schedule.get(loop).extent) for loop in loops]  # channels, rows, columns
    if sizes[1] * sizes[2] == 1:
        return
    unrolled = 2 if math.prod(sizes) <= MAX_UNROLLED else 1
    if level := choose(schedule, "unroll", [0, 1, 2], unrolled):
        for loop in loops if level == 2 else loops[1:]:
            schedule.unroll(loop)


def _split(
    schedule: Schedule,
    loops: list[LoopRV],
    name: str,
    wanted: int,
    most: int,
    choose: Choose,
    pairs: bool = False,
) -> list[LoopRV]:
    """The loops as one, split in two; the size of the inner is near to `wanted`, or chosen.

    pairs : tiles start at pairs of elements, as microkernels load them.
    """
    extents = [int(schedule.get(loop).extent) for loop in loops]
    candidates = tile_sizes(extents, most)
    if pairs:
        whole = math.prod(extents)
        candidates = [n for n in candidates if n % 2 == 0 or n == whole] or [whole]
    default = min(candidates, key=lambda n: abs(math.log(n / wanted)))
    factor = choose(schedule, name, candidates, default)
    return schedule.split(schedule.fuse(*loops), [None, factor])


def _separate_init(schedule: Schedule, accumulator: SBlockRV, outer: int) -> None:
    """Zero a whole tile first: the accumulation is then one loop nest, which a microkernel takes.

    Its loops over taps may be cut where the weights of some channels lie elsewhere.
    """
    loops = schedule.get_loops(accumulator)
    schedule.decompose_reduction(accumulator, loops[outer])
    for loop in loops[outer:]:
        cut_where_likely(schedule, loop, accumulator)


def _separate_peak(schedule: Schedule) -> None:
    """Let the peaks of a tile start at 0 in a nest of its own, as `_separate_init`."""
    if PEAK in names_in(schedule):
        peak = schedule.get_sblock(PEAK)
        own = len(schedule.get(peak).iter_vars)
        schedule.decompose_reduction(peak, schedule.get_loops(peak)[-own])
