"""Where each buffer lies in the arena: pure functions from live ranges to one frozen plan.

Every heuristic is the same greedy placement with another order of buffers and another choice of
gap. The best result is then improved by hill climbing over the order, which stops as soon as the
plan is as small as the largest live set: no plan can be smaller.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations


@dataclass(frozen=True)
class Buffer:
    """`size_bytes` that are live from op `first` to op `last`, both included."""

    name: str
    size_bytes: int
    first: int
    last: int
    alignment: int = 16

    def __post_init__(self):
        if self.size_bytes <= 0 or self.first > self.last:
            raise ValueError(f"memory plan: {self} needs size_bytes > 0 and first <= last")
        if self.alignment <= 0 or self.alignment & (self.alignment - 1):
            raise ValueError(f"memory plan: the alignment of {self} is not a power of two")

    @property
    def aligned_bytes(self) -> int:
        """What the buffer occupies: its size, rounded up to its alignment."""
        return _round_up(self.size_bytes, self.alignment)


@dataclass(frozen=True)
class MemoryPlan:
    """Offsets in the arena by buffer name, and how good they are.

    lower_bound_bytes: the largest sum of aligned sizes live at one op; total_bytes is never less.
    peak_op: the first op at which that sum is reached; None for a plan without buffers.
    algorithm: which of the algorithms found this plan.
    """

    offsets: Mapping[str, int]
    total_bytes: int
    lower_bound_bytes: int
    peak_op: int | None
    algorithm: str


def plan(buffers: Sequence[Buffer], *, iterations: int = 2000, seed: int = 0) -> MemoryPlan:
    """The smallest plan that any of the algorithms finds; the same input gives the same plan.

    iterations: the most steps of hill climbing, taken only while the total is above the bound.
    """
    if len({buffer.name for buffer in buffers}) < len(buffers):
        raise ValueError("memory plan: two buffers have the same name")
    if not buffers:
        return MemoryPlan({}, 0, 0, None, "empty")
    live = _live_bytes(buffers)
    peak_op = max(live, key=live.get)
    conflicts = _conflicts(buffers)
    candidates = []
    for algorithm, key, fit in _heuristics(live):
        order = sorted(range(len(buffers)), key=lambda i, key=key: (*key(buffers[i]), i))
        offsets = _place(buffers, conflicts, order, fit)
        candidates.append((_total(buffers, offsets), algorithm, order, offsets))
    total, algorithm, order, offsets = min(candidates, key=lambda candidate: candidate[0])
    if total > live[peak_op]:
        climbed = _climb(buffers, conflicts, order, live[peak_op], iterations, seed)
        if _total(buffers, climbed) < total:
            algorithm, offsets = "hill climbing", climbed
    return MemoryPlan(
        {buffer.name: offset for buffer, offset in zip(buffers, offsets, strict=True)},
        _total(buffers, offsets),
        live[peak_op],
        peak_op,
        algorithm,
    )


def check_plan(buffers: Sequence[Buffer], plan: MemoryPlan) -> None:
    """Prove that `plan` is right for `buffers`, by other means than the planner's.

    Raises AssertionError, also under `python -O`, that names the two buffers which are live at the
    same op and share a byte, or the buffer which is misplaced.
    """
    _require(set(plan.offsets) == {buffer.name for buffer in buffers}, "buffers and offsets differ")
    for buffer in buffers:
        offset = plan.offsets[buffer.name]
        end = offset + buffer.size_bytes
        _require(offset >= 0 and offset % buffer.alignment == 0, f"{buffer} misplaced at {offset}")
        _require(end <= plan.total_bytes, f"{buffer} ends at {end}, after {plan.total_bytes}")
    for one, other in combinations(buffers, 2):
        bytes_of_one, bytes_of_other = _bytes(one, plan), _bytes(other, plan)
        disjoint = not _common(bytes_of_one, bytes_of_other) or not _common(_ops(one), _ops(other))
        _require(disjoint, f"{_describe(one, plan)} overlaps {_describe(other, plan)}")
    for op in {buffer.first for buffer in buffers}:
        live = sum(buffer.aligned_bytes for buffer in buffers if op in _ops(buffer))
        _require(live <= plan.lower_bound_bytes, f"{live} bytes are live at op {op}")
    _require(plan.lower_bound_bytes <= plan.total_bytes, "the total is below the lower bound")


def _heuristics(live: Mapping[int, int]):
    """(name, sort key of a buffer, gap chooser) of each greedy algorithm."""

    def breadth(buffer: Buffer) -> int:
        return max(live[op] for op in live if buffer.first <= op <= buffer.last)

    return (
        ("greedy by size", lambda b: (-b.aligned_bytes, b.first), _first_fit),
        ("greedy by lifetime", lambda b: (b.first - b.last, -b.aligned_bytes), _first_fit),
        ("greedy by breadth", lambda b: (-breadth(b), -b.aligned_bytes), _first_fit),
        ("first fit by start", lambda b: (b.first, -b.aligned_bytes), _first_fit),
        ("best fit by size", lambda b: (-b.aligned_bytes, b.first), _best_fit),
        ("best fit by start", lambda b: (b.first, -b.aligned_bytes), _best_fit),
    )


def _live_bytes(buffers: Sequence[Buffer]) -> dict[int, int]:
    """Op -> bytes live there, at every op where something becomes live (so at the peak too)."""
    opened, closed = {}, {}
    for buffer in buffers:
        opened[buffer.first] = opened.get(buffer.first, 0) + buffer.aligned_bytes
        closed[buffer.last + 1] = closed.get(buffer.last + 1, 0) + buffer.aligned_bytes
    live, now = {}, 0
    for op in sorted(opened.keys() | closed.keys()):
        now += opened.get(op, 0) - closed.get(op, 0)
        if op in opened:
            live[op] = now
    return live


def _conflicts(buffers: Sequence[Buffer]) -> list[list[int]]:
    """For each buffer the indices of those live at the same time, from one sweep over the ops."""
    conflicts = [[] for _ in buffers]
    active = []
    for new in sorted(range(len(buffers)), key=lambda i: buffers[i].first):
        active = [i for i in active if buffers[i].last >= buffers[new].first]
        for old in active:
            conflicts[old].append(new)
            conflicts[new].append(old)
        active.append(new)
    return conflicts


def _place(buffers, conflicts, order, fit) -> list[int]:
    """Offsets when each buffer in `order` takes the gap that `fit` chooses beside the placed."""
    offsets = [-1] * len(buffers)
    for index in order:
        buffer = buffers[index]
        taken = sorted(
            (offsets[other], offsets[other] + buffers[other].aligned_bytes)
            for other in conflicts[index]
            if offsets[other] >= 0
        )
        offsets[index] = fit(taken, buffer.aligned_bytes, buffer.alignment)
    return offsets


def _first_fit(taken: list[tuple[int, int]], size: int, alignment: int) -> int:
    """The lowest aligned offset at which `size` bytes lie between the (start, end) in `taken`."""
    offset = 0
    for start, end in taken:
        if offset + size <= start:
            break
        offset = max(offset, _round_up(end, alignment))
    return offset


def _best_fit(taken: list[tuple[int, int]], size: int, alignment: int) -> int:
    """The aligned offset in the smallest gap that holds `size` bytes, else behind all taken."""
    offset, best, smallest = 0, None, None
    for start, end in taken:
        gap = start - offset
        if gap >= size and (smallest is None or gap < smallest):
            best, smallest = offset, gap
        offset = max(offset, _round_up(end, alignment))
    return offset if best is None else best


def _climb(buffers, conflicts, order, bound, iterations, seed) -> list[int]:
    """Offsets after random moves in the order that never made the arena larger.

    A move takes a buffer that reaches the top of the arena, or one that is live beside it, to
    another place in the order: other moves cannot lower the top.
    """
    generator = random.Random(seed)
    order = list(order)
    offsets = _place(buffers, conflicts, order, _first_fit)
    total = _total(buffers, offsets)
    for _ in range(iterations):
        if total == bound:
            break
        ends = [offset + buffers[i].aligned_bytes for i, offset in enumerate(offsets)]
        top = generator.choice([i for i, end in enumerate(ends) if end == total])
        moved = generator.choice([top, *conflicts[top]])
        changed = [i for i in order if i != moved]
        changed.insert(generator.randrange(len(order)), moved)
        tried = _place(buffers, conflicts, changed, _first_fit)
        if _total(buffers, tried) <= total:
            order, offsets, total = changed, tried, _total(buffers, tried)
    return offsets


def _total(buffers: Sequence[Buffer], offsets: Sequence[int]) -> int:
    return max(o + buffer.aligned_bytes for buffer, o in zip(buffers, offsets, strict=True))


def _round_up(value: int, alignment: int) -> int:
    return (value + alignment - 1) // alignment * alignment


def _bytes(buffer: Buffer, plan: MemoryPlan) -> range:
    return range(plan.offsets[buffer.name], plan.offsets[buffer.name] + buffer.size_bytes)


def _ops(buffer: Buffer) -> range:
    return range(buffer.first, buffer.last + 1)


def _common(one: range, other: range) -> bool:
    """Whether two ranges share a number."""
    return other.start in one or one.start in other


def _describe(buffer: Buffer, plan: MemoryPlan) -> str:
    taken = _bytes(buffer, plan)
    return f'"{buffer.name}" [{taken.start}, {taken.stop}) live {buffer.first}..{buffer.last}'


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(f"memory plan: {message}")
