"""The C of one kernel: exact numbers, packed booleans, floor division, scratch that is planned."""

import struct

import numpy as np
import pytest
import tiny
from hypothesis import example, given
from hypothesis import strategies as st
from tvm import relax, te

from relay_passes import lowering
from relay_passes.graph import tensor_bytes
from relay_passes.memory.read_step import read_step
from relay_passes.tir import tirx
from tvm_ondevice_train.codegen.c_printer import print_kernel
from tvm_ondevice_train.codegen.c_text import float_literal
from tvm_ondevice_train.errors import OdtError

X = te.placeholder((4, 8), "float32", "x")
CODES = te.placeholder((40,), "int32", "x")
ROWS = np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32)


def printed(source, result):
    (op,) = read_step(lowering(fuse=False)(tiny.kernel(source, result))).tasks
    return print_kernel(op.kernel)


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
@example(1e-45)
@example(-0.0)
@example(3.4028234663852886e38)
@example(16777216.0)
def test_a_float_literal_is_the_same_float_again(value):
    text = float_literal(value)
    assert text.endswith("f") and any(c in text for c in ".e")
    assert struct.pack("f", float(text[:-1])) == struct.pack("f", value)
    assert len(text) <= 16


@pytest.mark.parametrize("value", [float("inf"), -float("inf"), float("nan")])
def test_a_number_that_is_not_finite_is_refused(value):
    with pytest.raises(OdtError, match="only finite numbers can be compiled"):
        float_literal(value)


@pytest.mark.parametrize(
    "shape, dtype, size",
    [
        ((), "bool", 1),
        ((8,), "bool", 1),
        ((3, 3), "bool", 2),
        ((3, 3), "float32", 36),
        ((), "int64", 8),
    ],
)
def test_bytes_of_a_tensor(shape, dtype, size):
    assert tensor_bytes(shape, dtype) == size


@pytest.mark.parametrize("divisor", [1, 2, 3, 7, 8])
def test_division_and_remainder_round_down_for_negative_numbers(divisor):
    """C truncates towards zero; TVM's floordiv and floormod do not."""
    numbers = np.arange(-20, 20, dtype=np.int32)
    divided = te.compute((40,), lambda i: tirx.floordiv(CODES[i], divisor), name="divided")
    left = te.compute((40,), lambda i: tirx.floormod(CODES[i], divisor), name="left")
    for result, expected in ((divided, numbers // divisor), (left, numbers % divisor)):
        np.testing.assert_array_equal(tiny.run(tiny.kernel(CODES, result), x=numbers)[0], expected)


@pytest.mark.parametrize("count", [1, 7, 8, 9, 40])
def test_booleans_are_packed_eight_to_a_byte(count):
    numbers = np.random.default_rng(count).integers(-9, 9, count).astype(np.int32)
    source = te.placeholder((count,), "int32", "x")
    result = te.compute((count,), lambda i: source[i] > 0, name="positive")
    module = tiny.kernel(source, result)
    np.testing.assert_array_equal(tiny.run(module, x=numbers)[0], numbers > 0)
    (op,) = read_step(lowering(fuse=False)(module)).tasks
    assert op.outputs[0].size_bytes == (count + 7) // 8
    text = print_kernel(op.kernel).definition("f")
    together = "odt_bits_write(out, " in text
    assert together == (count == 8) and together != ("odt_bit_write(out, " in text)


@pytest.mark.parametrize("width, together", [(2, True), (3, False), (4, True), (16, True)])
def test_booleans_of_a_short_loop_are_written_together(width, together):
    numbers = np.random.default_rng(width).integers(-9, 9, (6, width)).astype(np.int32)
    source = te.placeholder((6, width), "int32", "x")
    result = te.compute((6, width), lambda i, j: source[i, j] > 0, name="positive")
    module = tiny.kernel(source, result)
    np.testing.assert_array_equal(tiny.run(module, x=numbers)[0], numbers > 0)
    (op,) = read_step(lowering(fuse=False)(module)).tasks
    assert ("odt_bits_write(out, " in print_kernel(op.kernel).definition("f")) == together


def rows_over_their_sum(rows):
    source = te.placeholder((rows, 8), "float32", "x")
    r = te.reduce_axis((0, 8), "r")
    sums = te.compute((rows,), lambda i: te.sum(source[i, r], axis=r), name="sums")
    return source, te.compute((rows, 8), lambda i, j: source[i, j] / sums[i], name="result")


@pytest.mark.parametrize("rows, workspace", [(2, 0), (16, 0), (17, 80), (100, 400)])
def test_scratch_over_64_bytes_goes_to_the_workspace(rows, workspace):
    source, result = rows_over_their_sum(rows)
    kernel = printed(source, result)
    assert kernel.workspace_bytes == workspace
    assert ("uint8_t *workspace" in kernel.text) == bool(workspace)
    x = np.random.default_rng(0).uniform(1, 2, (rows, 8)).astype(np.float32)
    (found,) = tiny.run(tiny.kernel(source, result), x=x)
    np.testing.assert_allclose(found, x / x.sum(1, keepdims=True), rtol=1e-6)


def test_inputs_are_const():
    r = te.reduce_axis((0, 8), "r")
    gram = te.compute((4, 4), lambda i, j: te.sum(X[i, r] * X[j, r], axis=r), name="gram")
    kernel = printed(X, gram)
    assert kernel.parameters == (("float", True), ("float", False))
    arguments = "(const float *restrict x, float *restrict out)"
    assert f"ODT_KERNEL void gram{arguments}" in kernel.definition("gram")
    np.testing.assert_allclose(tiny.run(tiny.kernel(X, gram), x=ROWS)[0], ROWS @ ROWS.T, rtol=1e-5)


def test_only_pointers_that_no_pair_shares_are_restrict():
    """y and the result may be the same bytes; what the convolution reads lies elsewhere."""

    def body(emit, x, w, y):
        return relax.op.add(emit(relax.op.nn.conv2d(x, w)), y)

    parameters = {"x": (1, 2, 4, 4), "w": (2, 2, 1, 1), "y": (1, 2, 4, 4)}
    module = tiny.module({name: (shape, "float32") for name, shape in parameters.items()}, body)
    (op,) = read_step(lowering()(module)).tasks
    pointers = ["const float *restrict data", "const float *restrict weight", "const float *right"]
    assert [t.name for t in op.inputs] == ["x", "w", "y"]
    assert f"({', '.join(pointers)}, float *out)" in print_kernel(op.kernel).definition("f")


@pytest.mark.parametrize(
    "element, expected, tolerance",
    [
        (lambda v: te.exp(v), np.exp, 1e-6),
        (lambda v: te.tanh(v), np.tanh, 1e-6),
        (lambda v: te.sigmoid(v), lambda v: 1 / (1 + np.exp(-v)), 1e-6),
        (lambda v: te.sqrt(te.abs(v)), lambda v: np.sqrt(np.abs(v)), 0),
        (lambda v: te.floor(v), np.floor, 0),
        (lambda v: te.round(v * 2.0), lambda v: np.rint(v * 2), 0),
        (lambda v: tirx.max(tirx.min(v, 0.5), -0.25), lambda v: np.clip(v, -0.25, 0.5), 0),
        (lambda v: tirx.Select(tirx.Not(v > 0.0), -v, v), np.abs, 0),
        (lambda v: v * tirx.const(-1e-40, "float32"), lambda v: v * np.float32(-1e-40), 0),
    ],
)
def test_expressions(element, expected, tolerance):
    result = te.compute((4, 8), lambda i, j: element(X[i, j]), name="result")
    (found,) = tiny.run(tiny.kernel(X, result), x=ROWS)
    np.testing.assert_allclose(found, expected(ROWS), rtol=tolerance)


def test_an_operation_without_c_is_named():
    result = te.compute((4, 8), lambda i, j: te.sin(X[i, j]), name="result")
    with pytest.raises(OdtError, match="no C for the function sinf; this operator cannot"):
        printed(X, result)
