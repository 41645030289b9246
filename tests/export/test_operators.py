"""Every operator that the frontend accepts, written as ONNX, in ONNX Runtime and loaded again."""

import numpy as np
import pytest
import tiny
from importing import imported, result, weights
from onnx import numpy_helper
from onnx_runs import LEVELS, loaded_again, outputs
from tvm import relax
from tvm.relax import op

from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.export.onnx_writer import onnx_bytes, onnx_model
from tvm_ondevice_train.file_forms import form as forms

PLANES, IMAGE, ROW = (1, 4, 6, 7), (1, 6, 7, 4), (1, 4, 9)
CONSTANT = relax.const(0.75, "float32")


def unary(function):
    return lambda emit, x: emit(function(x))


def of_positive(function):
    return lambda emit, x: emit(function(emit(op.add(emit(op.abs(x)), CONSTANT))))


def with_parameter(function):
    return lambda emit, x, p: emit(function(x, p))


def conv(**options):
    return lambda emit, x, w: emit(op.nn.conv2d(x, w, **options))


def conv_with_bias(emit, x, w, b):
    y = emit(op.nn.conv2d(x, w, padding=1))
    return emit(op.add(y, emit(op.reshape(b, (1, -1, 1, 1)))))


def biased_twice(emit, x, w, b):
    """The convolution's result is read before its bias, too."""
    y = emit(op.nn.conv2d(x, w))
    return emit(op.multiply(emit(op.add(y, emit(op.reshape(b, (1, -1, 1, 1))))), y))


def batch_norm(emit, x, gamma, beta, mean, variance):
    normalized = emit(op.nn.batch_norm(x, gamma, beta, mean, variance, axis=1))
    return emit(relax.TupleGetItem(normalized, 0))


def joined(emit, x):
    return emit(op.concat([x, emit(op.nn.relu(x))], axis=1))


def square(emit, x):
    """A product of two activations."""
    y = emit(op.reshape(x, (28, 6)))
    return emit(op.matmul(y, emit(op.permute_dims(y, [1, 0]))))


def tied(emit, x, w):
    return emit(op.matmul(emit(op.matmul(x, w)), emit(op.permute_dims(w))))


def before_the_end(function):
    """An operator inside the network."""
    return lambda emit, x: emit(op.multiply(emit(function(x)), CONSTANT))


def pooled(kind, **options):
    return unary(lambda x: getattr(op.nn, f"{kind}_pool2d")(x, (3, 2), **options))


# operator of the source -> [(body, shape of x, parameters)]
FORMS = {
    "abs": [(unary(op.abs), PLANES, {})],
    "add": [
        (with_parameter(op.add), PLANES, {"p": weights(4, 1, 1)}),
        (with_parameter(op.add), PLANES, {"p": weights(4, 6, 7)}),
        (lambda emit, x: emit(op.add(CONSTANT, x)), PLANES, {}),
        (conv_with_bias, PLANES, {"w": weights(5, 4, 3, 3), "b": weights(5)}),
        (biased_twice, PLANES, {"w": weights(5, 4, 3, 3), "b": weights(5)}),
    ],
    "astype": [(unary(lambda x: op.astype(x, "float32")), PLANES, {})],
    "clip": [(unary(lambda x: op.clip(x, -0.5, 0.25)), PLANES, {})],
    "concat": [(joined, PLANES, {})],
    "divide": [(with_parameter(op.divide), PLANES, {"p": 2 + np.abs(weights(4, 1, 1))})],
    "erf": [(unary(op.erf), PLANES, {})],
    "exp": [(unary(op.exp), PLANES, {})],
    "expand_dims": [(unary(lambda x: op.expand_dims(x, 1)), ROW, {})],
    "flatten": [(unary(op.flatten), PLANES, {})],
    "log": [(of_positive(op.log), PLANES, {})],
    "matmul": [
        (with_parameter(op.matmul), (1, 12), {"p": weights(12, 5)}),
        (square, (1, 4, 6, 7), {}),
        (tied, (1, 12), {"w": weights(12, 5)}),
    ],
    "maximum": [
        (with_parameter(op.maximum), PLANES, {"p": weights(4, 1, 1)}),
        (lambda emit, x: emit(op.maximum(x, emit(op.multiply(x, relax.const(2.0))))), PLANES, {}),
    ],
    "mean": [
        (unary(lambda x: op.mean(x, [2, 3], True)), PLANES, {}),
        (unary(lambda x: op.mean(x, [1], False)), PLANES, {}),
        (unary(op.mean), ROW, {}),
    ],
    "minimum": [(with_parameter(op.minimum), PLANES, {"p": weights(4, 1, 1)})],
    "multiply": [(with_parameter(op.multiply), PLANES, {"p": weights(4, 1, 1)})],
    "negative": [(unary(op.negative), PLANES, {})],
    "nn.adaptive_avg_pool2d": [(unary(lambda x: op.nn.adaptive_avg_pool2d(x, 1)), PLANES, {})],
    "nn.avg_pool1d": [(unary(lambda x: op.nn.avg_pool1d(x, 2, 2)), ROW, {})],
    "nn.avg_pool2d": [
        (pooled("avg", strides=2), PLANES, {}),
        (pooled("avg", strides=2, padding=(1, 0, 1, 1)), PLANES, {}),
        (pooled("avg", strides=2, padding=1, count_include_pad=True), PLANES, {}),
        (pooled("avg", strides=2, ceil_mode=True), PLANES, {}),
        (pooled("avg", strides=(1, 2), padding=1, ceil_mode=True), PLANES, {}),
        (pooled("avg", strides=(4, 2), ceil_mode=True, count_include_pad=True), PLANES, {}),
        (pooled("avg", strides=2, padding=1, ceil_mode=True, count_include_pad=True), PLANES, {}),
        (pooled("avg", dilation=(2, 3)), PLANES, {}),
    ],
    "nn.batch_norm": [
        (batch_norm, PLANES, {n: np.abs(weights(4, seed=s)) for s, n in enumerate("gbmv")})
    ],
    "nn.conv1d": [
        (
            with_parameter(lambda x, w: op.nn.conv1d(x, w, strides=2, padding=(1, 0), dilation=2)),
            ROW,
            {"p": weights(3, 4, 3)},
        )
    ],
    "nn.conv2d": [
        (conv(strides=(2, 1), padding=(0, 1, 2, 0)), PLANES, {"w": weights(5, 4, 3, 2)}),
        (conv(dilation=(2, 3)), PLANES, {"w": weights(5, 4, 2, 2)}),
        (conv(padding=1, groups=4), PLANES, {"w": weights(8, 1, 3, 3)}),
        (
            conv(data_layout="NHWC", kernel_layout="HWIO", padding=1),
            IMAGE,
            {"w": weights(3, 3, 4, 2)},
        ),
    ],
    "nn.dropout": [
        (lambda emit, x: emit(relax.TupleGetItem(emit(op.nn.dropout(emit(op.abs(x)))), 0)), ROW, {})
    ],
    "nn.gelu": [(unary(op.nn.gelu), PLANES, {})],
    "nn.gelu_tanh": [(unary(op.nn.gelu_tanh), PLANES, {})],
    "nn.leakyrelu": [(unary(lambda x: op.nn.leakyrelu(x, 0.1)), PLANES, {})],
    "nn.log_softmax": [
        (before_the_end(lambda x: op.nn.log_softmax(x, 1)), PLANES, {}),
        (unary(lambda x: op.nn.log_softmax(x, 1)), ROW, {}),
    ],
    "nn.max_pool1d": [(unary(lambda x: op.nn.max_pool1d(x, 3, 2, (1, 0))), ROW, {})],
    "nn.max_pool2d": [
        (pooled("max", strides=2, padding=1), PLANES, {}),
        (pooled("max", strides=2, ceil_mode=True), PLANES, {}),
        (pooled("max", dilation=2), PLANES, {}),
    ],
    "nn.prelu": [
        (with_parameter(lambda x, p: op.nn.prelu(x, p, 1)), PLANES, {"p": weights(4)}),
        (with_parameter(lambda x, p: op.nn.prelu(x, p, 3)), PLANES, {"p": weights(1)}),
        (with_parameter(lambda x, p: op.nn.prelu(x, p, 3)), PLANES, {"p": weights(7)}),
        (with_parameter(lambda x, p: op.nn.prelu(x, p, 1)), (1, 6), {"p": weights(6)}),
    ],
    "nn.relu": [(unary(op.nn.relu), PLANES, {})],
    "nn.silu": [(unary(op.nn.silu), PLANES, {})],
    "nn.softmax": [
        (before_the_end(lambda x: op.nn.softmax(x, -1)), PLANES, {}),
        (unary(lambda x: op.nn.softmax(x, -1)), (1, 12), {}),
    ],
    "nn.softplus": [(unary(op.nn.softplus), PLANES, {})],
    "permute_dims": [(unary(lambda x: op.permute_dims(x, [0, 3, 1, 2])), IMAGE, {})],
    "reshape": [(unary(lambda x: op.reshape(x, (1, 24, 7))), PLANES, {})],
    "sigmoid": [(unary(op.sigmoid), PLANES, {})],
    "sqrt": [(of_positive(op.sqrt), PLANES, {})],
    "squeeze": [(unary(lambda x: op.squeeze(x, [0])), PLANES, {})],
    "subtract": [(with_parameter(op.subtract), PLANES, {"p": weights(4, 1, 1)})],
    "tanh": [(unary(op.tanh), PLANES, {})],
}
CASES = [
    pytest.param(*form, id=f"{name} {number}" if number else name)
    for name, forms in FORMS.items()
    for number, form in enumerate(forms)
]
CODES = {"quantize", "dequantize"}  # of all networks below
OF_TFLITE = {"odt.qavg_pool2d"}  # tests/frontend/test_tflite_operators.py
OF_FRESH_HEADS = {"odt.inverse_norm"}  # tests/fresh_head/test_growing_head.py
CONSTANTS = {"shape_of", "zeros_like"}  # known when a model is imported


def test_no_operator_is_missing_here():
    tested = {*FORMS, *CODES, *OF_TFLITE, *OF_FRESH_HEADS, *CONSTANTS}
    assert {f"relax.{name}" for name in tested} == set(forms.FORMS)


@pytest.mark.parametrize("body, shape, values", CASES)
def test_onnx_runtime_computes_the_same(body, shape, values):
    _, model = imported(body, (shape, "float32"), **values)
    x = weights(*shape, seed=5)
    expected = result(model.module, x, model.parameters)
    found = outputs(onnx_bytes(model), x).reshape(-1)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("body, shape, values", CASES)
def test_what_was_written_can_be_loaded_and_written_again(body, shape, values, tmp_path):
    _, model = imported(body, (shape, "float32"), **values)
    again = loaded_again(model, tmp_path)
    assert onnx_bytes(again) == onnx_bytes(model)


# -- codes ----------------------------------------------------------------------------------------

SCALE, ZERO = 1 / 64, -7


def on_codes(function):
    """float32 -> codes -> `function`(emit, codes) -> codes -> float32."""

    def body(emit, x, *parameters):
        y = function(emit, emit(tiny.quantize(x, SCALE, ZERO)), *parameters)
        return emit(tiny.dequantize(y, SCALE, ZERO))

    return body


def real(emit, codes):
    return emit(tiny.dequantize(codes, SCALE, ZERO))


def coded(emit, x):
    return emit(tiny.quantize(x, SCALE, ZERO))


def int8_convolution(weight_scale):
    def body(emit, codes, w, b):
        w = emit(tiny.dequantize(w, weight_scale))
        b = emit(tiny.dequantize(b, SCALE * np.asarray(weight_scale), dtype="int32"))
        y = emit(op.nn.conv2d(real(emit, codes), w, padding=1))
        return coded(emit, emit(op.add(y, emit(op.reshape(b, (1, -1, 1, 1))))))

    return body


def int8_values(rows):
    generator = np.random.default_rng(0)
    return {
        "w": generator.integers(-127, 128, (rows, 4, 3, 3), dtype=np.int8),
        "b": generator.integers(-3000, 3000, rows, dtype=np.int32),
    }


CODE_CASES = {
    "convolution": (int8_convolution(0.002), PLANES, int8_values(3)),
    "convolution, per channel": (int8_convolution([0.002, 0.01, 0.005]), PLANES, int8_values(3)),
    "add": (
        lambda emit, q: coded(emit, emit(op.add(real(emit, q), real(emit, q)))),
        PLANES,
        {},
    ),
    "mean": (
        lambda emit, q: coded(emit, emit(op.mean(real(emit, q), [2, 3], True))),
        PLANES,
        {},
    ),
    "tanh": (lambda emit, q: coded(emit, emit(op.tanh(real(emit, q)))), PLANES, {}),
    "gelu": (lambda emit, q: coded(emit, emit(op.nn.gelu(real(emit, q)))), PLANES, {}),
    "prelu": (
        lambda emit, q, p: coded(
            emit, emit(op.nn.prelu(real(emit, q), emit(tiny.dequantize(p, 0.01)), 1))
        ),
        PLANES,
        {"p": np.array([-100, 25, 0, 120], np.int8)},
    ),
    "max pool": (lambda emit, q: emit(op.nn.max_pool2d(q, 2, 2)), PLANES, {}),
    "concat": (lambda emit, q: emit(op.concat([q, q], 1)), PLANES, {}),
    "clip": (
        lambda emit, q: emit(op.clip(coded(emit, emit(op.tanh(real(emit, q)))), ZERO, 40)),
        PLANES,
        {},
    ),
    "moved": (
        lambda emit, q: emit(op.reshape(emit(op.permute_dims(q, [0, 2, 3, 1])), (1, 42, 4))),
        PLANES,
        {},
    ),
}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("case", CODE_CASES)
def test_codes_are_those_of_the_device(case, level, tmp_path):
    """By 1 at most they may differ, where ONNX Runtime's float32 lies beside a tie."""
    function, shape, values = CODE_CASES[case]
    _, model = imported(on_codes(function), (shape, "float32"), **values)
    x = weights(*shape, seed=5)
    codes = np.clip(np.rint(x / np.float32(SCALE)) + ZERO, -128, 127).astype(np.int8)
    expected = result(model.module, codes, model.parameters) / SCALE
    found = outputs(onnx_bytes(model), x, level).reshape(-1) / SCALE
    assert model.input.dtype == "int8"
    assert np.abs(found - expected).max() <= 1.001
    assert np.count_nonzero(found.round() != expected.round()) <= len(expected) // 100
    again = loaded_again(model, tmp_path)
    assert (again.input, onnx_bytes(again)) == (model.input, onnx_bytes(model))


# -- the file -------------------------------------------------------------------------------------


def test_parameters_keep_their_names_shapes_and_types():
    model = tiny.network(quantized=True, weight_scale=[0.01, 0.02, 0.005, 0.03])
    proto = onnx_model(model)
    initializers = {i.name: i for i in proto.graph.initializer}
    for name, value in model.parameters.items():
        found = numpy_helper.to_array(initializers[name])
        np.testing.assert_array_equal(found, value, strict=True)
    assert [node.op_type for node in proto.graph.node] == (
        "QuantizeLinear DequantizeLinear DequantizeLinear DequantizeLinear Conv Relu "
        "QuantizeLinear DequantizeLinear GlobalAveragePool Conv Reshape".split()
    )
    assert [n.name for n in proto.graph.node if n.op_type == "Conv"] == ["conv", "head"]


@pytest.mark.parametrize("operator, opset", [(op.nn.relu, 19), (op.nn.gelu, 20)])
def test_the_version_of_onnx_is_no_newer_than_an_operator_needs(operator, opset):
    _, model = imported(unary(operator), (PLANES, "float32"))
    assert [imported.version for imported in onnx_model(model).opset_import] == [opset]


def test_the_same_model_gives_the_same_bytes():
    assert onnx_bytes(tiny.network(True)) == onnx_bytes(tiny.network(True))


def test_a_name_that_would_be_taken_twice_is_not():
    called = {"x": "Relu", "conv.bias": "output", "head.weight": "shape", "head.bias": "scale"}
    model = tiny.network(quantized=True, called=called)
    x = weights(*model.input.shape)
    codes = np.clip(np.rint(x / np.float32(0.1)), -128, 127).astype(np.int8)
    found = outputs(onnx_bytes(model), x)
    expected = tiny.run(model.module, Relu=codes, **model.parameters)[0]
    np.testing.assert_allclose(found.reshape(-1), expected.reshape(-1), rtol=1e-5)


def test_codes_that_stand_for_nothing_known_are_the_input():
    def body(emit, x):
        return emit(op.nn.relu(emit(tiny.dequantize(emit(op.nn.max_pool2d(x, 2)), SCALE, ZERO))))

    _, model = imported(body, (PLANES, "int8"))
    x = np.random.default_rng(0).integers(-128, 128, PLANES).astype(np.int8)
    np.testing.assert_array_equal(
        outputs(onnx_bytes(model), x).reshape(-1), result(model.module, x, {})
    )


def test_an_operator_without_a_form_in_onnx_is_refused():
    def body(emit, x):
        return emit(op.sin(x))

    model = tiny.network()
    model = type(model)("net", tiny.module({"x": ((1, 3), "float32")}, body), {}, model.input)
    with pytest.raises(OdtError, match=r"net: operator relax\.sin has no form in ONNX"):
        onnx_model(model)


def test_every_operator_that_reading_leaves_is_written():
    """The others become those, or nothing."""
    unwritten = {name.removeprefix("relax.") for name, f in forms.FORMS.items() if f.write is None}
    one_dimensional = {"nn.conv1d", "nn.avg_pool1d", "nn.max_pool1d"}
    shapes = {"expand_dims", "flatten", "squeeze"}
    others = {"nn.adaptive_avg_pool2d", "nn.batch_norm", "nn.dropout", "nn.leakyrelu"}
    assert unwritten == one_dimensional | shapes | others | CONSTANTS
