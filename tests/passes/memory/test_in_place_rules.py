"""When `InPlace` claims a pair, on kernels written by hand; what they read, and their scratch."""

import pytest
import tiny
import tvm
from tvm import relax, te
from tvm.script import ir as I

from relay_passes import InPlace, lowering
from relay_passes.kernel_attributes import in_place_pairs, parameters_read, workspace_bytes
from relay_passes.memory.read_step import read_step
from relay_passes.tir import T


@I.ir_module
class Rules:
    """Kernels of x, or of x and w, to y."""

    @T.prim_func(s_tir=True)
    def loaded_later(x: T.Buffer((8,)), y: T.Buffer((8,)), z: T.Buffer((8,))):
        for i in range(8):
            y[i] = x[i] * T.float32(2)
            z[i] = x[i] + T.float32(1)

    @T.prim_func(s_tir=True)
    def backwards(x: T.Buffer((8,)), y: T.Buffer((8,))):
        for i in range(8):
            y[i] = x[7 - i]

    @T.prim_func(s_tir=True)
    def twice(x: T.Buffer((8,)), y: T.Buffer((8,))):
        for i in range(8):
            y[i] = T.float32(0)
            y[i] = y[i] + x[i]

    @T.prim_func(s_tir=True)
    def cut_in_two(x: T.Buffer((8,)), y: T.Buffer((8,))):
        for i in range(4):
            y[i] = x[i]
        for i in range(4):
            y[4 + i] = x[4 + i] * T.float32(2)

    @T.prim_func(s_tir=True)
    def halves_swapped(x: T.Buffer((8,)), y: T.Buffer((8,))):
        for i in range(4):
            y[i] = x[4 + i]
        for i in range(4):
            y[4 + i] = x[i]

    @T.prim_func(s_tir=True)
    def written(x: T.Buffer((8,)), y: T.Buffer((8,))):
        for i in range(8):
            y[i] = x[i]
            x[i] = T.float32(0)

    @T.prim_func(s_tir=True)
    def condition(x: T.Buffer((8,)), w: T.Buffer((8,), "int32"), y: T.Buffer((8,))):
        for i in range(8):
            if w[i] > 0:
                y[i] = x[i]

    @T.prim_func(s_tir=True)
    def only_the_shape(x: T.Buffer((8,)), w: T.Buffer((8,)), y: T.Buffer((8,))):
        for i in range(8):
            y[i] = w[i]

    @T.prim_func(s_tir=True)
    def parts(x: T.Buffer((32,)), y: T.Buffer((16,))):
        for v in range(8):
            y[v * 2] = x[v * 4] + x[v * 4 + 3]
            y[v * 2 + 1] = T.float32(0)

    @T.prim_func(s_tir=True)
    def next_part(x: T.Buffer((32,)), y: T.Buffer((16,))):
        for v in range(8):
            y[v * 2] = x[v * 4] + x[v * 4 + 4]
            y[v * 2 + 1] = T.float32(0)

    @T.prim_func(s_tir=True)
    def parts_too_close(x: T.Buffer((32,)), y: T.Buffer((16,))):
        for v in range(8):
            y[v * 2] = x[v]
            y[v * 2 + 1] = T.float32(0)

    @T.prim_func(s_tir=True)
    def part_loaded_later(x: T.Buffer((32,)), y: T.Buffer((16,))):
        for v in range(8):
            y[v * 2] = x[v * 4]
            y[v * 2 + 1] = x[v * 4 + 1]

    @T.prim_func(s_tir=True)
    def parts_in_two_loops(x: T.Buffer((32,)), y: T.Buffer((16,))):
        for v in range(8):
            y[v * 2] = x[v * 4]
        for v in range(8):
            y[v * 2 + 1] = T.float32(0)

    @T.prim_func(s_tir=True)
    def parts_cut_in_two(x: T.Buffer((32,)), y: T.Buffer((16,))):
        for v in range(3):
            y[v * 2] = x[v * 4]
        for v in range(5):
            y[v * 2 + 6] = x[v * 4 + 12]

    @T.prim_func(s_tir=True)
    def last_parts_first(x: T.Buffer((32,)), y: T.Buffer((16,))):
        for v in range(4):
            y[v * 2 + 8] = x[v * 4 + 16]
        for v in range(4):
            y[v * 2] = x[v * 4]

    @T.prim_func(s_tir=True)
    def one_inner_loop(x: T.Buffer((32,)), y: T.Buffer((16,))):
        for v in range(8):
            for i in range(2):
                y[v * 2 + i] = x[v * 4 + 1 - i]

    @T.prim_func(s_tir=True)
    def larger_parts(x: T.Buffer((16,)), y: T.Buffer((32,))):
        for v in range(8):
            y[v * 4] = x[v * 2]
            for i in range(3):
                y[v * 4 + 1 + i] = T.float32(0)

    @T.prim_func(s_tir=True)
    def larger_by_no_alignment(x: T.Buffer((15,)), y: T.Buffer((30,))):
        for v in range(5):
            y[v * 6] = x[v * 3]
            for i in range(5):
                y[v * 6 + 1 + i] = T.float32(0)


@pytest.mark.parametrize(
    "name, pairs",
    [
        ("loaded_later", ((0, 2),)),
        ("backwards", ()),
        ("twice", ()),
        ("cut_in_two", ((0, 1),)),
        ("halves_swapped", ()),
        ("written", ()),
        ("condition", ((0, 2), (1, 2))),
        ("only_the_shape", ((1, 2),)),
        ("parts", ((0, 1),)),
        ("next_part", ()),
        ("parts_too_close", ()),
        ("part_loaded_later", ()),
        ("parts_in_two_loops", ()),
        ("parts_cut_in_two", ((0, 1),)),
        ("last_parts_first", ()),
        ("one_inner_loop", ()),
        ("larger_parts", ((0, 1),)),
        ("larger_by_no_alignment", ()),
    ],
)
def test_a_pair_is_claimed_where_loads_are_done_before_the_store(name, pairs):
    assert in_place_pairs(InPlace()(Rules)[name]) == pairs


@pytest.mark.parametrize(
    "name, read", [("only_the_shape", {1}), ("condition", {0, 1}), ("twice", {0, 1})]
)
def test_parameters_that_are_loaded(name, read):
    """An operand that is read for its shape alone needs no argument, nor to be alive."""
    assert parameters_read(InPlace()(Rules)[name]) == read


@pytest.mark.parametrize("elements, scratch", [(16, 0), (17, 80), (100, 400)])
def test_scratch_that_is_too_large_for_the_stack_is_counted(elements, scratch):
    source = te.placeholder((elements, 8), "float32", "x")
    r = te.reduce_axis((0, 8), "r")
    sums = te.compute((elements,), lambda i: te.sum(source[i, r], axis=r), name="sums")
    divided = te.compute((elements, 8), lambda i, j: source[i, j] / sums[i], name="divided")
    lowered = lowering(fuse=False)(tiny.kernel(source, divided))
    assert workspace_bytes(lowered["kernel"]) == scratch
    (op,) = read_step(lowered).tasks
    assert op.kernel.workspace_bytes == scratch


def test_relax_functions_and_the_kernels_themselves_stay_as_they_are():
    body = {"x": ((4, 8), "float32")}, lambda emit, x: relax.op.nn.relu(x)
    lowered = lowering()(tiny.module(*body))
    again = InPlace()(lowered)
    tvm.ir.assert_structural_equal(again, lowered)
    tvm.ir.assert_structural_equal(InPlace()(Rules)["parts"].body, Rules["parts"].body)
