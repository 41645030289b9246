"""A proof that a plan is right, by other means than the planner's."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from .buffer import Buffer
from .planner import MemoryPlan


def check_plan(buffers: Sequence[Buffer], plan: MemoryPlan) -> None:
    """Prove that `plan` is right for `buffers`: op by op, from the bytes that are live there.

    Raises AssertionError, also under `python -O`, that names the two buffers which are live at the
    same op and share a byte, or the buffer which is misplaced.
    """
    _require(set(plan.offsets) == {buffer.name for buffer in buffers}, "buffers and offsets differ")
    for buffer in buffers:
        offset = plan.offsets[buffer.name]
        end = offset + buffer.size_bytes
        _require(offset >= 0 and offset % buffer.alignment == 0, f"{buffer} misplaced at {offset}")
        _require(end <= plan.total_bytes, f"{buffer} ends at {end}, after {plan.total_bytes}")
    bound = plan.lower_bound_bytes
    _require(bound <= plan.total_bytes, "the total is below the lower bound")
    live: dict[int | None, int] = {}
    for op in _ops(buffers):
        live[op] = _check_op(op, buffers, plan)
        _require(live[op] <= bound, f"{live[op]} bytes are live at op {op}, more than the bound")
    peak = live.get(plan.peak_op, 0)
    _require(peak == bound, f"{peak} bytes are live at the peak, op {plan.peak_op}, not {bound}")


def _check_op(op: int, buffers: Sequence[Buffer], plan: MemoryPlan) -> int:
    """The sum of aligned sizes at `op`, after a look at each two neighbours in the arena."""
    total, spans = 0, []
    for buffer in buffers:
        if buffer.first <= op <= buffer.last:
            low, high = 0, buffer.size_bytes
            for start, *span in buffer.spans:
                if start <= op:
                    low, high = span
            total += -(-(high - low) // buffer.alignment) * buffer.alignment
            spans.append((plan.offsets[buffer.name] + low, high - low, buffer))
    spans.sort(key=lambda span: span[0])
    for lower, upper in pairwise(spans):
        apart = lower[0] + lower[1] <= upper[0]
        _require(apart, f"{_describe(*lower)} overlaps {_describe(*upper)} at op {op}")
    return total


def _ops(buffers: Sequence[Buffer]) -> range:
    firsts, lasts = [b.first for b in buffers], [b.last for b in buffers]
    return range(min(firsts), max(lasts) + 1) if buffers else range(0)


def _describe(offset: int, size: int, buffer: Buffer) -> str:
    return f'"{buffer.name}" [{offset}, {offset + size}) live {buffer.first}..{buffer.last}'


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(f"memory plan: {message}")
