"""What holds for every plan, on random lifetimes."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tvm_ondevice_train.memory_plan import Buffer, check_plan, plan

LAST_OP = 12


@st.composite
def lifetimes(draw) -> list[Buffer]:
    buffers = []
    for index in range(draw(st.integers(0, 14))):
        first = draw(st.integers(0, LAST_OP))
        last = draw(st.integers(first, LAST_OP))
        size_bytes, alignment = draw(st.integers(1, 300)), draw(st.sampled_from([1, 4, 16, 64]))
        buffers.append(Buffer(f"b{index}", size_bytes, first, last, alignment))
    return buffers


def live_bytes(buffers: list[Buffer], op: int) -> int:
    return sum(b.aligned_bytes for b in buffers if b.first <= op <= b.last)


@settings(max_examples=150, deadline=None)
@given(lifetimes())
def test_no_overlap_and_never_below_the_largest_live_set(buffers):
    found = plan(buffers, iterations=40)
    check_plan(buffers, found)
    bound = max(live_bytes(buffers, op) for op in range(LAST_OP + 1))
    assert found.lower_bound_bytes == bound <= found.total_bytes
    if buffers:
        assert live_bytes(buffers, found.peak_op) == bound


@settings(max_examples=40, deadline=None)
@given(lifetimes())
def test_climbing_repeats_and_never_loses(buffers):
    climbed = plan(buffers, iterations=40)
    assert climbed == plan(buffers, iterations=40)
    assert climbed.total_bytes <= plan(buffers, iterations=0).total_bytes
