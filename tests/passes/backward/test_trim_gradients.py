"""Gradients of which only some channels are read, computed for those alone."""

import numpy as np
import pytest
import tiny
import tvm
from structure import assert_same
from tvm import relax

from relay_passes.backward.trim_gradients import trim_gradients
from relay_passes.graph import bindings_of
from relay_passes.ops.channels import indices_of, take_channels
from relay_passes.ops.convolution import conv2d_weight_grad
from relay_passes.ops.registry import call

DATA, ADJOINT, WEIGHT = (1, 6, 5, 5), (1, 8, 5, 5), (8, 6, 1, 1)


def geometry(groups: int = 1, padding: int = 0) -> dict:
    pairs = {"strides": [1, 1], "padding": [padding] * 4, "dilation": [1, 1]}
    return {**pairs, "groups": groups}


def weight_grad(adjoint, data, shape, groups: int = 1, rows=None):
    """``conv2d_weight_grad`` written out, with the rows of the adjoint that it reads."""
    attrs = geometry(groups, padding=shape[2] // 2)
    return call("conv2d_weight_grad", adjoint, data, shape=shape, rows=rows or [0, 8], **attrs)


def whole(adjoint, data, shape=WEIGHT, groups: int = 1):
    return weight_grad(adjoint, data, list(shape), groups, [0, shape[0]])


def narrowed(module: tvm.IRModule) -> tvm.IRModule:
    return tvm.IRModule({"main": trim_gradients(module["main"], forward=())})


def of_floats(emit, dy, x):
    return emit(take_channels(emit(whole(dy, x)), [1, 3]))


def of_floats_after(emit, dy, x):
    return emit(weight_grad(dy, emit(take_channels(x, [1, 3])), [8, 2, 1, 1]))


def of_codes(emit, dy, x):
    return emit(take_channels(emit(whole(dy, emit(tiny.dequantize(x, 0.5, 3)))), [1, 3]))


def of_codes_after(emit, dy, x):
    real = emit(tiny.dequantize(emit(take_channels(x, [1, 3])), 0.5, 3))
    return emit(weight_grad(dy, real, [8, 2, 1, 1]))


def grouped(emit, dy, x):
    return emit(take_channels(emit(whole(dy, x, (8, 3, 1, 1), groups=2)), [0, 1, 2, 3]))


def grouped_after(emit, dy, x):
    taken = emit(take_channels(x, [0, 1, 2, 4, 5, 6]))
    return emit(weight_grad(dy, taken, [8, 2, 1, 1], groups=2))


def depthwise(emit, dy, x):
    return emit(take_channels(emit(whole(dy, x, (8, 1, 3, 3), groups=4)), [2, 4, 6, 8], 0))


def depthwise_after(emit, dy, x):
    taken = emit(take_channels(x, [1, 2, 3, 4]))
    return emit(weight_grad(dy, taken, [4, 1, 3, 3], groups=2, rows=[2, 4, 6, 8]))


def shared(emit, dy, x):
    other = emit(relax.op.exp(dy))
    total = emit(relax.op.add(emit(whole(dy, x)), emit(whole(other, x))))
    return emit(take_channels(total, [4, 6]))


def shared_after(emit, dy, x):
    other = emit(relax.op.exp(dy))
    taken = [emit(take_channels(x, [4, 6])) for _ in range(2)]
    terms = [emit(weight_grad(d, x, [8, 2, 1, 1])) for d, x in zip((dy, other), taken, strict=True)]
    return emit(relax.op.add(*terms))


CASES = {  # before, after, shape and dtype of the data
    "float": (of_floats, of_floats_after, DATA, "float32"),
    "int8": (of_codes, of_codes_after, DATA, "int8"),
    "grouped": (grouped, grouped_after, DATA, "float32"),
    "depthwise": (depthwise, depthwise_after, (1, 4, 5, 5), "float32"),
    "shared weight": (shared, shared_after, DATA, "float32"),
}


@pytest.mark.parametrize("before, after, shape, dtype", CASES.values(), ids=CASES)
def test_channels_are_taken_of_the_saved_input(before, after, shape, dtype):
    types = {"dy": (ADJOINT, "float32"), "x": (shape, dtype)}
    assert_same(narrowed(tiny.module(types, before)), tiny.module(types, after))


@pytest.mark.parametrize("before, after, shape, dtype", CASES.values(), ids=CASES)
def test_the_slice_of_the_gradient_is_the_same(before, after, shape, dtype):
    generator = np.random.default_rng(0)
    module = tiny.module({"dy": (ADJOINT, "float32"), "x": (shape, dtype)}, before)
    values = {
        "dy": generator.normal(size=ADJOINT).astype(np.float32),
        "x": generator.integers(-9, 9, shape).astype(dtype),
    }
    (expected,), (found,) = (tiny.run(m, **values) for m in (module, narrowed(module)))
    assert expected.any()
    np.testing.assert_array_equal(found, expected)


ROWS, COLUMNS = (4, 6), (4, 8)  # of the input, and the adjoint, of a matrix


def turned(emit, x):
    return emit(relax.op.permute_dims(x))


def of_a_matrix(emit, dy, x):
    return emit(take_channels(emit(relax.op.matmul(turned(emit, x), dy)), [1, 3], 0))


def of_a_matrix_after(emit, dy, x):
    return emit(relax.op.matmul(turned(emit, emit(take_channels(x, [1, 3]))), dy))


def of_a_turned_matrix(emit, dy, x):
    gradient = emit(relax.op.matmul(turned(emit, x), dy))
    return emit(take_channels(turned(emit, gradient), [1, 3]))


def of_a_turned_matrix_after(emit, dy, x):
    return turned(emit, of_a_matrix_after(emit, dy, x))


def of_columns(emit, dy, x):
    return emit(take_channels(emit(relax.op.matmul(turned(emit, dy), x)), [1, 3]))


def of_columns_after(emit, dy, x):
    return emit(relax.op.matmul(turned(emit, dy), emit(take_channels(x, [1, 3]))))


def of_a_batch(emit, dy, x):
    products = [emit(relax.op.expand_dims(each, 0)) for each in (turned(emit, x), dy)]
    gradient = emit(relax.op.matmul(*products))
    collapsed = emit(relax.op.collapse_sum_to(gradient, relax.ShapeExpr([6, 8])))
    return emit(take_channels(collapsed, [1, 3], 0))


def of_a_batch_after(emit, dy, x):
    left, right = (emit(relax.op.expand_dims(each, 0)) for each in (turned(emit, x), dy))
    gradient = emit(relax.op.matmul(emit(take_channels(left, [1, 3])), right))
    return emit(relax.op.collapse_sum_to(gradient, relax.ShapeExpr([2, 8])))


MATRICES = {
    "matrix": (of_a_matrix, of_a_matrix_after),
    "turned": (of_a_turned_matrix, of_a_turned_matrix_after),
    "columns": (of_columns, of_columns_after),
    "batch": (of_a_batch, of_a_batch_after),
}


@pytest.mark.parametrize("before, after", MATRICES.values(), ids=MATRICES)
def test_channels_of_a_matrix_are_taken_of_its_input(before, after):
    types = {"dy": (COLUMNS, "float32"), "x": (ROWS, "float32")}
    module = tiny.module(types, before)
    assert_same(relax.transform.DeadCodeElimination()(narrowed(module)), tiny.module(types, after))
    generator = np.random.default_rng(0)
    values = {n: generator.normal(size=s).astype(np.float32) for n, (s, _) in types.items()}
    (expected,), (found,) = (tiny.run(m, **values) for m in (module, narrowed(module)))
    assert expected.any()
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_no_product_of_the_forward_is_computed_again():
    module = tiny.module({"dy": (COLUMNS, "float32"), "x": (ROWS, "float32")}, of_a_matrix)
    function = module["main"]
    forward = {binding.var for binding in bindings_of(function)}
    assert_same(tvm.IRModule({"main": trim_gradients(function, forward)}), module)


def of_a_product(emit, dy, _x):
    return emit(take_channels(emit(relax.op.multiply(dy, dy)), [1, 3]))


def of_a_broadcast_sum(emit, dy, x):
    row = emit(relax.op.sum(x, [1], True))
    return emit(take_channels(emit(relax.op.add(x, row)), [1, 3]))


def nothing_taken(emit, dy, x):
    return emit(whole(dy, x))


def of_an_activation(emit, _dy, x):
    return emit(take_channels(x, [1, 3]))


@pytest.mark.parametrize(
    "body", [of_a_product, of_a_broadcast_sum, nothing_taken, of_an_activation]
)
def test_what_no_rule_covers_is_left_alone(body):
    module = tiny.module({"dy": (ADJOINT, "float32"), "x": (DATA, "float32")}, body)
    assert_same(narrowed(module), module)


def test_codes_with_a_scale_for_each_channel_are_decoded_first():
    """The scales are not cut, so that the channels are taken of the real values."""

    def body(emit, dy, x):
        real = emit(
            relax.op.dequantize(
                x, relax.const(np.ones(6, np.float32)), relax.const(0, "int8"), 1, "float32"
            )
        )
        return emit(take_channels(emit(whole(dy, real)), [1, 3]))

    module = narrowed(tiny.module({"dy": (ADJOINT, "float32"), "x": (DATA, "int8")}, body))
    names = [name for name in tiny.op_names(module) if "weight_grad" not in name]
    assert names == ["dequantize", "odt.take_channels"]


def test_the_helper_writes_out_what_the_operator_does():
    """`whole` above is `conv2d_weight_grad`."""

    def body(emit, dy, x):
        y = relax.op.nn.conv2d(x, relax.const(np.zeros(WEIGHT, np.float32)))
        return emit(conv2d_weight_grad(dy, x, WEIGHT, y.attrs))

    types = {"dy": (ADJOINT, "float32"), "x": (DATA, "float32")}
    expected = tiny.module(types, lambda emit, dy, x: emit(whole(dy, x)))
    assert_same(tiny.module(types, body), expected)
    assert indices_of([0, WEIGHT[0]]) == list(range(WEIGHT[0]))
