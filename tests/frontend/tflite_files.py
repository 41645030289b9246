"""TFLite files of one operator, written byte by byte as no converter is at hand."""

from __future__ import annotations

import flatbuffers
import numpy as np
import tflite


def one_operator(
    code: int, shape, slopes: np.ndarray | None = None, options=None, result=None, coding=None
) -> bytes:
    """``y = operator(x)``, or of x and `slopes`, float32; x of `shape`, y of `result` or the same.

    options : builder -> (type of the options, their offset), where the operator has some.
    coding : (scale, zero point), of int8 x and y.
    """
    result = result or shape
    b = flatbuffers.Builder(1024)
    content = [b""] if slopes is None else [b"", np.asarray(slopes, "<f4").tobytes()]
    shapes = [shape, result] if slopes is None else [shape, result, slopes.shape]
    buffers = [_buffer(b, data) for data in content]
    tensors = [_tensor(b, own, f"t{i}", int(i == 2), coding) for i, own in enumerate(shapes)]
    kind, table = options(b) if options else (0, None)
    inputs, outputs = _ints(b, [0] if slopes is None else [0, 2]), _ints(b, [1])
    tflite.OperatorStart(b)
    tflite.OperatorAddInputs(b, inputs)
    tflite.OperatorAddOutputs(b, outputs)
    if table is not None:
        tflite.OperatorAddBuiltinOptionsType(b, kind)
        tflite.OperatorAddBuiltinOptions(b, table)
    operators = _tables(b, [tflite.OperatorEnd(b)])
    tensors = _tables(b, tensors)
    inputs, outputs = _ints(b, [0]), _ints(b, [1])
    tflite.SubGraphStart(b)
    tflite.SubGraphAddTensors(b, tensors)
    tflite.SubGraphAddInputs(b, inputs)
    tflite.SubGraphAddOutputs(b, outputs)
    tflite.SubGraphAddOperators(b, operators)
    graphs = _tables(b, [tflite.SubGraphEnd(b)])
    tflite.OperatorCodeStart(b)
    tflite.OperatorCodeAddDeprecatedBuiltinCode(b, min(code, 127))
    tflite.OperatorCodeAddBuiltinCode(b, code)
    tflite.OperatorCodeAddVersion(b, 1)
    codes = _tables(b, [tflite.OperatorCodeEnd(b)])
    buffers = _tables(b, buffers)
    tflite.ModelStart(b)
    tflite.ModelAddVersion(b, 3)
    tflite.ModelAddOperatorCodes(b, codes)
    tflite.ModelAddSubgraphs(b, graphs)
    tflite.ModelAddBuffers(b, buffers)
    b.Finish(tflite.ModelEnd(b), file_identifier=b"TFL3")
    return bytes(b.Output())


def gelu_options(approximate: bool):
    def options(b):
        tflite.GeluOptionsStart(b)
        tflite.GeluOptionsAddApproximate(b, approximate)
        return tflite.BuiltinOptions.GeluOptions, tflite.GeluOptionsEnd(b)

    return options


def pool_options(size, strides, same: bool):
    def options(b):
        padding = tflite.Padding.SAME if same else tflite.Padding.VALID
        tflite.Pool2DOptionsStart(b)
        tflite.Pool2DOptionsAddPadding(b, padding)
        tflite.Pool2DOptionsAddStrideH(b, strides[0])
        tflite.Pool2DOptionsAddStrideW(b, strides[1])
        tflite.Pool2DOptionsAddFilterHeight(b, size[0])
        tflite.Pool2DOptionsAddFilterWidth(b, size[1])
        return tflite.BuiltinOptions.Pool2DOptions, tflite.Pool2DOptionsEnd(b)

    return options


def _buffer(b, data: bytes):
    content = b.CreateByteVector(data)
    tflite.BufferStart(b)
    tflite.BufferAddData(b, content)
    return tflite.BufferEnd(b)


def _tensor(b, shape, name: str, buffer: int, coding=None):
    name, shape = b.CreateString(name), _ints(b, shape)
    quantization = _quantization(b, *coding) if coding else None
    tflite.TensorStart(b)
    tflite.TensorAddShape(b, shape)
    tflite.TensorAddType(b, tflite.TensorType.INT8 if coding else tflite.TensorType.FLOAT32)
    if quantization is not None:
        tflite.TensorAddQuantization(b, quantization)
    tflite.TensorAddBuffer(b, buffer)
    tflite.TensorAddName(b, name)
    return tflite.TensorEnd(b)


def _quantization(b, scale: float, zero_point: int):
    scales = b.CreateNumpyVector(np.array([scale], np.float32))
    zero_points = b.CreateNumpyVector(np.array([zero_point], np.int64))
    tflite.QuantizationParametersStart(b)
    tflite.QuantizationParametersAddScale(b, scales)
    tflite.QuantizationParametersAddZeroPoint(b, zero_points)
    return tflite.QuantizationParametersEnd(b)


def _ints(b, values):
    return b.CreateNumpyVector(np.asarray(values, np.int32))


def _tables(b, offsets):
    b.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        b.PrependUOffsetTRelative(offset)
    return b.EndVector()
