"""How often a kernel loads an element of an operand."""

import pytest
import tiny
from tvm import relax
from tvm.relax import op

from relay_passes.kernels.loads import loads_per_element
from relay_passes.ops.convolution import conv2d_input_grad, conv2d_weight_grad
from relay_passes.tir import tirx

IMAGE = (1, 4, 6, 6)


def kernel(body, **shapes) -> tirx.PrimFunc:
    types = {name: (shape, "float32") for name, shape in shapes.items()}
    module = relax.transform.LegalizeOps()(tiny.module(types, body))
    (found,) = [f for _, f in module.functions_items() if isinstance(f, tirx.PrimFunc)]
    return found


def unary(function):
    return lambda emit, x: emit(function(x))


@pytest.mark.parametrize(
    "function, expected",
    [
        (op.nn.relu, 1),
        (lambda x: op.mean(x, [2, 3]), 1),
        (lambda x: op.nn.max_pool2d(x, 2, 2), 1),
        (lambda x: op.nn.max_pool2d(x, 3, 1), 4 * 16 * 9 / 144),
        (lambda x: op.nn.log_softmax(x, 1), 3),  # the largest, the sum, the difference
        (lambda x: op.permute_dims(x, [0, 2, 3, 1]), 1),
    ],
    ids=["relu", "mean", "pool", "pool, overlapping", "log_softmax", "permute_dims"],
)
def test_of_one_operand(function, expected):
    assert loads_per_element(kernel(unary(function), x=IMAGE), 0) == expected


@pytest.mark.parametrize("padding", [0, 1])
def test_a_convolution_loads_its_data_for_each_output_and_tap(padding):
    body = tiny_conv(padding=padding)
    side = 4 + 2 * padding
    loads = side * side * 8 * 4 * 9
    found = kernel(body, x=IMAGE, w=(8, 4, 3, 3))
    assert loads_per_element(found, 0) == loads / 144
    assert loads_per_element(found, 1) == side * side


def tiny_conv(**options):
    return lambda emit, x, w: emit(op.nn.conv2d(x, w, **options))


def attrs_of(kernel_size: int):
    weight = relax.Var("w", relax.TensorType((8, 4, kernel_size, kernel_size), "float32"))
    data = relax.Var("x", relax.TensorType(IMAGE, "float32"))
    return op.nn.conv2d(data, weight, padding=kernel_size // 2).attrs


@pytest.mark.parametrize("size", [1, 3])
def test_a_gradient_loads_what_it_stages_once_a_tap(size):
    """Columns are a stage: the sum over them does not load the operand again."""
    shapes, attrs = {"dy": (1, 8, 6, 6), "w": (8, 4, size, size)}, attrs_of(size)
    of_data = kernel(lambda emit, dy, w: emit(conv2d_input_grad(dy, w, IMAGE, attrs)), **shapes)
    assert loads_per_element(of_data, 0) == size * size
    shapes = {"dy": (1, 8, 6, 6), "x": IMAGE}
    of_weight = kernel(
        lambda emit, dy, x: emit(conv2d_weight_grad(dy, x, (8, 4, size, size), attrs)), **shapes
    )
    assert [loads_per_element(of_weight, i) for i in range(2)] == [1, size * size]


def test_an_operand_that_is_only_a_shape_is_not_loaded():
    found = kernel(lambda emit, x: emit(op.ones_like(x)), x=IMAGE)
    assert all(loads_per_element(found, i) == 0 for i in range(len(found.params) - 1))
