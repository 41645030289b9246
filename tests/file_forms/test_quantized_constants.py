"""Constants that a file quantizes stand for real numbers, whichever operator reads them."""

import numpy as np
import pytest
from importing import imported, result
from onnx import TensorProto, checker, helper, numpy_helper, save
from tvm import relax

from tvm_ondevice_train import OdtError
from tvm_ondevice_train.frontend import load

runtime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")

CHANNELS = 4
IMAGE = (1, CHANNELS, 5, 5)
RANDOM = np.random.default_rng(0)
CODES = np.array([20, -30, 64, 127], np.int8)
PLAIN = np.array([0.5, -1.5, 2.0, 0.25], np.float32)
COLUMN = (CHANNELS, 1, 1)


def decoded(name, codes, scale, zero_point=0, **axis):
    """DequantizeLinear that gives `name`, and its initializers."""
    scale = np.asarray(scale, np.float32)
    zero_points = np.broadcast_to(np.asarray(zero_point, codes.dtype), scale.shape)
    parts = {f"{name}_q": codes, f"{name}_s": scale, f"{name}_z": zero_points}
    return [helper.make_node("DequantizeLinear", list(parts), [name], **axis)], parts


def coded(source, result, scale=0.05, zero_point=0, dtype=np.int8):
    """QuantizeLinear and DequantizeLinear of an activation."""
    zero_points = np.asarray(zero_point, dtype)
    parts = {f"{result}_s": np.float32(scale), f"{result}_z": zero_points}
    return [
        helper.make_node("QuantizeLinear", [source, *parts], [f"{result}_q"]),
        helper.make_node("DequantizeLinear", [f"{result}_q", *parts], [result]),
    ], parts


def saved(path, *pieces, shape=IMAGE):
    """A file of these nodes and initializers, from input "x" to "y"."""
    nodes = [node for nodes, _ in pieces for node in nodes]
    values = {name: value for _, parts in pieces for name, value in parts.items()}
    source = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * len(shape))
    tensors = [numpy_helper.from_array(np.asarray(v), n) for n, v in values.items()]
    graph = helper.make_graph(nodes, "g", [source], [result], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    checker.check_model(model)
    save(model, str(path / "net.onnx"))
    return path / "net.onnx"


def node(kind, *operands, **attributes):
    return [helper.make_node(kind, list(operands), ["y"], **attributes)], {}


def reference(path, x):
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    return runtime.InferenceSession(str(path), options).run(None, {"x": x})[0]


def check(path, x=None, tolerance=1e-5):
    """The loaded model computes what ONNX Runtime computes; it is returned."""
    x = RANDOM.normal(0, 1, IMAGE).astype(np.float32) if x is None else x
    model, expected = load(path), reference(path, x)
    spec, given = model.input, x
    if spec.scale is not None:
        codes = np.rint(x / np.float32(spec.scale)) + spec.zero_point
        given = np.clip(codes, -128, 127).astype(np.int8)
    found = result(model.module, given, model.parameters)
    np.testing.assert_allclose(found, expected.ravel(), rtol=tolerance, atol=tolerance)
    return model


@pytest.mark.parametrize("kind", ["Add", "Sub", "Mul", "Div", "Max", "Min"])
def test_arithmetic_with_a_quantized_constant(tmp_path, kind):
    constant = decoded("c", CODES.reshape(COLUMN), 0.01, 3)
    check(saved(tmp_path, constant, node(kind, "x", "c")))


@pytest.mark.parametrize("kind", ["Add", "Sub", "Mul", "Div"])
def test_constants_meet_before_they_meet_data(tmp_path, kind):
    """``x + (DQ(c) op plain)``."""
    constant = decoded("c", CODES.reshape(COLUMN), 0.01)
    both = [helper.make_node(kind, ["c", "p"], ["d"])], {"p": PLAIN.reshape(COLUMN)}
    check(saved(tmp_path, constant, both, node("Add", "x", "d")))


def test_quantized_slopes(tmp_path):
    slopes = decoded("c", CODES.reshape(COLUMN), [0.01, 0.02, 0.005, 0.001], axis=0)
    check(saved(tmp_path, slopes, node("PRelu", "x", "c")))


@pytest.mark.parametrize("layer", [False, True], ids=["first", "behind a layer"])
@pytest.mark.parametrize("quantized", ["gamma", "beta", "gamma beta mean variance"])
def test_quantized_batch_norm(tmp_path, quantized, layer):
    """ONNX Runtime's quantizer leaves such behind, where the norm did not fold."""
    names = ("gamma", "beta", "mean", "variance")
    values = dict(zip(names, (CODES, CODES[::-1], CODES, np.abs(CODES)), strict=True))
    pieces = [
        decoded(n, v.astype(np.int32) if n == "beta" else v, 0.01)
        if n in quantized
        else ([], {n: v * np.float32(0.01)})
        for n, v in values.items()
    ]
    data = "x"
    if layer:
        kernel = RANDOM.integers(-99, 99, (CHANNELS, CHANNELS, 1, 1)).astype(np.int8)
        pieces += [decoded("w", kernel, 0.01)]
        pieces += [([helper.make_node("Conv", ["x", "w"], ["h"])], {})]
        data = "h"
    check(saved(tmp_path, *pieces, node("BatchNormalization", data, *names)))


def test_a_constant_that_is_quantized_in_the_file(tmp_path):
    """QuantizeLinear and DequantizeLinear around a float weight, a scale for each channel."""
    kernel = RANDOM.normal(0, 1, (3, CHANNELS, 1, 1)).astype(np.float32)
    parts = {"s": np.float32([0.01, 0.02, 0.03]), "z": np.zeros(3, np.int8)}
    pair = [
        helper.make_node("QuantizeLinear", ["k", "s", "z"], ["q"], axis=0),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["w"], axis=0),
    ]
    model = check(saved(tmp_path, (pair, {"k": kernel, **parts}), node("Conv", "x", "w")))
    assert model.parameters["k"].dtype == np.int8


ASYMMETRIC = {
    "uint8, 128": (np.uint8, 128),
    "uint8, 120": (np.uint8, 120),
    "int8, 5": (np.int8, 5),
    "int8, -128": (np.int8, -128),
    "a channel each": (np.int8, [5, 0, -7]),
}


@pytest.mark.parametrize("groups", [1, CHANNELS], ids=["dense", "depthwise"])
@pytest.mark.parametrize("dtype, zero_point", ASYMMETRIC.values(), ids=ASYMMETRIC.keys())
def test_asymmetric_weights_stay_codes(tmp_path, dtype, zero_point, groups):
    """In int8 from data to result, but for a zero point for each channel: that layer is float."""
    outputs = 3 if groups == 1 else CHANNELS
    zero_points = np.resize(zero_point, outputs) if np.ndim(zero_point) else zero_point
    limits = np.iinfo(dtype)
    shape = (outputs, CHANNELS // groups, 3, 3)
    kernel = RANDOM.integers(limits.min, limits.max + 1, shape).astype(dtype)
    scale = np.full(outputs, 0.01) if np.ndim(zero_point) else 0.01
    path = saved(
        tmp_path,
        coded("x", "xd"),
        decoded("w", kernel, scale, zero_points, axis=0),
        ([helper.make_node("Conv", ["xd", "w"], ["h"], group=groups)], {}),
        coded("h", "y", 0.5),
    )
    x = (RANDOM.integers(-99, 99, IMAGE) * 0.05).astype(np.float32)
    model = check(path, x, tolerance=1e-6)
    assert model.parameters["w_q"].dtype == np.int8


def test_weights_of_32_bits_are_not_taken_for_8(tmp_path):
    kernel = RANDOM.integers(-(2**20), 2**20, (3, CHANNELS, 1, 1)).astype(np.int32)
    weight = decoded("w", kernel, 1e-6)
    layer = [helper.make_node("Conv", ["xd", "w"], ["h"])], {}
    check(saved(tmp_path, coded("x", "xd"), weight, layer, coded("h", "y", 0.01)), tolerance=0.011)


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_a_cast_gives_the_codes_themselves(dtype):
    def body(emit, x):
        return emit(relax.op.multiply(emit(relax.op.astype(x, "float32")), relax.const(0.5)))

    _, model = imported(body, (IMAGE, dtype))
    x = RANDOM.integers(0, 256, IMAGE).astype(np.uint8).view(dtype)
    codes = (x ^ 0x80 if dtype == "uint8" else x).view(np.int8)
    np.testing.assert_array_equal(result(model.module, codes, {}), x.ravel() * np.float32(0.5))


CONSTANT = CODES.reshape(COLUMN)
REFUSED_FILES = {
    "int16 activations": ([coded("x", "y", 1e-4, 0, np.int16)], ["y_", "int16"]),
    "int16 constant": (
        [decoded("c", CONSTANT.astype(np.int16), 0.01), node("Mul", "x", "c")],
        ["c_q", "int16"],
    ),
    "scale of 0": ([coded("x", "y", 0.0)], ["y_s", "scale 0; it must be positive."]),
    "scales of an activation": (
        [coded("x", "y", np.ones(CHANNELS, np.float32), np.zeros(CHANNELS))],
        ["y_s"],
    ),
}


@pytest.mark.parametrize("pieces, words", REFUSED_FILES.values(), ids=REFUSED_FILES.keys())
def test_codes_that_cannot_be_compiled_are_named(tmp_path, pieces, words):
    with pytest.raises(OdtError) as error:
        load(saved(tmp_path, *pieces))
    assert all(word in str(error.value) for word in words)
    assert "\n" not in str(error.value)


def coded_as(dtype, scale=1.0):
    """A body that quantizes x."""
    coding = relax.const(np.float32(scale)), relax.const(np.zeros_like(scale).astype(dtype))
    return lambda emit, x: emit(relax.op.quantize(x, *coding, axis=1, out_dtype=dtype))


def decoded_as(dtype, scale=1.0):
    """A body that adds a quantized constant to x."""
    codes = relax.const(CODES.astype(dtype).reshape(1, CHANNELS, 1, 1))
    coding = relax.const(np.float32(scale)), relax.const(np.zeros(1, dtype)[0])
    return lambda emit, x: emit(
        relax.op.add(x, emit(relax.op.dequantize(codes, *coding, axis=1, out_dtype="float32")))
    )


@pytest.mark.parametrize(
    "body, text",
    [
        (coded_as("int16"), "has int16 codes; int8, uint8 can be compiled. Quantize to int8."),
        (coded_as("int8", 0.0), "has scale 0; it must be positive."),
        (coded_as("int8", -0.5), "has scale -0.5; it must be positive."),
        (coded_as("int8", np.inf), "has scale inf; it must be positive."),
        (
            coded_as("int8", np.ones(CHANNELS)),
            "its scale must be one constant number; per-channel is for weights only",
        ),
        (
            decoded_as("int16"),
            "a constant of shape (1, 4, 1, 1) has int16 codes; int8, uint8, int32 can be compiled.",
        ),
        (decoded_as("int8", np.nan), "has scale nan; it must be positive."),
        (decoded_as("int8", -1.0), "has scale -1; it must be positive."),
    ],
)
def test_codes_that_cannot_be_compiled(body, text):
    with pytest.raises(OdtError) as error:
        imported(body, (IMAGE, "float32"))
    assert text in str(error.value)
    assert "\n" not in str(error.value)


def test_integers_of_unknown_scale_are_refused():
    with pytest.raises(OdtError, match="the file does not say the scale of the integers"):
        imported(lambda emit, x: emit(relax.op.nn.relu(x)), (IMAGE, "int8"))
