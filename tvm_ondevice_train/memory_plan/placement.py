"""Greedy placement, buffer after buffer, and hill climbing over the order of the buffers."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

from .buffer import Buffer, round_up

Conflicts = list[tuple[int, int, int]]  # of a buffer, see `find_conflicts`
Fit = Callable[[list[tuple[int, int]], int], int]  # the offset beside what is barred, aligned
SortKey = Callable[[Buffer], tuple[int, int]]


def heuristics(live: Mapping[int, int]) -> tuple[tuple[str, SortKey, Fit], ...]:
    """(name, sort key of a buffer, gap chooser) of each greedy algorithm."""

    def breadth(buffer: Buffer) -> int:
        return max(live[op] for op in live if buffer.first <= op <= buffer.last)

    return (
        ("greedy by size", lambda b: (-b.aligned_bytes, b.first), first_fit),
        ("greedy by lifetime", lambda b: (b.first - b.last, -b.aligned_bytes), first_fit),
        ("greedy by breadth", lambda b: (-breadth(b), -b.aligned_bytes), first_fit),
        ("first fit by start", lambda b: (b.first, -b.aligned_bytes), first_fit),
        ("best fit by size", lambda b: (-b.aligned_bytes, b.first), best_fit),
        ("best fit by start", lambda b: (b.first, -b.aligned_bytes), best_fit),
    )


def find_conflicts(buffers: Sequence[Buffer]) -> list[Conflicts]:
    """For each buffer (other, up, down) of those live at the same time.

    The other must begin at least `up` bytes above this one's offset, or this one at least `down`
    above the other's: then no byte that both need at one op is the same.
    """
    conflicts: list[Conflicts] = [[] for _ in buffers]
    active: list[int] = []
    for new in sorted(range(len(buffers)), key=lambda i: buffers[i].first):
        active = [i for i in active if buffers[i].last >= buffers[new].first]
        for old in active:
            up = _distance(buffers[old], buffers[new])
            down = _distance(buffers[new], buffers[old])
            conflicts[old].append((new, up, down))
            conflicts[new].append((old, down, up))
        active.append(new)
    return conflicts


def _distance(lower: Buffer, upper: Buffer) -> int:
    """By how much `upper` must at least begin above `lower`."""
    return max(
        high - low
        for first, last, _, high in lower.phases
        for other_first, other_last, low, _ in upper.phases
        if first <= other_last and other_first <= last
    )


def place(
    buffers: Sequence[Buffer], conflicts: Sequence[Conflicts], order: Sequence[int], fit: Fit
) -> list[int]:
    """Offsets when each buffer in `order` takes the gap that `fit` chooses beside the placed."""
    offsets = [-1] * len(buffers)
    for index in order:
        offsets[index] = fit(_barred(conflicts[index], offsets), buffers[index].alignment)
    return offsets


def _barred(conflicts: Conflicts, offsets: Sequence[int]) -> list[tuple[int, int]]:
    """Sorted (last offset below, first offset above) each conflicting buffer that is placed."""
    return sorted(
        [
            (offsets[other] - up, offsets[other] + down)
            for other, up, down in conflicts
            if offsets[other] >= 0
        ]
    )


def first_fit(barred: list[tuple[int, int]], alignment: int) -> int:
    """The lowest aligned offset that is strictly inside no (below, above) of `barred`."""
    offset = 0
    for below, above in barred:
        if offset <= below:
            break
        if offset < above:
            offset = round_up(above, alignment)
    return offset


def best_fit(barred: list[tuple[int, int]], alignment: int) -> int:
    """The aligned offset in the smallest gap that is large enough, else behind all barred."""
    offset, best, smallest = 0, None, None
    for below, above in barred:
        spare = below - offset
        if spare >= 0 and (smallest is None or spare < smallest):
            best, smallest = offset, spare
        offset = max(offset, round_up(above, alignment))
    return offset if best is None else best


def total_bytes(buffers: Sequence[Buffer], offsets: Sequence[int]) -> int:
    return max(o + buffer.aligned_bytes for buffer, o in zip(buffers, offsets, strict=True))


def climb(
    buffers: Sequence[Buffer],
    conflicts: Sequence[Conflicts],
    order: Sequence[int],
    bound: int,
    iterations: int,
    seed: int,
) -> list[int]:
    """Offsets after random moves in the order that never made the arena larger.

    A move takes a buffer that reaches the top of the arena, or one that is live beside it, to a
    place in the order that is most likely near: other buffers cannot lower the top.
    """
    generator = random.Random(seed)
    order = list(order)
    offsets = place(buffers, conflicts, order, first_fit)
    total = total_bytes(buffers, offsets)
    for _ in range(iterations):
        if total == bound:
            break
        tops = [i for i in order if offsets[i] + buffers[i].aligned_bytes == total]
        top = generator.choice(tops)
        moved = generator.choice([top, *(other for other, _, _ in conflicts[top])])
        source = order.index(moved)
        target = source + round(generator.gauss(0, len(order) / 10))
        target = min(max(target, 0), len(order) - 1)
        changed = order[:source] + order[source + 1 :]
        changed.insert(target, moved)
        tail = changed[min(source, target) :]
        tried = _place_again(buffers, conflicts, tail, moved, offsets, total)
        if tried:
            order, offsets, total = changed, tried, total_bytes(buffers, tried)
    return offsets


def _place_again(
    buffers: Sequence[Buffer],
    conflicts: Sequence[Conflicts],
    tail: Sequence[int],
    moved: int,
    old: Sequence[int],
    limit: int,
) -> list[int] | None:
    """Offsets `old`, but the `tail` of the order, where `moved` was moved, placed anew.

    A buffer keeps its offset if those it conflicts with do. None as soon as one ends above `limit`.
    """
    offsets = list(old)
    for index in tail:
        offsets[index] = -1
    stale = {moved, *(other for other, _, _ in conflicts[moved])}
    for index in tail:
        offset = old[index]
        if index in stale:
            offset = first_fit(_barred(conflicts[index], offsets), buffers[index].alignment)
            if offset + buffers[index].aligned_bytes > limit:
                return None
            if offset != old[index]:
                stale.update(other for other, _, _ in conflicts[index])
        offsets[index] = offset
    return offsets
