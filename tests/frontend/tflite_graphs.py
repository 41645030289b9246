"""TFLite files of one operator of any operands and options, and what LiteRT computes with them."""

from __future__ import annotations

from dataclasses import dataclass

import flatbuffers
import numpy as np
import tflite
from ai_edge_litert.interpreter import Interpreter, OpResolverType


@dataclass(frozen=True)
class Tensor:
    """shape; value: of a constant; kind: of `tflite.TensorType`; scale: of codes, zero point 0."""

    shape: tuple[int, ...]
    value: np.ndarray | None = None
    kind: str = "FLOAT32"
    scale: float | None = None
    signature: tuple[int, ...] = ()


def constant(value, dtype=np.float32) -> Tensor:
    value = np.asarray(value, dtype)
    return Tensor(value.shape, value, str(value.dtype).upper())


def file_of(operator: str, operands, result: Tensor, options: str | None = None, **given) -> bytes:
    """``result = operator(*operands)``, the first of which is the input; `options` by schema name.

    An operand that is there twice is one tensor. given : values of the options.
    """
    tensors = [*{id(operand): operand for operand in operands}.values(), result]
    b = flatbuffers.Builder(1024)
    contents = [b""] + [b"" if t.value is None else t.value.tobytes() for t in tensors]
    buffers = [_made(b, "Buffer", Data=b.CreateByteVector(content)) for content in contents]
    made = [_tensor(b, tensor, index) for index, tensor in enumerate(tensors)]
    table = _made(b, options, **given) if options else None
    last = len(tensors) - 1
    places = {id(tensor): index for index, tensor in enumerate(tensors[:-1])}
    inputs = _ints(b, [places[id(operand)] for operand in operands])
    fields = {"Inputs": inputs, "Outputs": _ints(b, [last])}
    if table is not None:
        kind = getattr(tflite.BuiltinOptions, options)
        fields |= {"BuiltinOptionsType": kind, "BuiltinOptions": table}
    graph = _made(
        b,
        "SubGraph",
        Operators=_tables(b, [_made(b, "Operator", **fields)]),
        Tensors=_tables(b, made),
        Inputs=_ints(b, [0]),
        Outputs=_ints(b, [last]),
    )
    code = getattr(tflite.BuiltinOperator, operator)
    codes = {"DeprecatedBuiltinCode": min(code, 127), "BuiltinCode": code, "Version": 1}
    model = _made(
        b,
        "Model",
        Version=3,
        OperatorCodes=_tables(b, [_made(b, "OperatorCode", **codes)]),
        Subgraphs=_tables(b, [graph]),
        Buffers=_tables(b, buffers),
    )
    b.Finish(model, file_identifier=b"TFL3")
    return bytes(b.Output())


def litert(content: bytes, x: np.ndarray, kernels: str = "BUILTIN_REF") -> np.ndarray:
    """What LiteRT computes with its reference kernels, or others of `OpResolverType`."""
    resolver = getattr(OpResolverType, kernels)
    reference = Interpreter(model_content=content, experimental_op_resolver_type=resolver)
    reference.allocate_tensors()
    reference.set_tensor(reference.get_input_details()[0]["index"], x)
    reference.invoke()
    return reference.get_tensor(reference.get_output_details()[0]["index"])


def _tensor(b, tensor: Tensor, index: int) -> int:
    fields = {
        "Shape": _ints(b, tensor.shape),
        "Type": getattr(tflite.TensorType, tensor.kind),
        "Buffer": index + 1 if tensor.value is not None else 0,
        "Name": b.CreateString("same"),
    }
    if tensor.signature:
        fields["ShapeSignature"] = _ints(b, tensor.signature)
    if tensor.scale is not None:
        scale = b.CreateNumpyVector(np.array([tensor.scale], np.float32))
        zero_point = b.CreateNumpyVector(np.zeros(1, np.int64))
        fields["Quantization"] = _made(
            b, "QuantizationParameters", Scale=scale, ZeroPoint=zero_point
        )
    return _made(b, "Tensor", **fields)


def _made(b, table: str, **fields) -> int:
    getattr(tflite, f"{table}Start")(b)
    for name, value in fields.items():
        getattr(tflite, f"{table}Add{name}")(b, value)
    return getattr(tflite, f"{table}End")(b)


def _ints(b, values) -> int:
    return b.CreateNumpyVector(np.asarray([*values], np.int32))


def _tables(b, offsets) -> int:
    b.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        b.PrependUOffsetTRelative(offset)
    return b.EndVector()
