"""Quantization at the input and output, what a loss takes off there, and what is refused."""

import numpy as np
import pytest
import tiny
from importing import imported, result, weights
from tvm import relax
from tvm.relax import op

from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.losses import loss_of
from tvm_ondevice_train.training_graph import before_loss


def quantized(x, scale, zero_point, dtype):
    zero = relax.const(zero_point, dtype)
    return op.quantize(x, relax.const(scale, "float32"), zero, out_dtype=dtype)


def dequantized(x, scale, zero_point, dtype):
    return op.dequantize(x, relax.const(scale, "float32"), relax.const(zero_point, dtype))


def float_input(dtype, zero_point):
    def body(emit, x):
        codes = emit(quantized(x, 0.5, zero_point, dtype))
        return emit(op.nn.relu(emit(dequantized(codes, 0.5, zero_point, dtype))))

    return body


def code_input(dtype, zero_point):
    return lambda emit, x: emit(op.nn.relu(emit(dequantized(x, 0.5, zero_point, dtype))))


@pytest.mark.parametrize(
    "body, dtype, zero_point",
    [
        (float_input("int8", -3), "float32", -3),
        (float_input("uint8", 128), "float32", 0),
        (code_input("int8", 5), "int8", 5),
        (code_input("uint8", 0), "uint8", -128),
    ],
)
def test_a_quantized_network_takes_int8(body, dtype, zero_point):
    """uint8 codes become int8 codes of the same reals: 128 less, and so is the zero point."""
    _, model = imported(body, ((1, 4), dtype))
    assert model.input == type(model.input)((1, 4), "int8", 0.5, zero_point)
    codes = np.array([[-128, -1, 5, 127]], np.int8)
    (real,) = tiny.run(model.module, x=codes)
    np.testing.assert_array_equal(real, np.maximum((codes.astype(int) - zero_point) * 0.5, 0))


def test_uint8_inside_the_network_becomes_int8():
    def body(emit, x):
        codes = emit(quantized(emit(dequantized(x, 0.5, 10, "uint8")), 0.25, 100, "uint8"))
        return emit(dequantized(codes, 0.25, 100, "uint8"))

    _, model = imported(body, ((1, 3), "uint8"))
    codes = np.array([[0, 60, 255]])
    (real,) = tiny.run(model.module, x=(codes - 128).astype(np.int8))
    unclipped = np.rint((codes - 10) * 0.5 / 0.25) + 100
    np.testing.assert_array_equal(real, (np.clip(unclipped, 0, 255) - 100) * 0.25)


def with_softmax(emit, y):
    return emit(op.nn.softmax(y))


def with_log_softmax(emit, y):
    return emit(op.nn.log_softmax(y))


def with_quantized_softmax(emit, y):
    codes = emit(quantized(emit(op.nn.softmax(y)), 1 / 256, -128, "int8"))
    return emit(dequantized(codes, 1 / 256, -128, "int8"))


def with_code_output(emit, y):
    return emit(quantized(emit(op.nn.softmax(y)), 1 / 256, -128, "int8"))


def with_sigmoid(emit, y):
    return emit(op.sigmoid(y))


def with_quantized_sigmoid(emit, y):
    codes = emit(quantized(emit(op.sigmoid(y)), 1 / 256, -128, "int8"))
    return emit(dequantized(codes, 1 / 256, -128, "int8"))


@pytest.mark.parametrize(
    "tail, loss, operators",
    [
        (with_softmax, "mse", "nn.relu nn.softmax"),
        (with_softmax, "cross_entropy", "nn.relu"),
        (with_log_softmax, "mse", "nn.relu nn.log_softmax"),
        (with_log_softmax, "cross_entropy", "nn.relu nn.log_softmax"),
        (with_quantized_softmax, "mse", "nn.relu nn.softmax quantize dequantize"),
        (with_quantized_softmax, "cross_entropy", "nn.relu"),
        (with_code_output, "mse", "nn.relu nn.softmax quantize dequantize"),
        (with_code_output, "cross_entropy", "nn.relu"),
        (with_softmax, "bce", "nn.relu nn.softmax"),
        (with_sigmoid, "bce", "nn.relu"),
        (with_sigmoid, "l1", "nn.relu sigmoid"),
        (with_sigmoid, "cross_entropy", "nn.relu sigmoid"),
        (with_quantized_sigmoid, "bce", "nn.relu"),
    ],
)
def test_what_ends_a_network_is_left_to_a_loss_that_brings_it(tail, loss, operators):
    """The model is what its file says; a log-softmax gives logits already."""
    _, model = imported(lambda emit, x: tail(emit, emit(op.nn.relu(x))), ((1, 4), "float32"))
    before = before_loss(model, loss_of(loss))
    assert tiny.op_names(before.module) == operators.split()
    assert before.output_shape == model.output_shape == (1, 4)


def test_a_softmax_over_one_element_each_is_no_softmax_over_classes():
    body = lambda emit, x: emit(op.nn.softmax(emit(op.nn.relu(x)), 0))  # noqa: E731
    _, model = imported(body, ((1, 4), "float32"))
    assert tiny.op_names(before_loss(model, loss_of("cross_entropy")).module) == [
        "nn.relu",
        "nn.softmax",
    ]


def test_a_softmax_over_the_classes_of_a_map_is_left_to_the_loss():
    for axis, operators in ((1, ["nn.relu"]), (3, ["nn.relu", "nn.softmax"])):
        body = lambda emit, x: emit(op.nn.softmax(emit(op.nn.relu(x)), axis))  # noqa: E731, B023
        _, model = imported(body, ((1, 3, 2, 2), "float32"))
        before = before_loss(model, loss_of("cross_entropy"))
        assert tiny.op_names(before.module) == operators


def test_codes_at_the_output_are_decoded():
    def body(emit, x):
        return emit(quantized(emit(op.nn.relu(x)), 0.5, -10, "int8"))

    _, model = imported(body, ((1, 4), "float32"))
    assert tiny.op_names(model.module) == ["nn.relu", "quantize", "dequantize"]
    assert str(model.module["main"].ret_ty.dtype) == "float32"


def test_clamped_codes_are_the_codes_of_clamped_reals():
    """TFLite writes ReLU6 as a clamp of codes; the gradient's mask needs it in the real domain."""

    def body(emit, x):
        codes = emit(quantized(emit(op.tanh(x)), 0.5, -100, "int8"))
        return emit(dequantized(emit(op.clip(codes, -100, -88)), 0.5, -100, "int8"))

    _, model = imported(body, ((1, 4), "float32"))
    clip = [b.value for b in model.module["main"].body.blocks[0].bindings][1]
    assert clip.op.name == "relax.clip" and [float(a.value) for a in clip.args[1:]] == [0.0, 6.0]


def test_a_bound_that_is_infinite_is_the_largest_number():
    """PyTorch's export writes hard swish with two clips of one bound each."""
    largest = float(np.finfo(np.float32).max)
    _, model = imported(lambda emit, x: emit(op.clip(x, -np.inf, np.inf)), ((1, 4), "float32"))
    clip, *_ = (b.value for b in model.module["main"].body.blocks[0].bindings)
    assert clip.op.name == "relax.clip"
    assert [float(bound.value) for bound in clip.args[1:]] == [-largest, largest]


def test_codes_that_were_moved_can_be_clamped():
    """Behind a pool there are only codes: they are decoded, clamped, and coded again."""

    def body(emit, x):
        codes = emit(quantized(emit(op.tanh(x)), 0.5, -100, "int8"))
        pooled = emit(op.nn.max_pool2d(codes, (2, 2), strides=(2, 2)))
        return emit(dequantized(emit(op.clip(pooled, -101, -99)), 0.5, -100, "int8"))

    source, model = imported(body, ((1, 2, 4, 4), "float32"))
    x = 3 * weights(1, 2, 4, 4)
    found = result(model.module, x, {})
    np.testing.assert_array_equal(found, result(source, x, {}))
    assert set(found) <= {-0.5, 0.0, 0.5} and len(set(found)) > 1


def two_outputs(emit, x):
    return [emit(op.nn.relu(x)), emit(op.tanh(x))]


def constant_output(emit, x):
    return emit(op.add(relax.const(weights(2)), relax.const(weights(2))))


def computed_kernel(emit, x):
    return emit(op.nn.conv2d(x, emit(op.nn.relu(x))))


def scales_along_inputs(emit, x):
    codes = relax.const(np.ones((2, 2, 1, 1), np.int8))
    scale, zero = relax.const(np.array([1, 2], np.float32)), relax.const(np.zeros(2, np.int8))
    return emit(
        op.nn.conv2d(emit(op.concat([x, x], 1)), emit(op.dequantize(codes, scale, zero, 1)))
    )


def scales_of_several_rows(emit, x):
    codes = relax.const(np.ones((3, 2), np.int8))
    scale, zero = relax.const(np.array([1, 2], np.float32)), relax.const(np.zeros(2, np.int8))
    return emit(op.matmul(x, emit(op.dequantize(codes, scale, zero, 1))))


@pytest.mark.parametrize(
    "body, dtype, message",
    [
        (two_outputs, "float32", "2 outputs; one is supported"),
        (constant_output, "float32", "the output does not depend on the input"),
        (lambda emit, x: emit(op.sin(x)), "float32", 'operator "sin": it cannot'),
        (computed_kernel, "float32", "a constant weight"),
        (lambda emit, x: emit(op.nn.relu(x)), "int32", "the input is int32; float32, int8"),
        (scales_along_inputs, "float32", "do not run along the output channels of a convolution"),
        (scales_of_several_rows, "float32", "or of a fully connected layer with one row of data"),
    ],
)
def test_what_cannot_be_compiled_is_one_line_that_names_it(body, dtype, message):
    with pytest.raises(OdtError) as caught:
        imported(body, ((1, 1, 3, 3), dtype))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
