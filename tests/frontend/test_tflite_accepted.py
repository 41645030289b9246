"""The list of what is read of TFLite's operators, against LiteRT's reference kernels."""

import numpy as np
import pytest
import tiny
from tflite_graphs import Tensor, constant, file_of, litert

from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.frontend import load
from tvm_ondevice_train.frontend.tflite.accepted import ACCEPTED

MAP, ROW = Tensor((1, 5, 6, 4)), Tensor((1, 6))
VALUES = np.random.default_rng(0).normal(size=512).astype(np.float32)


def weights(*shape):
    return constant(VALUES[: np.prod(shape)].reshape(shape))


def integers(*values):
    return constant(values, np.int32)


STEPS = {"Padding": 0, "StrideH": 2, "StrideW": 1}
PADDED = {"Padding": 1, "StrideH": 1, "StrideW": 2}
DILATED = {"StrideH": 1, "StrideW": 1, "DilationHFactor": 2, "DilationWFactor": 2}
FULL = "FullyConnectedOptions"
KERNEL, BIAS = weights(3, 3, 2, 4), weights(3)
SUM = Tensor((1, 5, 6, 4))
READ = {
    **{
        name: (name, [MAP], MAP)
        for name in "ABS EXP NEG RELU RELU6 RELU_N1_TO_1 TANH LOGISTIC HARD_SWISH ELU".split()
    },
    "LOG": ("LOG", [MAP], MAP),
    "SQRT": ("SQRT", [MAP], MAP),
    "GELU": ("GELU", [MAP], MAP, "GeluOptions", {"Approximate": True}),
    "LOG_SOFTMAX": ("LOG_SOFTMAX", [MAP], MAP, "LogSoftmaxOptions", {}),
    "SOFTMAX": ("SOFTMAX", [MAP], MAP, "SoftmaxOptions", {"Beta": 1.0}),
    "LEAKY_RELU": ("LEAKY_RELU", [MAP], MAP, "LeakyReluOptions", {"Alpha": 0.3}),
    "PRELU": ("PRELU", [MAP, weights(1, 1, 4)], MAP),
    **{
        f"{name} {act}": (name, [MAP, weights(4)], SUM, options, {"FusedActivationFunction": act})
        for act, name, options in [
            (0, "ADD", "AddOptions"),
            (1, "SUB", "SubOptions"),
            (2, "MUL", "MulOptions"),
            (3, "DIV", "DivOptions"),
        ]
    },
    "MAXIMUM": ("MAXIMUM", [MAP, weights(4)], MAP, "MaximumMinimumOptions", {}),
    "MINIMUM": ("MINIMUM", [MAP, weights(4)], MAP, "MaximumMinimumOptions", {}),
    "CONV_2D": ("CONV_2D", [MAP, weights(3, 3, 2, 4), BIAS], Tensor((1, 3, 6, 3)), "Conv2DOptions",
                {**STEPS, "FusedActivationFunction": 1}),
    "CONV_2D valid": ("CONV_2D", [MAP, weights(3, 3, 2, 4), BIAS], Tensor((1, 3, 3, 3)),
                      "Conv2DOptions", {**PADDED, "FusedActivationFunction": 2}),
    "CONV_2D dilated": ("CONV_2D", [MAP, weights(3, 3, 2, 4), BIAS], Tensor((1, 5, 6, 3)),
                        "Conv2DOptions", {**DILATED, "FusedActivationFunction": 3}),
    "DEPTHWISE_CONV_2D": ("DEPTHWISE_CONV_2D", [MAP, weights(1, 3, 2, 8), weights(8)],
                          Tensor((1, 3, 6, 8)), "DepthwiseConv2DOptions",
                          {**STEPS, "DepthMultiplier": 2, "FusedActivationFunction": 1}),
    "AVERAGE_POOL_2D": ("AVERAGE_POOL_2D", [MAP], Tensor((1, 3, 6, 4)), "Pool2DOptions",
                        {**STEPS, "FilterHeight": 3, "FilterWidth": 2}),
    "MAX_POOL_2D": ("MAX_POOL_2D", [MAP], Tensor((1, 3, 3, 4)), "Pool2DOptions",
                    {**PADDED, "FilterHeight": 3, "FilterWidth": 2, "FusedActivationFunction": 1}),
    "FULLY_CONNECTED": ("FULLY_CONNECTED", [ROW, weights(3, 6), BIAS], Tensor((1, 3)), FULL,
                        {"FusedActivationFunction": 3}),
    "CONCATENATION": ("CONCATENATION", [MAP, MAP], Tensor((1, 5, 6, 8)), "ConcatenationOptions",
                      {"Axis": -1}),
    "MEAN": ("MEAN", [MAP, integers(1, 2)], Tensor((1, 4)), "ReducerOptions", {}),
    "MEAN kept": ("MEAN", [MAP, integers(-1)], Tensor((1, 5, 6, 1)), "ReducerOptions",
                  {"KeepDims": True}),
    "TRANSPOSE": ("TRANSPOSE", [MAP, integers(0, 2, 1, 3)], Tensor((1, 6, 5, 4))),
    "RESHAPE": ("RESHAPE", [MAP, integers(1, -1)], Tensor((1, 120))),
    "EXPAND_DIMS": ("EXPAND_DIMS", [MAP, integers(1)], Tensor((1, 1, 5, 6, 4))),
    "SQUEEZE": ("SQUEEZE", [Tensor((1, 1, 6))], Tensor((1, 6)), "SqueezeOptions", {}),
}  # fmt: skip
IN_FILES_OF_KERAS = {"DEQUANTIZE", "QUANTIZE", "PACK", "SHAPE", "STRIDED_SLICE"}


def built(operator, operands, result, options=None, given=()):
    return file_of(operator, operands, result, options, **dict(given))


def test_the_list_is_covered():
    assert {case[0] for case in READ.values()} | IN_FILES_OF_KERAS == set(ACCEPTED)


@pytest.mark.parametrize("case", READ.values(), ids=READ)
def test_it_computes_what_litert_does(case, tmp_path):
    content = built(*case)
    x = VALUES[: np.prod(case[1][0].shape)].reshape(case[1][0].shape)
    x = np.abs(x) + 0.1 if case[0] in ("LOG", "SQRT") else x
    (tmp_path / "net.tflite").write_bytes(content)
    model = load(tmp_path / "net.tflite")
    name = model.module["main"].params[0].name
    (found,) = tiny.run(model.module, **{name: x}, **model.parameters)
    if case[0] in ("SOFTMAX", "LOG_SOFTMAX"):
        return  # what lies below is the model's output
    own = {"kernels": "BUILTIN_WITHOUT_DEFAULT_DELEGATES"} if case[0] == "ELU" else {}
    expected = litert(content, x, **own).reshape(-1)  # there is no reference kernel of ELU
    np.testing.assert_allclose(found.reshape(-1), expected, rtol=1e-5, atol=3e-6)


INT16 = Tensor((1, 5, 6, 4), kind="INT16", scale=0.1)
CODES = Tensor((1, 5, 6, 4), kind="INT8", scale=0.1)
CODE_WEIGHTS = Tensor((3, 6), np.ones((3, 6), np.int8), "INT8", 0.1)
REFUSED = {
    "beta": (
        built("SOFTMAX", [ROW], ROW, "SoftmaxOptions", {"Beta": 2.0}),
        'SOFTMAX (operator 0, giving "same"): Beta is 2.0; supported is 1',
    ),
    "activation": (
        built("ADD", [MAP, MAP], SUM, "AddOptions", {"FusedActivationFunction": 5}),
        "FusedActivationFunction is SIGN_BIT; supported is NONE, RELU, RELU_N1_TO_1 or RELU6",
    ),
    "weights' format": (
        built("FULLY_CONNECTED", [ROW, weights(3, 6)], Tensor((1, 3)), FULL, {"WeightsFormat": 1}),
        "WeightsFormat is 1; supported is 0",
    ),
    "no stride": (
        built("MAX_POOL_2D", [MAP], MAP, "Pool2DOptions", {"FilterHeight": 1, "FilterWidth": 1}),
        "StrideH is 0; supported is above 0",
    ),
    "slope": (
        built("LEAKY_RELU", [MAP], MAP, "LeakyReluOptions", {"Alpha": -1.0}),
        "Alpha is -1.0; supported is 0 to 1",
    ),
    "operator": (built("SIN", [MAP], MAP), 'SIN (operator 0, giving "same"): the operator cannot'),
    "int16": (
        built("RELU", [INT16], INT16),
        'input "same": tensor "same" is int16; quantize activations to int8',
    ),
    "int64": (
        built("RELU", [MAP], Tensor((1, 5, 6, 4), kind="INT64")),
        'tensor "same" is int64; supported are float32, int8 and uint8',
    ),
    "codes": (built("ELU", [CODES], CODES), "it computes with int8 codes; supported is float32"),
    "dynamic range": (
        built("FULLY_CONNECTED", [ROW, CODE_WEIGHTS], Tensor((1, 3)), FULL),
        "(dynamic-range quantization); convert without optimizations, or in full int8 with",
    ),
    "data's shape": (
        built("RELU", [Tensor((1, 1, 1, 4), signature=(-1, -1, -1, 4))], Tensor((1, 1, 1, 4))),
        'input "same": its shape (-1, -1, -1, 4) is dynamic; every axis but the batch must be',
    ),
    "batch": (
        built("RELU", [Tensor((4, 6))], Tensor((4, 6))),
        "it has batch 4; training runs one sample a step; convert the model with batch_size=1",
    ),
    "size": (
        built("RELU", [Tensor((1, 2**30))], Tensor((1, 2**30))),
        "has shape (1, 1073741824); supported are 1 to 268435456 elements",
    ),
    "contradiction": (
        built("RESHAPE", [MAP, integers(1, 5, 24)], Tensor((1, 24, 5))),
        "it asks for shape (1, 5, 24) and gives (1, 24, 5); convert the model again",
    ),
    "a constant cut off": (
        built("ADD", [ROW, Tensor((1, 6), np.ones(5, np.float32))], Tensor((1, 6))),
        "the file is truncated or corrupt: tensor 1 of shape (1, 6) has 20 bytes",
    ),
}


@pytest.mark.parametrize("content, found", REFUSED.values(), ids=REFUSED)
def test_what_is_not_on_the_list_is_refused_by_its_name(content, found, tmp_path):
    path = tmp_path / "net.tflite"
    path.write_bytes(content)
    with pytest.raises(OdtError) as caught:
        load(path)
    assert str(caught.value).startswith("net.tflite: ") and found in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_free_batch_is_one_sample(tmp_path):
    free = Tensor((1, 6), signature=(-1, 6))
    (tmp_path / "net.tflite").write_bytes(built("RELU", [free], ROW))
    assert load(tmp_path / "net.tflite").input.shape == (1, 6)
