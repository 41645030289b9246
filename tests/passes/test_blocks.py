"""Readers of the blocks of a schedule."""

import tvm
from tvm import te

from relay_passes.blocks import axis_values, is_spatial, names_in, outputs_of, spatial_axes
from relay_passes.tir import Schedule


def row_sums() -> Schedule:
    """doubled = 2 x; sums = the sums of its rows; out = sums + 1."""
    x = te.placeholder((4, 6), "float32", "x")
    doubled = te.compute((4, 6), lambda i, j: x[i, j] * 2.0, name="doubled")
    along = te.reduce_axis((0, 6), "k")
    sums = te.compute((4,), lambda i: te.sum(doubled[i, along], axis=along), name="sums")
    out = te.compute((4,), lambda i: sums[i] + 1.0, name="out")
    return Schedule(tvm.IRModule({"main": te.create_prim_func([x, out])}))


def test_names_are_in_the_order_of_the_program():
    schedule = row_sums()
    assert names_in(schedule) == ["doubled", "sums", "out"]
    assert outputs_of(schedule) == {"out"}


def test_a_loop_holds_what_was_moved_into_it():
    schedule = row_sums()
    row, column = schedule.get_loops(schedule.get_sblock("sums"))
    schedule.compute_at(schedule.get_sblock("doubled"), row)
    assert names_in(schedule, row) == ["doubled", "sums"]
    assert names_in(schedule, column) == ["sums"]


def test_spatial_axes_are_not_summed_over():
    schedule = row_sums()
    blocks = {name: schedule.get(schedule.get_sblock(name)) for name in names_in(schedule)}
    assert {name: len(spatial_axes(block)) for name, block in blocks.items()} == {
        **{"doubled": 2, "sums": 1, "out": 1}
    }
    assert [name for name, block in blocks.items() if not is_spatial(block)] == ["sums"]


def test_axes_stand_for_what_the_loops_say():
    schedule = row_sums()
    block = schedule.get_sblock("doubled")
    outer, inner = schedule.split(schedule.get_loops(block)[1], [None, 2])
    row, *_ = schedule.get_loops(block)
    values = list(axis_values(schedule, block).values())
    variables = [schedule.get(loop).loop_var for loop in (row, outer, inner)]
    assert values[0].same_as(variables[0])
    tvm.ir.assert_structural_equal(values[1], variables[1] * 2 + variables[2])
