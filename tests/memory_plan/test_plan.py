"""Plans whose offsets can be checked by hand, and refused buffers."""

import pytest

from tvm_ondevice_train.memory_plan import Buffer, MemoryPlan, check_plan, plan


def test_a_chain_of_layers_alternates_between_two_ends():
    buffers = [
        Buffer("input", 64, 0, 1),  # [112, 176), beside conv1
        Buffer("conv1", 100, 1, 2),  # [0, 112), the largest, rounded up to 16
        Buffer("conv2", 48, 2, 3),  # [112, 160), over the dead input
        Buffer("logits", 10, 3, 4),  # [0, 16), over the dead conv1
    ]
    found = plan(buffers)
    check_plan(buffers, found)
    assert found == MemoryPlan(
        {"conv1": 0, "input": 112, "conv2": 112, "logits": 0}, 176, 176, 1, "greedy by size"
    )


def test_a_saved_activation_keeps_its_place_until_the_backward_reads_it():
    buffers = [
        Buffer("saved", 32, 0, 5),
        Buffer("forward", 64, 1, 2),
        Buffer("adjoint", 64, 3, 5),
    ]
    found = plan(buffers)
    check_plan(buffers, found)
    assert found.offsets == {"forward": 0, "adjoint": 0, "saved": 64}
    assert found.total_bytes == found.lower_bound_bytes == 96


def test_the_peak_is_the_first_op_with_the_largest_live_set():
    found = plan([Buffer("a", 16, 0, 3), Buffer("b", 48, 4, 6), Buffer("c", 32, 2, 3)])
    assert (found.peak_op, found.lower_bound_bytes) == (2, 48)


def test_small_buffers_may_have_a_small_alignment():
    buffers = [Buffer("tensor", 20, 0, 1), Buffer("loss", 4, 0, 1, 4), Buffer("lr", 4, 0, 1, 4)]
    found = plan(buffers)
    check_plan(buffers, found)
    assert found.offsets == {"tensor": 0, "loss": 32, "lr": 36}
    assert found.total_bytes == 40


def test_hill_climbing_reaches_the_bound_where_no_heuristic_does():
    buffers = [
        Buffer("b", 64, 0, 1),
        Buffer("a", 32, 1, 1),
        Buffer("e", 64, 1, 2),
        Buffer("d", 80, 2, 3),
        Buffer("c", 64, 3, 3),
    ]
    greedy, climbed = plan(buffers, iterations=0, effort=0), plan(buffers)
    check_plan(buffers, climbed)
    assert (greedy.total_bytes, greedy.lower_bound_bytes) == (176, 160)
    assert (climbed.total_bytes, climbed.algorithm) == (160, "hill climbing")
    assert (greedy.gap_bytes, climbed.gap_bytes) == (16, 0)


def test_a_buffer_that_shrinks_leaves_bytes_to_others():
    buffers = [
        Buffer("gradient", 100, 0, 5, spans=((0, 0, 100), (2, 0, 60), (4, 0, 10))),
        Buffer("early", 40, 2, 3),  # behind the 64 bytes that stay at op 2
        Buffer("late", 90, 4, 5),  # behind the 16 that stay at op 4
    ]
    found = plan(buffers)
    check_plan(buffers, found)
    assert found.offsets == {"gradient": 0, "late": 16, "early": 64}
    assert (found.total_bytes, found.lower_bound_bytes, found.peak_op) == (112, 112, 0)


def test_a_buffer_that_grows_downwards_lies_over_bytes_that_died():
    buffers = [
        Buffer("grown", 96, 0, 3, spans=((0, 64, 96), (2, 0, 96))),  # needs [64, 96), then all
        Buffer("early", 64, 0, 1),  # where "grown" is not yet
    ]
    found = plan(buffers)
    check_plan(buffers, found)
    assert found.offsets == {"grown": 0, "early": 0}
    assert (found.total_bytes, found.gap_bytes) == (96, 0)


def test_nothing_to_place_needs_no_arena():
    found = plan([])
    check_plan([], found)
    assert (found.total_bytes, found.peak_op) == (0, None)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("x", 0, 0, 1), "size_bytes > 0"),
        (("x", 8, 2, 1), "first <= last"),
        (("x", 8, 0, 1, 12), "power of two"),
        (("x", 64, 1, 3, 16, ((0, 0, 64),)), "rising ops from first"),
        (("x", 64, 1, 3, 16, ((2, 0, 64),)), "rising ops from first"),
        (("x", 64, 1, 3, 16, ((1, 0, 64), (4, 0, 8))), "up to last"),
        (("x", 64, 1, 3, 16, ((1, 0, 64), (1, 0, 8))), "rising ops"),
        (("x", 64, 1, 3, 16, ((1, 0, 65),)), "bytes inside the buffer"),
        (("x", 64, 1, 3, 16, ((1, 16, 16),)), "bytes inside the buffer"),
        (("x", 64, 1, 3, 16, ((1, 8, 64),)), "begin at its alignment"),
    ],
)
def test_an_impossible_buffer_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Buffer(*arguments)


def test_two_buffers_of_one_name_are_refused():
    with pytest.raises(ValueError, match="same name"):
        plan([Buffer("x", 8, 0, 1), Buffer("x", 8, 2, 3)])
