"""The schedule of a state that is coded in blocks: one block after the other."""

from __future__ import annotations

from ..blocks import is_spatial, readers_of
from ..ops.staging import FRESH
from ..tir import Schedule


def schedule_blocks(schedule: Schedule) -> None:
    """for each block: its new values, their peak, its scale, its codes.

    All that a block had is read before anything is written over it (see `InPlace`).
    """
    fresh = schedule.get_sblock(FRESH)
    block, _ = schedule.get_loops(fresh)
    for reader in readers_of(schedule, fresh):
        schedule.reverse_compute_at(reader, block)
        if not is_spatial(schedule.get(reader)):
            schedule.decompose_reduction(reader, schedule.get_loops(reader)[-1])
