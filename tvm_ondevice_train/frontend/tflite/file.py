"""A .tflite file that is whole: flatbuffers are read where they lie, and nobody checks where."""

from __future__ import annotations

import struct
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import OdtError, one_line
from .accepted import options_of, type_of

if TYPE_CHECKING:
    from tflite import Model, SubGraph

_ITEM_BYTES = {
    "FLOAT32": 4,
    "FLOAT16": 2,
    "INT32": 4,
    "INT64": 8,
    "INT16": 2,
    "INT8": 1,
    "UINT8": 1,
}


def read_tflite(path: Path) -> Model:
    """The model in a file, whose offsets and indices all lie in it. Raises OdtError."""
    import tflite

    data = path.read_bytes()
    if len(data) < 8 or data[4:8] != b"TFL3":
        raise OdtError(f"{path.name}: not a TFLite file (its identifier is missing)")
    try:
        model = tflite.Model.GetRootAsModel(data, 0)
        _walk(model, len(data))
    except (
        struct.error,
        ArithmeticError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
    ) as error:
        reason = f": {error}" if isinstance(error, _DamagedError) else ""
        raise OdtError(f"{path.name}: the file is truncated or corrupt{reason}") from None
    return model


class _DamagedError(ValueError):
    """What of a file cannot be."""


def _walk(model: Model, size: int) -> None:
    """Read whatever an importer may read. Raises as Python does, or _DamagedError."""
    counts = [model.SubgraphsLength(), model.OperatorCodesLength(), model.BuffersLength()]
    if counts[0] < 1 or max(counts) > size:
        raise _DamagedError("it holds no network")
    for index in range(model.OperatorCodesLength()):
        code = model.OperatorCodes(index)
        code.BuiltinCode(), code.DeprecatedBuiltinCode(), code.CustomCode()
    for index in range(model.BuffersLength()):
        model.Buffers(index).DataAsNumpy()
    for index in range(model.SubgraphsLength()):
        graph = model.Subgraphs(index)
        if max(graph.TensorsLength(), graph.OperatorsLength()) > size:
            raise _DamagedError("it has more tensors than bytes")
        _walk_tensors(model, graph)
        _walk_operators(model, graph)


def _walk_tensors(model: Model, graph: SubGraph) -> None:
    for index in range(graph.TensorsLength()):
        tensor = graph.Tensors(index)
        (tensor.Name() or b"").decode()
        shape = [int(extent) for extent in _list(tensor.ShapeAsNumpy())]
        tensor.ShapeSignatureAsNumpy()
        quantization = tensor.Quantization()
        if quantization is not None:
            scales, zeros = quantization.ScaleAsNumpy(), quantization.ZeroPointAsNumpy()
            if len(_list(scales)) != len(_list(zeros)):
                raise _DamagedError(f"tensor {index} has more scales than zero points, or fewer")
        content = len(
            _list(model.Buffers(_below(tensor.Buffer(), model.BuffersLength())).DataAsNumpy())
        )
        item = _ITEM_BYTES.get(type_of(tensor))
        if content and item and tensor.Sparsity() is None and content != prod(shape) * item:
            found = f"tensor {index} of shape {one_line(tuple(shape))} has {content} bytes"
            raise _DamagedError(found)


def _walk_operators(model: Model, graph: SubGraph) -> None:
    tensors = graph.TensorsLength()
    for index in (*_list(graph.InputsAsNumpy()), *_list(graph.OutputsAsNumpy())):
        _below(int(index), tensors)
    for number in range(graph.OperatorsLength()):
        operator = graph.Operators(number)
        _below(operator.OpcodeIndex(), model.OperatorCodesLength())
        for index in _list(operator.InputsAsNumpy()):
            _below(int(index) + 1, tensors + 1)  # -1: an operand that is left out
        for index in _list(operator.OutputsAsNumpy()):
            _below(int(index), tensors)
        options_of(operator)
        if not operator.InputsLength() or not operator.OutputsLength():
            raise _DamagedError(f"operator {number} has no operand, or no result")


def _below(index: int, count: int) -> int:
    if not 0 <= index < count:
        raise _DamagedError(f"index {index} of {count}")
    return index


def _list(vector: np.ndarray | int) -> np.ndarray | list:
    """A vector of a flatbuffer, which is 0 where there is none."""
    return vector if isinstance(vector, np.ndarray) else []
