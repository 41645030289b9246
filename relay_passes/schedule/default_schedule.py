"""The default schedule of a kernel: one loop nest, sums in a register, nothing stored between."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import tvm
from tvm import sym

from ..blocks import is_spatial, names_in, outputs_of, spatial_axes
from ..kernel_attributes import PLAIN_LOOPS
from ..loops import check_static
from ..microkernels.choose import annotate_results, annotate_staged, annotate_sum
from ..ops.staging import COLUMNS, FRESH, PLANE, STAGES, WIDENED
from ..tir import LoopRV, SBlockRV, Schedule, ScheduleError, s_tir, tirx
from ..tvm_pass import Pass, module_pass
from .block_states import schedule_blocks
from .loop_cuts import asks_likely
from .lower_to_loops import HINTED
from .tiled import (
    Choose,
    NotEnoughScratch,
    ample_bytes,
    by_default,
    schedule_columns,
    schedule_elements,
    schedule_planes,
)

Chooser = Callable[[tirx.PrimFunc, int | None], Choose]
_TILED = {COLUMNS: schedule_columns, PLANE: schedule_planes}


@module_pass
class DefaultSchedule(Pass):
    """Schedule every PrimFunc of the module that is not scheduled yet.

    * Elementwise blocks are inlined into what reads them; a value with several readers is computed
      once an element.
    * What follows a reduction is computed in the reduction's own loops as soon as one element is
      complete, so that an accumulator is one local variable.
    * A depthwise convolution or a pool copies the channel that it is about to read, so that its
      result can take the operand's place (`in_place`).
    * An adjoint under its mask is computed once a pixel or a channel of what reads it.
    * A nest that a microkernel of the runtime computes is annotated with its name (see
      `choose_microkernels`); a kernel whose sums of products are plain loops says why, in its
      attribute ``odt.plain_loops``.

    A block that cannot be moved stays a loop nest of its own; its result is scratch, which the
    memory plan owns (see `codegen.c_printer`).

    chooser : for an unscheduled PrimFunc and the bytes of scratch that it must keep to, or None,
        the function that takes its decisions (see `tiled`); by default all are the
        defaults.
    scratch : of kernels, by name, that get less than they want: the most bytes (see
        `with_less_scratch`).

    Examples
    --------
    .. code-block:: python

        for o, h, w, c in T.grid(8, 4, 4, 16):                        # before
            with T.sblock("acc"): acc[o, h, w] += x[c, h, w] * k[o, c]
        for o, h, w in T.grid(8, 4, 4):
            with T.sblock("y"): y[o, h, w] = T.max(acc[o, h, w], 0)

        for o, h, w in T.grid(8, 4, 4):                               # after
            with T.sblock("acc_init"): acc[o, h, w] = 0
            for c in range(16):
                with T.sblock("acc_update"): acc[o, h, w] += x[c, h, w] * k[o, c]
            with T.sblock("y"): y[o, h, w] = T.max(acc[o, h, w], 0)
    """

    def __init__(
        self, chooser: Chooser | None = None, scratch: Mapping[str, int] | None = None
    ) -> None:
        self.chooser = chooser or (lambda _function, _limit: by_default)
        self.scratch = dict(scratch or {})

    def transform_module(
        self, module: tvm.IRModule, _context: tvm.transform.PassContext
    ) -> tvm.IRModule:
        functions = {
            gvar: self._scheduled(gvar.name_hint, function) if _unscheduled(function) else function
            for gvar, function in module.functions_items()
        }
        return tvm.IRModule(functions, attrs=module.attrs)

    def _scheduled(self, name: str, function: tirx.PrimFunc) -> tirx.PrimFunc:
        check_static(function, name, "DefaultSchedule")
        schedule = Schedule(tvm.IRModule({"main": function}))
        limit = self.scratch.get(name)
        attributes = apply_schedule(schedule, self.chooser(function, limit), limit)
        return schedule.mod["main"].with_attrs({"tirx.is_scheduled": 1, **attributes})


def _unscheduled(function: tvm.ir.BaseFunc) -> bool:
    return isinstance(function, tirx.PrimFunc) and not function.attrs.get("tirx.is_scheduled", 0)


def apply_schedule(
    schedule: Schedule, choose: Choose, limit: int | None = None
) -> dict[str, int | str]:
    """Schedule the kernel in `schedule`; `choose` takes the decisions (see `tiled`).

    limit : the most bytes of scratch, if there are not enough.

    Returns attributes of the kernel.
    """
    names = names_in(schedule)
    stage = next((stage for stage in _TILED if stage in names), None)
    attributes: dict[str, int | str] = {}
    if FRESH in names:
        _inline_elementwise(schedule, names)
        schedule_blocks(schedule)
        return attributes
    if stage is None:
        reason = _schedule_elementwise(schedule, names)
    else:
        attributes[HINTED] = 1
        reason = _schedule_tiled(schedule, names, _TILED[stage], choose, limit)
    if reason is not None:
        attributes[PLAIN_LOOPS] = reason
    return attributes


def _schedule_tiled(
    schedule: Schedule,
    names: list[str],
    schedule_tiles: Callable[[Schedule, Choose, float], str | None],
    choose: Choose,
    limit: int | None,
) -> str | None:
    """Tile by tile, or where scratch is short element by element; why it ends as plain loops."""
    _inline_elementwise(schedule, names)
    ample = ample_bytes(schedule)
    try:
        return schedule_tiles(schedule, choose, ample if limit is None else min(limit, ample))
    except NotEnoughScratch as error:
        schedule_elements(schedule, _buffer_plane)
        return str(error)


def _schedule_elementwise(schedule: Schedule, names: list[str]) -> str | None:
    """Without tiles; why it ends as plain loops, if it sums products."""
    reason, outputs = None, outputs_of(schedule)
    blocks = {name: schedule.get(schedule.get_sblock(name)) for name in names}
    reductions = {name for name, block in blocks.items() if not is_spatial(block)}
    inner = set(names) - reductions - outputs
    shared = {name for name in inner if len(_consumers(schedule, name)) > 1}
    staged = {name for name in inner - shared if _is_masked(schedule, name, reductions)}
    for name in names:
        if name in inner - shared - staged:
            _try(schedule.compute_inline, schedule.get_sblock(name))
    for name in names:
        if name in staged:
            _stage(schedule, name)
        if name in reductions & outputs:
            # in a local: the compiler cannot keep memory in a register
            _try(schedule.cache_write, schedule.get_sblock(name), 0, "local")
        if name in reductions | shared:
            _fuse_epilogue(schedule, name)
        if name in reductions:
            _buffer_plane(schedule, name)
            block = schedule.get_sblock(name)
            first = schedule.get_loops(block)[len(spatial_axes(schedule.get(block)))]
            start = schedule.decompose_reduction(block, first)
            step = schedule.get_sblock(f"{name}_update")
            reason = annotate_sum(schedule, start, step) or reason
        elif name in outputs - shared:
            annotate_results(schedule, [schedule.get_sblock(name)], "elements", most_loops=4)
    return reason


def _inline_elementwise(schedule: Schedule, names: list[str]) -> None:
    """Every stage that is read once and is neither staged nor a result."""
    outputs = outputs_of(schedule)
    for name in names:
        block, consumers = schedule.get(schedule.get_sblock(name)), _consumers(schedule, name)
        kept = name in STAGES or name in outputs or not is_spatial(block)
        if kept or len(consumers) != 1:
            continue
        # a microkernel is slow where another part of the weights begins within a group
        if not (asks_likely(block) and schedule.get(consumers[0]).name_hint == WIDENED):
            schedule.compute_inline(schedule.get_sblock(name))


def _consumers(schedule: Schedule, name: str) -> list[SBlockRV]:
    return schedule.get_consumers(schedule.get_sblock(name))


def _fuse_epilogue(schedule: Schedule, name: str) -> None:
    """Move the consumers with the reduction's own iteration space under its spatial loops."""
    block = schedule.get_sblock(name)
    spatial, loops = spatial_axes(schedule.get(block)), schedule.get_loops(block)
    if is_spatial(schedule.get(block)):
        loops = loops[-1:]  # it may lie in the loops of a reduction, and unit loops are dropped
    if not spatial or not loops:
        return
    innermost = loops[min(len(spatial), len(loops)) - 1]
    extents = [int(axis.dom.extent) for axis in spatial]
    for consumer in _consumers(schedule, name):
        same = [int(axis.dom.extent) for axis in schedule.get(consumer).iter_vars] == extents
        if same and is_spatial(schedule.get(consumer)):
            _try(schedule.reverse_compute_at, consumer, innermost)


def _is_masked(schedule: Schedule, name: str, reductions: Collection[str]) -> bool:
    """Whether a block applies a gradient mask to what one reduction reads again and again."""
    readers = {schedule.get(consumer).name_hint for consumer in _consumers(schedule, name)}
    block = schedule.get(schedule.get_sblock(name))
    reads_bits = any(str(read.source.ty.dtype) == "bool" for read in block.reads)
    return reads_bits and bool(readers & set(reductions))


def _stage(schedule: Schedule, name: str) -> None:
    """Compute a reduction's operand a part at a time, each element once.

    The loops that choose the part go outside: the pixel for a 1x1 convolution, the channel for a
    depthwise one. Only that part is stored. Where nothing is read twice the operand is inlined.
    """
    producer = schedule.get_sblock(name)
    (reduction,) = schedule.get_consumers(producer)
    outer, inner = _part_loops(schedule, schedule.get(producer).writes[0].source, reduction)
    if any(int(schedule.get(loop).extent) > 1 for loop in inner) and outer:
        schedule.reorder(*outer, *inner)
        if _try(schedule.compute_at, producer, outer[-1]):
            annotate_staged(schedule, producer)
            return
    _try(schedule.compute_inline, producer)


def _part_loops(
    schedule: Schedule, operand: tirx.Var, reduction: SBlockRV
) -> tuple[list[LoopRV], list[LoopRV]]:
    """The spatial loops of `reduction` that choose a part of `operand`, and the others."""
    block = schedule.get(reduction)
    (read,) = (r for r in block.reads if r.source.same_as(operand))
    simplify = _analyzer(block).simplify
    used = {v for axis in read.region for v in tirx.analysis.undefined_vars(simplify(axis.min))}
    loops = zip(spatial_axes(block), schedule.get_loops(reduction), strict=False)
    spatial = [(axis.var, loop) for axis, loop in loops]
    if len(spatial) == 4 and spatial[1][0] in used:
        used &= {var for var, _ in spatial[:2]}  # channel by channel: a plane, not its windows
    outer = [loop for var, loop in spatial if var in used]
    return outer, [loop for var, loop in spatial if var not in used]


def _buffer_plane(schedule: Schedule, name: str) -> None:
    """Copy the channel that a windowed, channel-wise reduction is about to read.

    Depthwise convolutions and pools then read scratch of one plane, and their result may take the
    operand's place (see `in_place`): that copy is all that keeps a window's elements.
    """
    block = schedule.get_sblock(name)
    operand = _channelwise_operand(schedule.get(block))
    if operand is None:
        return
    source = schedule.get(block).reads[operand].source
    producers = (schedule.get(producer) for producer in schedule.get_producers(block))
    if any(source.same_as(producer.writes[0].source) for producer in producers):
        return  # computed plane by plane already
    channel = schedule.get_loops(block)[1]
    plane = schedule.cache_read(block, operand, "global")
    if not _try(schedule.compute_at, plane, channel):
        schedule.compute_inline(plane)  # as it was


def _channelwise_operand(block: s_tir.SBlock) -> int | None:
    """Of what is read, whose channel is the block's own, NCHW; None unless a window is read."""
    spatial = [axis.var for axis in spatial_axes(block)]
    windows = [int(axis.dom.extent) for axis in block.iter_vars[len(spatial) :]]
    if len(spatial) != 4 or max(windows, default=1) == 1:
        return None
    if all(int(axis.dom.extent) == 1 for axis in block.iter_vars[2:4]):
        return None  # one window a channel: each element is read once
    analyzer = _analyzer(block)
    for position, read in enumerate(block.reads):
        shape = [int(n) for n in read.source.ty.shape]
        if len(shape) != 4 or shape[2:] == [1, 1]:
            continue
        used = {v for axis in read.region[2:] for v in tirx.analysis.undefined_vars(axis.min)}
        moves = spatial[2] in used or spatial[3] in used  # with the pixel: no weight
        if moves and analyzer.can_prove_equal(read.region[1].min, spatial[1]):
            return position
    return None


def _analyzer(block: s_tir.SBlock) -> sym.Analyzer:
    """One that knows the extents of the block's axes."""
    analyzer = sym.Analyzer()
    for axis in block.iter_vars:
        analyzer.bind(axis.var, axis.dom)
    return analyzer


def _try(primitive: Callable[..., object], *operands: object) -> bool:
    """Apply a primitive where the schedule's own legality check allows it; whether it did."""
    try:
        primitive(*operands)
    except ScheduleError:
        return False
    return True
