"""Loops are called by what they count."""

import re

import pytest
import tiny
from tvm import relax, te

from relay_passes import lowering
from relay_passes.memory.read_step import read_step
from relay_passes.ops.convolution import conv2d_weight_grad
from relay_passes.ops.update import sgd_update
from tvm_ondevice_train.codegen.c_printer import print_kernel


def loops(module) -> list[str]:
    (*_, task) = read_step(lowering()(module)).tasks
    text = print_kernel(task.kernel).definition("f")
    return re.findall(r"for \(int32_t (\w+) = 0", text)


def test_of_a_convolution():
    types = {"x": ((1, 2, 5, 5), "float32"), "w": ((4, 2, 3, 3), "float32")}
    module = tiny.module(types, lambda emit, x, w: emit(relax.op.nn.conv2d(x, w)))
    assert loops(module) == ["output", "row", "column", "channel", "tap_row", "tap_column"]


def test_of_what_is_elementwise_on_activations_and_on_vectors():
    def relu(emit, x):
        return emit(relax.op.nn.relu(x))

    assert loops(tiny.module({"x": ((1, 2, 5, 5), "float32")}, relu)) == [
        "channel",
        "row",
        "column",
    ]
    assert loops(tiny.module({"x": ((6,), "float32")}, relu)) == ["element"]


def test_of_a_weight():
    def body(emit, w, g, rate):
        return emit(sgd_update(w, g, rate))

    types = {name: ((4, 2, 3, 3), "float32") for name in ("w", "g")}
    names = loops(tiny.module({**types, "rate": ((), "float32")}, body))
    assert names == ["output", "channel", "tap_row", "tap_column"]


def test_the_outer_of_two_loops_counts_tiles():
    def body(emit, dy, x):
        attrs = relax.op.nn.conv2d(x, relax.const(tiny.np.zeros((8, 4, 3, 3), "float32"))).attrs
        return emit(conv2d_weight_grad(dy, x, (8, 4, 3, 3), attrs))

    types = {"dy": ((1, 8, 6, 6), "float32"), "x": ((1, 4, 8, 8), "float32")}
    names = loops(tiny.module(types, body))
    assert "output_tile" in names and "output" in names
    assert names.index("output_tile") < names.index("output")


@pytest.mark.parametrize("rows", [1, 6])
def test_nested_loops_never_share_a_name(rows):
    source = te.placeholder((rows, 8), "float32", "x")
    k = te.reduce_axis((0, 8), "row")
    result = te.compute(
        (rows, 8), lambda row, c: te.sum(source[row, k] * source[row, c], axis=k), name="y"
    )
    text = print_kernel(read_step(lowering(False)(tiny.kernel(source, result))).tasks[0].kernel)
    nested, open_names = 0, []
    for line in text.definition("f").splitlines():
        if found := re.match(r"( *)for \(int32_t (\w+)", line):
            depth = len(found[1])
            open_names = [(d, n) for d, n in open_names if d < depth]
            assert found[2] not in [name for _, name in open_names]
            open_names.append((depth, found[2]))
            nested = max(nested, len(open_names))
    assert nested >= 2
