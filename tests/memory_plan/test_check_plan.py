"""The checker must find each kind of wrong plan, since every other test relies on it."""

from dataclasses import replace

import pytest

from tvm_ondevice_train.memory_plan import Buffer, check_plan, plan

BUFFERS = [Buffer("a", 64, 1, 3), Buffer("b", 64, 3, 4), Buffer("c", 64, 4, 5)]
GOOD = plan(BUFFERS)


def test_a_good_plan_passes():
    assert GOOD.offsets == {"a": 0, "b": 64, "c": 0}
    check_plan(BUFFERS, GOOD)


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"offsets": {"a": 0, "b": 48, "c": 0}}, r'"a" \[0, 64\) live 1..3 overlaps "b" \[48, 112'),
        ({"offsets": {"a": 0, "b": 0, "c": 64}}, r'"a" \[0, 64\) live 1..3 overlaps "b" \[0, 64'),
        ({"offsets": {"a": 0, "b": 64, "c": 8}}, "misplaced at 8"),
        ({"offsets": {"a": 0, "b": 64, "c": -64}}, "misplaced at -64"),
        ({"offsets": {"a": 0, "b": 64}}, "buffers and offsets differ"),
        ({"total_bytes": 120}, "ends at 128, after 120"),
        ({"lower_bound_bytes": 64}, "128 bytes are live at op 3"),
        ({"lower_bound_bytes": 256}, "below the lower bound"),
        ({"lower_bound_bytes": 256, "total_bytes": 256}, "128 bytes are live at the peak, op 3"),
        ({"peak_op": 1}, "64 bytes are live at the peak, op 1, not 128"),
    ],
)
def test_a_wrong_plan_is_found(wrong, message):
    with pytest.raises(AssertionError, match=message):
        check_plan(BUFFERS, replace(GOOD, **wrong))


def test_a_buffer_inside_another_is_an_overlap():
    buffers = [Buffer("large", 256, 0, 9), Buffer("small", 16, 4, 5)]
    inside = replace(plan(buffers), offsets={"large": 0, "small": 64})
    with pytest.raises(AssertionError, match="overlaps"):
        check_plan(buffers, inside)


SHRINKING = Buffer("changing", 64, 0, 9, spans=((0, 0, 64), (5, 0, 16)))
GROWING = Buffer("changing", 64, 0, 9, spans=((0, 48, 64), (5, 0, 64)))


@pytest.mark.parametrize(
    "changing, other, offset, overlaps_at",
    [
        (SHRINKING, Buffer("other", 48, 5, 9), 16, None),
        (SHRINKING, Buffer("other", 48, 4, 9), 16, 4),
        (SHRINKING, Buffer("other", 48, 5, 9), 0, 5),
        (GROWING, Buffer("other", 48, 0, 4), 0, None),
        (GROWING, Buffer("other", 48, 0, 5), 0, 5),
        (GROWING, Buffer("other", 48, 0, 4), 16, 0),
    ],
)
def test_a_buffer_may_lie_where_another_is_not_yet_or_no_longer(
    changing, other, offset, overlaps_at
):
    buffers = [changing, other]
    offsets = {"changing": 0, "other": offset}
    found = replace(plan(buffers), offsets=offsets, total_bytes=128)
    if overlaps_at is None:
        check_plan(buffers, found)
    else:
        with pytest.raises(AssertionError, match=f"overlaps .* at op {overlaps_at}$"):
            check_plan(buffers, found)
