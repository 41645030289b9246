"""One loop nest a kernel: what `DefaultSchedule` inlines, keeps in a register, and leaves alone."""

import math
import re

import numpy as np
import pytest
import tiny
import tvm
from tvm import relax, te
from tvm.script import ir as I

from relay_passes import DefaultSchedule, InPlace, LowerToLoops, lowering
from relay_passes.memory.read_step import kernel_of
from relay_passes.ops.convolution import conv2d_input_grad
from relay_passes.ops.masks import masked
from relay_passes.ops.registry import call
from relay_passes.tir import Schedule, T, tirx
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
    kernel = print_kernel(kernel_of(InPlace()(LowerToLoops()(scheduled(build())))["main"], 1))
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


def lowered(parameters, body):
    """The one kernel of the fused module, and the module to run."""
    module = tiny.module(parameters, body)
    (kernel,) = (f for f in lowering()(module).functions.values() if isinstance(f, tirx.PrimFunc))
    return print_kernel(kernel_of(kernel, len(parameters))), module


PLANE = 9 * 8 * 4  # bytes of a float32 channel


@pytest.mark.parametrize(
    "operator, weight, workspace",
    [
        (lambda x, w: relax.op.nn.conv2d(x, w, padding=1, groups=6), (6, 1, 3, 3), PLANE),
        # 9 x 7 elements are read
        (lambda x, w: relax.op.nn.conv2d(x, w, strides=2, groups=6), (6, 1, 3, 3), 256),
        (lambda x, w: relax.op.nn.conv2d(x, w, groups=6), (6, 1, 9, 8), 0),  # one window a channel
        (lambda x, w: relax.op.nn.conv2d(x, w, padding=1), (6, 6, 3, 3), 0),  # reads all channels
        (lambda x, w: relax.op.nn.conv2d(x, w, groups=6), (6, 1, 1, 1), 0),  # no window
    ],
)
def test_the_plane_of_a_channelwise_window_is_copied_and_no_weight(operator, weight, workspace):
    def body(emit, x, w):
        return emit(operator(x, w))

    shapes = {"x": (1, 6, 9, 8), "w": weight}
    kernel, module = lowered({n: (s, "float32") for n, s in shapes.items()}, body)
    assert kernel.workspace_bytes == workspace
    generator = np.random.default_rng(0)
    values = {n: generator.normal(size=s).astype(np.float32) for n, s in shapes.items()}
    fused, plain = (tiny.run(module, fuse, **values)[0] for fuse in (True, False))
    np.testing.assert_array_equal(fused, plain)


def test_a_tile_is_of_one_group_or_of_whole_ones():
    """Of 3 channels a group: the filters of a tile of 2 would be of 1 group, or of 2."""
    attributes = {"strides": [1, 1], "padding": [0] * 4, "dilation": [1, 1], "groups": 2}
    shapes = {"g": (1, 6, 1, 1), "w": (6, 3, 3, 3)}

    def body(emit, g, w):
        adjoint = emit(relax.op.broadcast_to(g, (1, 6, 7, 6)))
        return emit(call("conv2d_input_grad", adjoint, w, shape=[1, 6, 9, 8], **attributes))

    _, module = lowered({n: (s, "float32") for n, s in shapes.items()}, body)
    generator = np.random.default_rng(0)
    values = {n: generator.normal(size=s).astype(np.float32) for n, s in shapes.items()}
    fused, plain = (tiny.run(module, fuse, **values)[0] for fuse in (True, False))
    np.testing.assert_allclose(fused, plain, rtol=1e-5, atol=1e-6)


def test_a_pool_copies_its_plane_too():
    kernel, _ = lowered(
        {"x": ((1, 6, 9, 8), "float32")},
        lambda emit, x: emit(relax.op.nn.max_pool2d(x, (3, 3), padding=1)),
    )
    assert kernel.workspace_bytes == PLANE


def runs(text: str, what: str) -> int:
    """How often the statement with `what` in it runs."""
    extents: list[int] = []
    for line in text.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2 - 1
        if loop := re.match(r"\s*for \(.* < (\d+);", line):
            extents[depth:] = [int(loop[1])]
        elif what in line:
            return math.prod(extents[:depth])
    raise AssertionError(f"no {what}")


@pytest.mark.parametrize(
    "weight, groups, reading, times, scratch",
    [
        ((32, 32, 1, 1), 1, "0, 25, 32);", 1, 25 * 32 * 4),  # all pixels of all channels
        ((32, 1, 3, 3), 32, "odt_bit_read", 32 * 49, 7 * 8 * 4),  # one channel with its border
    ],
    ids=["pointwise", "depthwise"],
)
def test_a_mask_is_applied_once_to_each_element(weight, groups, reading, times, scratch):
    data = (1, weight[0], 5, 5)
    zeros = (relax.const(np.zeros(shape, np.float32)) for shape in (data, weight))
    conv = relax.op.nn.conv2d(*zeros, padding=weight[2] // 2, groups=groups)

    def body(emit, m, d, w):
        gradient = emit(conv2d_input_grad(emit(masked(m, d)), w, data, conv.attrs))
        return emit(relax.op.add(d, gradient))  # d lives on: what is under the mask is not stored

    parameters = {"m": (data, "bool"), "d": (data, "float32"), "w": (weight, "float32")}
    kernel, _ = lowered(parameters, body)
    assert runs(kernel.text, reading) == times
    assert kernel.text.count("odt_mask_planes") + kernel.text.count("odt_bit_read") == 1
    assert kernel.workspace_bytes >= scratch


def test_a_value_with_two_consumers_is_computed_once():
    shared = te.compute((4, 8), lambda i, j: te.exp(X[i, j]), name="shared")
    twice = te.compute((4, 8), lambda i, j: shared[i, j] * 2.0, name="twice")
    result = te.compute((4, 8), lambda i, j: shared[i, j] + twice[i, j], name="result")
    module = scheduled(result)
    assert "shared" in block_names(module) and "twice" not in block_names(module)
    x = np.random.default_rng(0).uniform(0, 1, (4, 8)).astype(np.float32)
    (found,) = tiny.run(tiny.kernel(X, result), x=x)
    np.testing.assert_allclose(found, 3 * np.exp(x), rtol=1e-6)


def test_what_nobody_reads_is_not_computed():
    """`FuseTIR` leaves it where an operator of several results was fused, as a batch norm."""

    @I.ir_module
    class Dead:
        @T.prim_func(s_tir=True)
        def kernel(x: T.Buffer((4, 8), "float32"), y: T.Buffer((4, 8), "float32")):
            unread = T.sblock_alloc_buffer((4, 8))
            for i, j in T.grid(4, 8):
                with T.sblock("unread"):
                    v_i, v_j = T.axis.remap("SS", [i, j])
                    unread[v_i, v_j] = x[v_i, v_j] * T.float32(2)
            for i, j in T.grid(4, 8):
                with T.sblock("y"):
                    v_i, v_j = T.axis.remap("SS", [i, j])
                    y[v_i, v_j] = x[v_i, v_j] + T.float32(1)

    schedule = Schedule(DefaultSchedule()(Dead)["kernel"])
    blocks = schedule.get_child_blocks(schedule.get_sblock("root"))
    assert [schedule.get(block).name_hint for block in blocks] == ["y"]
