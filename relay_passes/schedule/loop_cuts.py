"""Loops that are cut where a ``likely`` condition changes (see `ops.channels`)."""

from __future__ import annotations

import tvm

from ..blocks import axis_values
from ..loops import likely_in
from ..tir import LoopRV, SBlockRV, Schedule, s_tir, tirx


def cut_where_likely(schedule: Schedule, loop: LoopRV, block: SBlockRV) -> None:
    """Let `LowerToLoops` make several loops of this one, so that no ``likely`` is asked in it.

    Only where it is the outermost of the loops that decide: where one inside it were cut as well,
    that one's length would depend on this one.
    """
    conditions = _likely_conditions(schedule.get(block))
    asked = {v for condition in conditions for v in tirx.analysis.undefined_vars(condition)}
    loops = [schedule.get(each) for each in schedule.get_loops(block)]
    for axis, value in axis_values(schedule, block).items():
        used = tirx.analysis.undefined_vars(value) if axis in asked else ()
        deciding = (each for each in loops if int(each.extent) > 1 and each.loop_var in used)
        if next(deciding, None) == schedule.get(loop):
            schedule.annotate(loop, "pragma_loop_partition_hint", True)
            return


def asks_likely(block: s_tir.SBlock) -> bool:
    """Whether what a block computes depends on conditions that cut loops."""
    return bool(_likely_conditions(block))


def _likely_conditions(block: s_tir.SBlock) -> list[tvm.ir.Call]:
    statements = getattr(block.body, "seq", [block.body])
    return [condition for each in statements for condition in likely_in(each.value)]
