"""A small TFLite network, float32 or full int8: convolution, pool, reshape, dense, softmax."""

from __future__ import annotations

import flatbuffers
import numpy as np
import tflite
from tflite import BuiltinOperator as Kind
from tflite import BuiltinOptions

_SCALE = 1 / 32  # of every tensor but the softmax's and the biases


def network(int8: bool) -> bytes:
    """Takes (1, 4, 4, 2), gives three probabilities."""
    b = flatbuffers.Builder(4096)
    generator = np.random.default_rng(0)
    buffers: list[bytes] = [b""]
    tensors: list[int] = []

    def tensor(name: str, shape, constant: bool = False, scale: float = _SCALE, bias: bool = False):
        kind = (np.int32 if bias else np.int8) if int8 else np.float32
        if constant:
            values = generator.normal(0, 0.3, shape)
            values = np.rint(values / scale) if int8 else values
            buffers.append(values.astype(kind).tobytes())
        place = len(buffers) - 1 if constant else 0
        codes = (scale, -128 if name == "probabilities" else 0) if int8 else None
        tensors.append(_tensor(b, name, shape, kind, place, codes))
        return len(tensors) - 1

    x, conv = tensor("x", (1, 4, 4, 2)), tensor("conv", (1, 4, 4, 3))
    weight = tensor("conv_w", (3, 3, 3, 2), True)
    bias = tensor("conv_b", (3,), True, _SCALE**2, True)
    pool, flat = tensor("pool", (1, 1, 1, 3)), tensor("flat", (1, 3))
    buffers.append(np.array([1, 3], np.int32).tobytes())
    tensors.append(_tensor(b, "shape", (2,), np.int32, len(buffers) - 1, None))
    shape = len(tensors) - 1
    dense, dense_weight = tensor("dense", (1, 3)), tensor("dense_w", (3, 3), True)
    dense_bias = tensor("dense_b", (3,), True, _SCALE**2, True)
    result = tensor("probabilities", (1, 3), scale=1 / 256)
    operators = [
        (Kind.CONV_2D, [x, weight, bias], conv, _conv(b)),
        (Kind.AVERAGE_POOL_2D, [conv], pool, _pool(b)),
        (Kind.RESHAPE, [pool, shape], flat, None),
        (Kind.FULLY_CONNECTED, [flat, dense_weight, dense_bias], dense, _dense(b)),
        (Kind.SOFTMAX, [dense], result, _softmax(b)),
    ]
    return _model(b, buffers, tensors, operators, x, result)


def _model(b, buffers, tensors, operators, source, result) -> bytes:
    calls = [_operator(b, i, *operator[1:]) for i, operator in enumerate(operators)]
    codes = [_code(b, operator[0]) for operator in operators]
    calls, codes, tensors = _tables(b, calls), _tables(b, codes), _tables(b, tensors)
    inputs, outputs = _vector(b, [source], np.int32), _vector(b, [result], np.int32)
    tflite.SubGraphStart(b)
    tflite.SubGraphAddTensors(b, tensors)
    tflite.SubGraphAddInputs(b, inputs)
    tflite.SubGraphAddOutputs(b, outputs)
    tflite.SubGraphAddOperators(b, calls)
    graphs = _tables(b, [tflite.SubGraphEnd(b)])
    contents = [b.CreateByteVector(content) for content in buffers]
    places = []
    for content in contents:
        tflite.BufferStart(b)
        tflite.BufferAddData(b, content)
        places.append(tflite.BufferEnd(b))
    places = _tables(b, places)
    tflite.ModelStart(b)
    tflite.ModelAddVersion(b, 3)
    tflite.ModelAddOperatorCodes(b, codes)
    tflite.ModelAddSubgraphs(b, graphs)
    tflite.ModelAddBuffers(b, places)
    b.Finish(tflite.ModelEnd(b), file_identifier=b"TFL3")
    return bytes(b.Output())


def _tensor(b, name: str, shape, kind, place: int, codes) -> int:
    name, shape = b.CreateString(name), _vector(b, shape, np.int32)
    quantization = None
    if codes is not None:
        scale, zero = _vector(b, codes[:1], np.float32), _vector(b, codes[1:], np.int64)
        tflite.QuantizationParametersStart(b)
        tflite.QuantizationParametersAddScale(b, scale)
        tflite.QuantizationParametersAddZeroPoint(b, zero)
        quantization = tflite.QuantizationParametersEnd(b)
    types = {np.float32: "FLOAT32", np.int8: "INT8", np.int32: "INT32"}
    tflite.TensorStart(b)
    tflite.TensorAddShape(b, shape)
    tflite.TensorAddType(b, getattr(tflite.TensorType, types[kind]))
    tflite.TensorAddBuffer(b, place)
    tflite.TensorAddName(b, name)
    if quantization is not None:
        tflite.TensorAddQuantization(b, quantization)
    return tflite.TensorEnd(b)


def _operator(b, code: int, sources, result, options) -> int:
    inputs, outputs = _vector(b, sources, np.int32), _vector(b, [result], np.int32)
    tflite.OperatorStart(b)
    tflite.OperatorAddOpcodeIndex(b, code)
    tflite.OperatorAddInputs(b, inputs)
    tflite.OperatorAddOutputs(b, outputs)
    if options is not None:
        tflite.OperatorAddBuiltinOptionsType(b, options[0])
        tflite.OperatorAddBuiltinOptions(b, options[1])
    return tflite.OperatorEnd(b)


def _code(b, kind: int) -> int:
    tflite.OperatorCodeStart(b)
    tflite.OperatorCodeAddDeprecatedBuiltinCode(b, kind)
    tflite.OperatorCodeAddBuiltinCode(b, kind)
    tflite.OperatorCodeAddVersion(b, 1)
    return tflite.OperatorCodeEnd(b)


def _conv(b):
    tflite.Conv2DOptionsStart(b)
    tflite.Conv2DOptionsAddPadding(b, tflite.Padding.SAME)
    tflite.Conv2DOptionsAddStrideH(b, 1)
    tflite.Conv2DOptionsAddStrideW(b, 1)
    tflite.Conv2DOptionsAddFusedActivationFunction(b, tflite.ActivationFunctionType.RELU)
    return BuiltinOptions.Conv2DOptions, tflite.Conv2DOptionsEnd(b)


def _pool(b):
    tflite.Pool2DOptionsStart(b)
    tflite.Pool2DOptionsAddPadding(b, tflite.Padding.VALID)
    tflite.Pool2DOptionsAddStrideH(b, 4)
    tflite.Pool2DOptionsAddStrideW(b, 4)
    tflite.Pool2DOptionsAddFilterHeight(b, 4)
    tflite.Pool2DOptionsAddFilterWidth(b, 4)
    return BuiltinOptions.Pool2DOptions, tflite.Pool2DOptionsEnd(b)


def _dense(b):
    tflite.FullyConnectedOptionsStart(b)
    return BuiltinOptions.FullyConnectedOptions, tflite.FullyConnectedOptionsEnd(b)


def _softmax(b):
    tflite.SoftmaxOptionsStart(b)
    tflite.SoftmaxOptionsAddBeta(b, 1.0)
    return BuiltinOptions.SoftmaxOptions, tflite.SoftmaxOptionsEnd(b)


def _vector(b, values, kind):
    return b.CreateNumpyVector(np.asarray(values, kind))


def _tables(b, offsets):
    b.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        b.PrependUOffsetTRelative(offset)
    return b.EndVector()
