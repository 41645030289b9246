"""Small readers of a schedule's blocks."""

from __future__ import annotations

from .tir import LoopRV, SBlockRV, Schedule, get_sblockrealize, s_tir, tirx

_SPATIAL = 0  # iter_type of an axis that is not summed over


def names_in(schedule: Schedule, loop: LoopRV | None = None) -> list[str]:
    """Of the blocks in a loop, or of all, in the order of the program."""
    scope = loop or schedule.get_sblock("root")
    return [schedule.get(block).name_hint for block in schedule.get_child_blocks(scope)]


def outputs_of(schedule: Schedule) -> set[str]:
    """The names of the blocks that compute results."""
    blocks = schedule.get_output_blocks(schedule.get_sblock("root"))
    return {schedule.get(block).name_hint for block in blocks}


def spatial_axes(block: s_tir.SBlock) -> list[tirx.IterVar]:
    """Those that are not summed over; the others come behind them."""
    return [axis for axis in block.iter_vars if int(axis.iter_type) == _SPATIAL]


def is_spatial(block: s_tir.SBlock) -> bool:
    """Whether it sums nothing."""
    return len(spatial_axes(block)) == len(block.iter_vars)


def axis_values(schedule: Schedule, block: SBlockRV) -> dict[tirx.Var, tirx.Expr]:
    """What each axis of a block in its loops stands for."""
    realize = get_sblockrealize(schedule, block)
    axes = zip(realize.block.iter_vars, realize.iter_values, strict=True)
    return {axis.var: value for axis, value in axes}


def written_dtype(schedule: Schedule, name: str) -> str:
    """Of what the block `name` writes."""
    return str(schedule.get(schedule.get_sblock(name)).writes[0].source.ty.dtype)


def written_shape(schedule: Schedule, name: str) -> list[int]:
    """Of what the block `name` writes."""
    return [int(n) for n in schedule.get(schedule.get_sblock(name)).writes[0].source.ty.shape]


def readers_of(schedule: Schedule, block: SBlockRV) -> list[SBlockRV]:
    """Every block that depends on `block`, in the order of the program."""
    behind = [schedule.get(block).name_hint]
    for name in names_in(schedule):
        producers = schedule.get_producers(schedule.get_sblock(name))
        if any(schedule.get(each).name_hint in behind for each in producers):
            behind.append(name)
    return [schedule.get_sblock(name) for name in behind[1:]]
