"""Loops that are cut where a ``likely`` condition changes (see `ops.channels`)."""

from __future__ import annotations

from tvm import tirx

from .blocks import axis_values
from .microkernels.form import likely_in


def cut_where_likely(schedule, loop, block) -> None:
    """Let `LowerToLoops` make several loops of this one, so that no ``likely`` is asked in it.

    Only where it is the outermost of the loops that decide: where one inside it were cut as well,
    that one's length would depend on this one.
    """
    asked = _asked_axes(schedule.get(block))
    if not asked:
        return
    loops = [schedule.get(each) for each in schedule.get_loops(block)]
    variable = schedule.get(loop).loop_var
    values = axis_values(schedule, block)
    for axis in asked:
        used = tirx.analysis.undefined_vars(values[axis])
        deciding = (each for each in loops if int(each.extent) > 1 and each.loop_var in used)
        outermost = next(deciding, None)
        if outermost is not None and outermost.loop_var.same_as(variable):
            schedule.annotate(loop, "pragma_loop_partition_hint", True)
            return


def asks_likely(block) -> bool:
    """Whether what a block computes depends on conditions that cut loops."""
    return bool(_likely_conditions(block))


def _asked_axes(block) -> list:
    """The axes in the ``likely`` conditions of a block."""
    asked = {v for c in _likely_conditions(block) for v in tirx.analysis.undefined_vars(c)}
    return [axis.var for axis in block.iter_vars if axis.var in asked]


def _likely_conditions(block) -> list:
    statements = getattr(block.body, "seq", [block.body])
    return [condition for each in statements for condition in likely_in(each.value)]
