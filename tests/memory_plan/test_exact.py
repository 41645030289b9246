"""The constraint solver: what it adds, that it repeats, and that it may be missing."""

import sys

import pytest

from tvm_ondevice_train.memory_plan import Buffer, check_plan, plan

BUFFERS = [
    Buffer("b", 64, 0, 1),
    Buffer("a", 32, 1, 1),
    Buffer("e", 64, 1, 2),
    Buffer("d", 80, 2, 3),
    Buffer("c", 64, 3, 3),
]


def test_it_reaches_the_bound_where_no_heuristic_does():
    pytest.importorskip("ortools")
    found = plan(BUFFERS, iterations=0)
    check_plan(BUFFERS, found)
    assert (found.algorithm, found.total_bytes, found.gap_bytes) == ("constraint solver", 160, 0)
    assert found == plan(BUFFERS, iterations=0)


SHRINKING = [
    Buffer("a", 96, 1, 2),
    Buffer("b", 64, 0, 4, spans=((0, 0, 64), (1, 0, 16))),
    Buffer("c", 32, 0, 3),
]
GROWING = [
    Buffer("a", 32, 2, 2),
    Buffer("b", 96, 0, 4, spans=((0, 64, 96), (4, 0, 96))),
    Buffer("c", 80, 0, 2),
    Buffer("d", 48, 3, 3),
]


@pytest.mark.parametrize("buffers, greedy", [(SHRINKING, 192), (GROWING, 176)])
def test_it_places_buffers_that_shrink_or_grow(buffers, greedy):
    pytest.importorskip("ortools")
    found = plan(buffers, iterations=0)
    check_plan(buffers, found)
    assert (found.algorithm, found.total_bytes, found.gap_bytes) == ("constraint solver", 144, 0)
    assert plan(buffers, iterations=0, effort=0).total_bytes == greedy


def test_without_it_the_heuristics_plan(monkeypatch):
    for module in ("ortools", "ortools.sat", "ortools.sat.python"):
        monkeypatch.setitem(sys.modules, module, None)
    found = plan(BUFFERS, iterations=0)
    check_plan(BUFFERS, found)
    assert (found.algorithm, found.total_bytes) == ("greedy by size", 176)
