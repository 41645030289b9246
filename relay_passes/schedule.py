"""The default schedule of a kernel: one loop nest, sums in a register, nothing stored between."""

from __future__ import annotations

import tvm
from tvm import s_tir, tirx
from tvm.s_tir import Schedule
from tvm.s_tir.schedule import ScheduleError

_SPATIAL = 0


@tvm.transform.module_pass(opt_level=0, name="DefaultSchedule")
class DefaultSchedule:
    """Schedule every PrimFunc of the module that is not scheduled yet.

    Elementwise blocks are inlined into what reads them; what follows a reduction is computed in the
    reduction's own loops as soon as one element is complete, so that an accumulator is one local
    variable. A block that cannot be moved stays a loop nest of its own; its result is scratch,
    which the memory plan owns (see `codegen.c_printer`).
    """

    def transform_module(self, module: tvm.IRModule, _context) -> tvm.IRModule:
        functions = {
            gvar: _schedule(function) if _unscheduled(function) else function
            for gvar, function in module.functions_items()
        }
        return tvm.IRModule(functions, attrs=module.attrs)


def _unscheduled(function) -> bool:
    return isinstance(function, tirx.PrimFunc) and not function.attrs.get("tirx.is_scheduled", 0)


def _schedule(function: tirx.PrimFunc) -> tirx.PrimFunc:
    schedule = Schedule(tvm.IRModule({"main": function}))
    names = [schedule.get(b).name_hint for b in schedule.get_child_blocks(_root(schedule))]
    outputs = {schedule.get(b).name_hint for b in schedule.get_output_blocks(_root(schedule))}
    reductions = [name for name in names if not _is_spatial(schedule, name)]
    for name in names:
        if name not in outputs and name not in reductions:
            _try(lambda name=name: schedule.compute_inline(schedule.get_sblock(name)))
    for name in reductions:
        if name in outputs:
            _accumulate_locally(schedule, name)
        _fuse_epilogue(schedule, name)
        first = _first_reduction_loop(schedule, name)
        schedule.decompose_reduction(schedule.get_sblock(name), first)
    return schedule.mod["main"].with_attr("tirx.is_scheduled", 1)


def _root(schedule):
    return schedule.get_sblock("root")


def _is_spatial(schedule, name: str) -> bool:
    block = schedule.get(schedule.get_sblock(name))
    return all(int(axis.iter_type) == _SPATIAL for axis in block.iter_vars)


def _accumulate_locally(schedule, name: str):
    """Sum in a local, not in the output: the compiler cannot keep memory in a register."""
    _try(lambda: schedule.cache_write(schedule.get_sblock(name), 0, "local"))


def _fuse_epilogue(schedule, name: str):
    """Move the consumers with the reduction's own iteration space under its spatial loops."""
    block = schedule.get_sblock(name)
    spatial = [axis for axis in schedule.get(block).iter_vars if int(axis.iter_type) == _SPATIAL]
    if not spatial:
        return
    innermost = schedule.get_loops(block)[len(spatial) - 1]
    for consumer in schedule.get_consumers(block):
        if _same_space(schedule, consumer, spatial):
            _try(lambda consumer=consumer: schedule.reverse_compute_at(consumer, innermost))


def _same_space(schedule, consumer, spatial) -> bool:
    axes = schedule.get(consumer).iter_vars
    extents = [int(axis.dom.extent) for axis in axes]
    return all(int(a.iter_type) == _SPATIAL for a in axes) and extents == [
        int(axis.dom.extent) for axis in spatial
    ]


def _first_reduction_loop(schedule, name: str):
    block = schedule.get_sblock(name)
    spatial = [a for a in schedule.get(block).iter_vars if int(a.iter_type) == _SPATIAL]
    return schedule.get_loops(block)[len(spatial)]


def _try(primitive):
    """Apply a primitive where the schedule's own legality check allows it."""
    try:
        primitive()
    except ScheduleError:
        pass


def lower_to_loops(module: tvm.IRModule) -> tvm.IRModule:
    """Blocks to plain loops over flat buffers: what the C printer reads."""
    passes = [
        s_tir.transform.CanonicalizeLoop(),
        s_tir.transform.LowerInitBlock(),
        s_tir.transform.PlanAndUpdateBufferAllocationLocation(),
        s_tir.transform.ConvertBlocksToOpaque(),
        s_tir.transform.CompactBufferAllocation(),
        s_tir.transform.LowerMatchBuffer(),
        s_tir.transform.StmtSimplify(),
        s_tir.transform.LowerOpaqueBlock(),
        tirx.transform.FlattenBuffer(),
        tirx.transform.NarrowDataType(32),
        tirx.transform.StmtSimplify(),
        tirx.transform.RemoveNoOp(),
        tirx.transform.BindTarget(tvm.target.Target("c")),
        tirx.transform.LowerIntrin(),
    ]
    return tvm.ir.transform.Sequential(passes)(module)
