"""The smallest plan that any of the algorithms finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .buffer import Buffer, live_bytes
from .exact import solve
from .placement import climb, find_conflicts, heuristics, place, total_bytes

_CLIMBS = 4  # that share the steps of hill climbing


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

    @property
    def gap_bytes(self) -> int:
        """By how much the plan may be larger than need be; 0 proves that none is smaller."""
        return self.total_bytes - self.lower_bound_bytes


def plan(
    buffers: Sequence[Buffer], *, iterations: int = 1000, seed: int = 0, effort: float = 0.3
) -> MemoryPlan:
    """The smallest plan that any of the algorithms finds; the same input gives the same plan.

    Each is tried only while the total is above the lower bound: greedy heuristics, at most
    `iterations` steps of hill climbing in a few climbs from `seed`, and the exact solver for
    `effort`, its deterministic time (1 is about ten seconds), where OR-tools is installed.
    """
    if len({buffer.name for buffer in buffers}) < len(buffers):
        raise ValueError("memory plan: two buffers have the same name")
    if not buffers:
        return MemoryPlan({}, 0, 0, None, "empty")
    live = live_bytes(buffers)
    peak_op = max(live, key=live.__getitem__)
    algorithm, offsets = _best(buffers, live, live[peak_op], iterations, seed, effort)
    return MemoryPlan(
        {buffer.name: offset for buffer, offset in zip(buffers, offsets, strict=True)},
        total_bytes(buffers, offsets),
        live[peak_op],
        peak_op,
        algorithm,
    )


def _best(
    buffers: Sequence[Buffer],
    live: Mapping[int, int],
    bound: int,
    iterations: int,
    seed: int,
    effort: float,
) -> tuple[str, list[int]]:
    """(algorithm, offsets) of the smallest plan found."""
    conflicts = find_conflicts(buffers)
    candidates = []
    for algorithm, key, fit in heuristics(live):
        keys = [(*key(buffer), index) for index, buffer in enumerate(buffers)]
        order = sorted(range(len(buffers)), key=keys.__getitem__)
        offsets = place(buffers, conflicts, order, fit)
        candidates.append((total_bytes(buffers, offsets), algorithm, order, offsets))
    total, algorithm, order, offsets = min(candidates, key=lambda candidate: candidate[0])
    climbs = range(seed, seed + _CLIMBS) if iterations else ()
    for start in climbs:  # one way up may end on a low hill
        if total == bound:
            break
        steps = max(1, iterations // _CLIMBS)
        climbed = climb(buffers, conflicts, order, bound, steps, start)
        if total_bytes(buffers, climbed) < total:
            total, algorithm, offsets = total_bytes(buffers, climbed), "hill climbing", climbed
    if total > bound and effort:
        solved = solve(buffers, bound, total, effort)
        if solved:
            algorithm, offsets = "constraint solver", solved
    return algorithm, offsets
