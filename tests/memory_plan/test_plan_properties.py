"""What holds for every plan, on random lifetimes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tvm_ondevice_train.memory_plan import Buffer, MemoryPlan, check_plan, plan
from tvm_ondevice_train.memory_plan.buffer import live_bytes
from tvm_ondevice_train.memory_plan.exact import solve
from tvm_ondevice_train.memory_plan.placement import (
    climb,
    find_conflicts,
    first_fit,
    heuristics,
    place,
    total_bytes,
)

LAST_OP = 12


@st.composite
def lifetimes(draw, most=14, least=0, units=300, alignments=(1, 4, 16, 64)) -> list[Buffer]:
    """Buffers of at most `units` bytes; many need other bytes at other ops."""
    buffers = []
    for index in range(draw(st.integers(least, most))):
        first = draw(st.integers(0, LAST_OP))
        last = draw(st.integers(first, LAST_OP))
        size_bytes, alignment = draw(st.integers(1, units)), draw(st.sampled_from(alignments))
        starts = draw(st.sets(st.integers(first, last), max_size=2))
        spans = []
        for op in sorted(starts | {first}) if starts else ():
            low = draw(st.integers(0, (size_bytes - 1) // alignment)) * alignment
            spans.append((op, low, draw(st.integers(low + 1, size_bytes))))
        buffers.append(Buffer(f"b{index}", size_bytes, first, last, alignment, tuple(spans)))
    return buffers


def needed_at(buffer: Buffer, op: int) -> range:
    """The bytes of the buffer that nothing else may take at `op`, up to its alignment."""
    if not buffer.first <= op <= buffer.last:
        return range(0)
    low, high = [(0, buffer.size_bytes), *(s[1:] for s in buffer.spans if s[0] <= op)][-1]
    return range(low, -(-high // buffer.alignment) * buffer.alignment)


def assert_no_byte_is_needed_twice(buffers: list[Buffer], offsets: dict[str, int]):
    """What `check_plan` proves from intervals, byte by byte."""
    for op in range(LAST_OP + 1):
        taken = [offsets[b.name] + byte for b in buffers for byte in needed_at(b, op)]
        assert len(taken) == len(set(taken))


def checked(buffers: list[Buffer], offsets: list[int]) -> int:
    """The total of a plan of these offsets, which must be right."""
    live = live_bytes(buffers)
    peak = max(live, key=live.get)
    names = [buffer.name for buffer in buffers]
    total = total_bytes(buffers, offsets)
    named = dict(zip(names, offsets, strict=True))
    check_plan(buffers, MemoryPlan(named, total, live[peak], peak, "test"))
    assert_no_byte_is_needed_twice(buffers, named)
    return total


def smallest(buffers: list[Buffer], limit: int) -> int:
    """The least total there is, from every offset of every buffer; at most `limit`."""

    def apart(one, offset, other, other_offset) -> bool:
        return all(
            offset + a.stop <= other_offset + b.start or other_offset + b.stop <= offset + a.start
            for a, b in ((needed_at(one, op), needed_at(other, op)) for op in range(LAST_OP + 1))
            if a and b
        )

    def search(placed: dict, rest: list[Buffer], best: int) -> int:
        if not rest:
            return max(offset + b.aligned_bytes for b, offset in placed.items())
        new = rest[0]
        for offset in range(0, limit, new.alignment):
            if offset + new.aligned_bytes >= best:
                break
            if all(apart(new, offset, old, placed[old]) for old in placed):
                best = min(best, search({**placed, new: offset}, rest[1:], best))
        return best

    return search({}, buffers, limit)


@settings(max_examples=150, deadline=None)
@given(lifetimes())
def test_no_overlap_and_never_below_the_largest_live_set(buffers):
    found = plan(buffers, iterations=40, effort=0)
    check_plan(buffers, found)
    assert_no_byte_is_needed_twice(buffers, found.offsets)
    live = [sum(len(needed_at(b, op)) for b in buffers) for op in range(LAST_OP + 1)]
    assert found.lower_bound_bytes == max(live) == found.total_bytes - found.gap_bytes
    assert found.gap_bytes >= 0
    assert found.peak_op == (live.index(max(live)) if buffers else None)


@settings(max_examples=60, deadline=None)
@given(lifetimes(least=1))
def test_every_algorithm_makes_a_right_plan_and_climbing_never_loses(buffers):
    conflicts = find_conflicts(buffers)
    for _, key, fit in heuristics(live_bytes(buffers)):
        order = sorted(range(len(buffers)), key=lambda i, key=key: key(buffers[i]))
        checked(buffers, place(buffers, conflicts, order, fit))
        start = checked(buffers, place(buffers, conflicts, order, first_fit))
        climbed = climb(buffers, conflicts, order, 0, 40, seed=0)
        assert checked(buffers, climbed) <= start
        assert climbed == climb(buffers, conflicts, order, 0, 40, seed=0)


@settings(max_examples=40, deadline=None)
@given(lifetimes())
def test_the_solver_repeats_and_never_loses(buffers):
    pytest.importorskip("ortools")
    solved = plan(buffers, iterations=0, effort=0.1)
    check_plan(buffers, solved)
    assert solved == plan(buffers, iterations=0, effort=0.1)
    assert solved.total_bytes <= plan(buffers, iterations=0, effort=0).total_bytes


@settings(max_examples=30, deadline=None)
@given(lifetimes(most=4, least=1, units=8, alignments=(1, 2, 4)))
def test_the_solver_finds_the_smallest_arena(buffers):
    pytest.importorskip("ortools")
    enough = 8 + sum(b.aligned_bytes for b in buffers)
    best = smallest(buffers, enough)
    assert checked(buffers, solve(buffers, 0, enough, effort=1)) == best
    assert plan(buffers, effort=0).total_bytes >= best
