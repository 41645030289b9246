"""The frontend rewrites an imported function into canonical form and keeps what it computes."""

import numpy as np
import pytest
import tiny
from importing import imported, result, weights
from tvm import relax
from tvm.relax import op

IMAGE = ((1, 4, 5, 3), "float32")  # NHWC
PLANES = ((1, 3, 4, 5), "float32")  # NCHW


def nhwc_conv(emit, x, kernel, kernel_layout="HWIO", **options):
    layouts = {"data_layout": "NHWC", "kernel_layout": kernel_layout}
    return emit(op.nn.conv2d(x, kernel, **layouts, **options))


def tflite_like(emit, x, kernel, bias, dense):
    y = nhwc_conv(emit, x, kernel, strides=[2, 1], padding=[0, 1, 1, 1])
    y = emit(op.nn.relu(emit(op.add(y, bias))))
    y = emit(op.nn.max_pool2d(y, (2, 2), layout="NHWC"))
    return emit(op.matmul(emit(op.reshape(y, (1, -1))), dense))


def depthwise(emit, x, kernel):
    return nhwc_conv(emit, x, kernel, "HWOI", padding=1, groups=3)


def multiplied_depthwise(emit, x, kernel):
    return nhwc_conv(emit, x, kernel, padding=1, groups=3)


def there_and_back(emit, x, kernel):
    """An exporter's transposes around every operator."""
    y = emit(op.permute_dims(emit(op.permute_dims(x, [0, 2, 3, 1])), [0, 3, 1, 2]))
    y = emit(op.permute_dims(emit(op.nn.conv2d(y, kernel)), [0, 2, 3, 1]))
    return emit(op.permute_dims(emit(op.nn.relu(y)), [0, 3, 1, 2]))


def pooled_head(emit, x, dense, bias):
    pooled = emit(op.reshape(emit(op.mean(x, [1, 2], False)), (1, 3)))
    return emit(op.add(emit(op.matmul(pooled, dense)), bias))


def flattened(emit, x, dense):
    return emit(op.matmul(emit(op.nn.batch_flatten(x)), dense))


def residual(emit, x, kernel):
    y = nhwc_conv(emit, x, kernel, padding=1)
    return emit(op.add(emit(op.multiply(y, relax.const(0.5))), x))


def scale_per_channel(emit, x, scale):
    return emit(op.multiply(x, scale))


def concatenated(emit, x, kernel):
    return emit(op.concat([nhwc_conv(emit, x, kernel), x], axis=3))


CASES = {
    "NHWC, as TFLite": (
        tflite_like,
        IMAGE,
        {"kernel": weights(3, 3, 3, 4), "bias": weights(1, 1, 1, 4), "dense": weights(16, 2)},
        "permute_dims nn.conv2d reshape add nn.relu nn.max_pool2d permute_dims reshape reshape "
        "nn.conv2d reshape",
    ),
    "depthwise": (
        depthwise,
        IMAGE,
        {"kernel": weights(3, 3, 3, 1)},
        "permute_dims nn.conv2d permute_dims",
    ),
    "two outputs a channel": (
        multiplied_depthwise,
        IMAGE,
        {"kernel": weights(3, 3, 1, 6)},
        "permute_dims nn.conv2d permute_dims",
    ),
    "transposes cancel": (
        there_and_back,
        PLANES,
        {"kernel": weights(2, 3, 1, 1)},
        "nn.conv2d nn.relu",
    ),
    "dense behind a mean": (
        pooled_head,
        IMAGE,
        {"dense": weights(3, 4), "bias": weights(4)},
        "mean permute_dims nn.conv2d reshape add reshape",
    ),
    "residual": (
        residual,
        IMAGE,
        {"kernel": weights(3, 3, 3, 3)},
        "permute_dims nn.conv2d multiply permute_dims add",
    ),
    "per channel": (
        scale_per_channel,
        IMAGE,
        {"scale": weights(3)},
        "reshape multiply",
    ),
    "concat": (
        concatenated,
        IMAGE,
        {"kernel": weights(1, 1, 3, 2)},
        "permute_dims nn.conv2d permute_dims concat",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_canonical_form_computes_the_same_with_these_operators(case):
    body, source_input, values, operators = CASES[case]
    source, model = imported(body, source_input, **values)
    x = weights(*source_input[0], seed=5)
    expected = result(source, x, values)
    np.testing.assert_allclose(result(model.module, x, model.parameters), expected, atol=1e-5)
    assert tiny.op_names(model.module) == operators.split()
    assert model.input.shape == source_input[0]


def test_a_dense_layer_is_a_1x1_convolution_with_its_own_names():
    values = {"fc.weight": weights(60, 4), "fc.bias": weights(4)}

    def body(emit, x, dense, bias):
        flat = emit(op.reshape(x, (1, 60)))
        return emit(op.add(emit(op.matmul(flat, dense)), bias))

    _, model = imported(body, PLANES, **values)
    (layer,) = model.layers
    assert (layer.name, layer.weight, layer.bias) == ("fc", "fc.weight", "fc.bias")
    transposed = values["fc.weight"].T.reshape(4, 60, 1, 1)
    np.testing.assert_array_equal(model.parameters["fc.weight"], transposed)
