"""One loop nest a kernel: what `DefaultSchedule` inlines, keeps in a register, and leaves alone."""

import numpy as np
import pytest
import tiny
import tvm
from tvm import relax, te, tirx
from tvm.s_tir import Schedule

from relay_passes import DefaultSchedule, lowering
from relay_passes.schedule import lower_to_loops
from tvm_ondevice_train.codegen.c_printer import print_kernel

X = te.placeholder((4, 8), "float32", "x")


def doubled():
    return te.compute((4, 8), lambda i, j: X[i, j] * 2.0, name="doubled")


def row_sums(of=X):
    r = te.reduce_axis((0, 8), "r")
    return te.compute((4,), lambda i: te.sum(of[i, r], axis=r), name="sums")


def elementwise_chain():
    first = doubled()
    return te.compute((4, 8), lambda i, j: first[i, j] + 1.0, name="result")


def sum_of_products():
    return row_sums(doubled())


def epilogue_of_a_sum():
    sums = row_sums()
    return te.compute((4,), lambda i: tirx.max(sums[i], 0.0), name="result")


def second_sum_over_the_first():
    sums, r = row_sums(), te.reduce_axis((0, 4), "r2")
    return te.compute((4,), lambda i: te.sum(sums[r] * X[i, r], axis=r), name="result")


def rows_over_their_sum():
    sums = row_sums()
    return te.compute((4, 8), lambda i, j: X[i, j] / sums[i], name="result")


def total():
    i, j = te.reduce_axis((0, 4), "i"), te.reduce_axis((0, 8), "j")
    return te.compute((), lambda: te.sum(X[i, j], axis=[i, j]), name="result")


def scheduled(tensor) -> tvm.IRModule:
    return DefaultSchedule()(tvm.IRModule({"main": te.create_prim_func([X, tensor])}))


def block_names(module) -> list[str]:
    schedule = Schedule(module)
    children = schedule.get_child_blocks(schedule.get_sblock("root"))
    return [schedule.get(block).name_hint for block in children]


@pytest.mark.parametrize(
    "build, blocks",
    [
        (elementwise_chain, ["result"]),
        (sum_of_products, ["sums_init", "sums_update", "sums_local"]),
        (epilogue_of_a_sum, ["sums_init", "sums_update", "result"]),
        (rows_over_their_sum, ["sums_init", "sums_update", "result"]),
    ],
)
def test_elementwise_blocks_vanish_and_sums_split_into_start_and_step(build, blocks):
    assert sorted(block_names(scheduled(build()))) == sorted(blocks)


@pytest.mark.parametrize(
    "build", [sum_of_products, epilogue_of_a_sum, total, second_sum_over_the_first]
)
def test_a_sum_is_kept_in_a_register(build):
    """No kernel of one spatial nest has scratch: its accumulator is one C variable."""
    kernel = print_kernel(lower_to_loops(scheduled(build()))["main"], inputs=1)
    accumulators = [line for line in kernel.text.splitlines() if line.strip().startswith("float ")]
    assert any("[" not in line for line in accumulators)
    assert kernel.workspace_bytes == 0


@pytest.mark.parametrize(
    "build",
    [
        elementwise_chain,
        sum_of_products,
        epilogue_of_a_sum,
        second_sum_over_the_first,
        rows_over_their_sum,
        total,
    ],
)
def test_scheduling_changes_no_result(build):
    x = np.random.default_rng(0).uniform(0.5, 1, (4, 8)).astype(np.float32)
    expected = {
        elementwise_chain: x * 2 + 1,
        sum_of_products: (2 * x).sum(1),
        epilogue_of_a_sum: x.sum(1),
        second_sum_over_the_first: x[:, :4] @ x.sum(1),
        rows_over_their_sum: x / x.sum(1, keepdims=True),
        total: x.sum(),
    }[build]
    np.testing.assert_allclose(tiny.run(tiny.kernel(X, build()), x=x)[0], expected, rtol=1e-6)


def test_a_scheduled_kernel_and_a_relax_function_are_left_alone():
    def body(emit, x, w):
        return emit(relax.op.nn.conv2d(x, w))

    image = ((1, 1, 3, 3), "float32")
    once = lowering()(tiny.module({"x": image, "w": image}, body))
    tvm.ir.assert_structural_equal(DefaultSchedule()(once), once)
