"""Operators of TFLite files that are one operator here, against LiteRT."""

import numpy as np
import pytest
import tflite
import tiny
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from tflite_files import gelu_options, one_operator, pool_options

from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.export.onnx_writer import onnx_bytes
from tvm_ondevice_train.frontend import load

IMAGE = (1, 4, 5, 3)
GELU, PRELU = tflite.BuiltinOperator.GELU, tflite.BuiltinOperator.PRELU
SLOPES = np.array([0.25, -1.5, 3.0], np.float32)
FILES = {
    "GELU": (one_operator(GELU, IMAGE, options=gelu_options(False)), "nn.gelu"),
    "GELU, approximate": (one_operator(GELU, IMAGE, options=gelu_options(True)), "nn.gelu_tanh"),
    "PRELU": (one_operator(PRELU, IMAGE, SLOPES.reshape(1, 1, 3)), "nn.prelu"),
    "PRELU, one slope": (one_operator(PRELU, IMAGE, SLOPES[:1].reshape(1, 1, 1)), "nn.prelu"),
}


@pytest.mark.parametrize("content, operator", FILES.values(), ids=FILES)
def test_it_is_one_operator_and_computes_what_litert_does(content, operator, tmp_path):
    path = tmp_path / "net.tflite"
    path.write_bytes(content)
    model = load(path)
    assert [name for name in tiny.op_names(model.module) if name != "permute_dims"] == [operator]
    x = np.random.default_rng(0).normal(size=IMAGE).astype(np.float32)
    parameters = dict(zip([p.name for p in model.module["main"].params], [x], strict=False))
    (found,) = tiny.run(model.module, **parameters, **model.parameters)
    reference = Interpreter(model_content=content)
    reference.allocate_tensors()
    reference.set_tensor(reference.get_input_details()[0]["index"], x)
    reference.invoke()
    expected = reference.get_tensor(reference.get_output_details()[0]["index"])
    np.testing.assert_allclose(found.reshape(-1), expected.reshape(-1), rtol=1e-5, atol=2e-6)


def test_slopes_of_each_element_are_refused(tmp_path):
    path = tmp_path / "net.tflite"
    path.write_bytes(one_operator(PRELU, IMAGE, np.ones(IMAGE[1:], np.float32)))
    with pytest.raises(OdtError, match=r"net: PRELU \(operator 0\): prelu needs constant slopes"):
        load(path)


MAP = (1, 6, 6, 16)


def average_pool(path, size, strides, same, result, zero_point) -> bytes:
    """The file of a pool of int8 codes, written to `path`."""
    options = pool_options(size, strides, same)
    given = {"options": options, "result": (1, *result, 16), "coding": (0.1, zero_point)}
    content = one_operator(tflite.BuiltinOperator.AVERAGE_POOL_2D, MAP, **given)
    path.write_bytes(content)
    return content


def test_an_average_pool_of_codes_is_exported(tmp_path):
    """ONNX Runtime's codes are the device's, but for ties, where they are the neighbour."""
    runtime = pytest.importorskip("onnxruntime")
    path = tmp_path / "net.tflite"
    average_pool(path, (2, 2), (2, 2), False, (3, 3), 5)
    model = load(path)
    codes = np.random.default_rng(0).integers(-128, 128, MAP).astype(np.int8)
    (found,) = tiny.run(model.module, t0=codes)
    session = runtime.InferenceSession(onnx_bytes(model))
    x = (codes.astype(np.float32) - 5) * np.float32(0.1)
    (expected,) = session.run(None, {session.get_inputs()[0].name: x})
    sums = codes.astype(int).reshape(1, 3, 2, 3, 2, 16).sum((2, 4))
    difference = np.abs(found.reshape(-1) - expected.reshape(-1)).reshape(sums.shape)
    assert np.all(difference[sums % 4 != 2] < 1e-6) and difference.max() < 0.101


@pytest.mark.parametrize("zero_point", [0, -128, 5])
@pytest.mark.parametrize(
    "size, strides, same, result",
    [
        ((2, 2), (2, 2), False, (3, 3)),
        ((3, 2), (1, 2), True, (6, 3)),
        ((3, 3), (2, 2), True, (3, 3)),
        ((6, 6), (1, 1), False, (1, 1)),
    ],
)
def test_average_pools_of_codes_are_litert_s(size, strides, same, result, zero_point, tmp_path):
    """To the last code: with codes of few values most means are ties."""
    path = tmp_path / "net.tflite"
    content = average_pool(path, size, strides, same, result, zero_point)
    model = load(path)
    reference = Interpreter(
        model_content=content, experimental_op_resolver_type=OpResolverType.BUILTIN_REF
    )
    reference.allocate_tensors()
    generator = np.random.default_rng(0)
    for spread in (2, 128):
        x = generator.integers(-spread, spread, MAP).astype(np.int8)
        (found,) = tiny.run(model.module, t0=x)
        reference.set_tensor(reference.get_input_details()[0]["index"], x)
        reference.invoke()
        codes = reference.get_tensor(reference.get_output_details()[0]["index"])
        expected = (codes.astype(np.float32) - zero_point) * np.float32(0.1)
        np.testing.assert_array_equal(found.reshape(-1), expected.reshape(-1))
