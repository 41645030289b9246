"""TFLite files of one operator, written byte by byte as no converter is at hand."""

from __future__ import annotations

import flatbuffers
import numpy as np
import tflite


def one_operator(code: int, shape, slopes: np.ndarray | None = None, options=None) -> bytes:
    """``y = operator(x)``, or of x and `slopes`, float32; x and y of `shape`.

    options : builder -> (type of the options, their offset), where the operator has some.
    """
    b = flatbuffers.Builder(1024)
    content = [b""] if slopes is None else [b"", np.asarray(slopes, "<f4").tobytes()]
    shapes = [shape, shape] if slopes is None else [shape, shape, slopes.shape]
    buffers = [_buffer(b, data) for data in content]
    tensors = [_tensor(b, own, f"t{i}", int(i == 2)) for i, own in enumerate(shapes)]
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


def _buffer(b, data: bytes):
    content = b.CreateByteVector(data)
    tflite.BufferStart(b)
    tflite.BufferAddData(b, content)
    return tflite.BufferEnd(b)


def _tensor(b, shape, name: str, buffer: int):
    name, shape = b.CreateString(name), _ints(b, shape)
    tflite.TensorStart(b)
    tflite.TensorAddShape(b, shape)
    tflite.TensorAddType(b, tflite.TensorType.FLOAT32)
    tflite.TensorAddBuffer(b, buffer)
    tflite.TensorAddName(b, name)
    return tflite.TensorEnd(b)


def _ints(b, values):
    return b.CreateNumpyVector(np.asarray(values, np.int32))


def _tables(b, offsets):
    b.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        b.PrependUOffsetTRelative(offset)
    return b.EndVector()
