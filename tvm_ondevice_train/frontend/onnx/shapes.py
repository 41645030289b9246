"""Element types and shapes of an .onnx file's tensors, by ONNX's own rules."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import TensorProto, defs, helper, numpy_helper, shape_inference

from .rules import Node, Tensor
from .words import quoted, said, word_of

Result = tuple[str, str, tuple[int, ...] | None]  # name, element type, shape

MOST_TENSOR_BYTES = 2**28  # no microcontroller holds more in any one tensor
_FEW = 1024  # values that a shape may be made of


def element_name(number: int) -> str:
    """``FLOAT`` of 1; "" of what is no element type."""
    known = number in TensorProto.DataType.values() and number != TensorProto.UNDEFINED
    return TensorProto.DataType.Name(number) if known else ""


def bytes_of(element: str, shape: tuple[int, ...]) -> int:
    if element in ("STRING", ""):
        return int(np.prod(shape, dtype=object))
    size = helper.tensor_dtype_to_np_dtype(TensorProto.DataType.Value(element)).itemsize
    return int(np.prod(shape, dtype=object)) * size


def opset_of(proto: onnx.ModelProto) -> int:
    """Version of ONNX's own operators; 1 where the file says none, as ONNX has it."""
    versions = [o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")]
    return versions[0] if versions else 1


def schema_fault(proto: onnx.NodeProto, opset: int, ir_version: int) -> str | None:
    """What ONNX's checker finds wrong with a node of its own domain, or None."""
    context = onnx.checker.C.CheckerContext()
    context.ir_version, context.opset_imports = ir_version, {"": opset}
    try:
        onnx.checker.check_node(proto, context)
    except onnx.checker.ValidationError as error:
        return said(error).partition(" ==> ")[0]
    return None


def types_that_disagree(node: Node, opset: int) -> Iterator[tuple[str, str]]:
    """Operands of different types where the operator wants one."""
    if node.proto.domain not in ("", "ai.onnx"):
        return
    formal = defs.get_schema(node.proto.op_type, opset).inputs
    bound: dict[str, Tensor] = {}
    for position, operand in enumerate(node.operands):
        if operand is None or not operand.element:
            continue
        variable = formal[min(position, len(formal) - 1)].type_str
        first = bound.setdefault(variable, operand)
        if first.element != operand.element and "(" not in variable:
            found = f"{quoted(first.name)} is {word_of(first.element)}, "
            yield found + f"{quoted(operand.name)} {word_of(operand.element)}", "types must agree"
            return


def result_types(node: Node, opset: int, ir_version: int) -> list[Result]:
    """Of each result that has a name. Raises what ONNX's inference raises."""
    names = [name for name in node.proto.output if name]
    first = node.operand(0)
    if first and node.proto.domain == "com.microsoft" and node.proto.op_type.endswith("Gelu"):
        return [(name, first.element, first.shape) for name in names[:1]]
    operands = {o.name: o for o in node.operands if o is not None and o.element}
    types = {
        name: helper.make_tensor_type_proto(TensorProto.DataType.Value(o.element), o.shape)
        for name, o in operands.items()
    }
    data = {
        name: numpy_helper.from_array(o.value(), name)
        for name, o in operands.items()
        if o.value and o.shape is not None and len(o.shape) < 2 and np.prod(o.shape) <= _FEW
    }
    proto = onnx.NodeProto()
    proto.CopyFrom(node.proto)
    proto.domain = ""
    found = shape_inference.infer_node_outputs(
        defs.get_schema(proto.op_type, opset, ""),
        proto,
        types,
        data,
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=ir_version,
    )
    return [(name, *_plain_type(found.get(name))) for name in names]


def _plain_type(found: onnx.TypeProto | None) -> tuple[str, tuple[int, ...] | None]:
    if found is None or not found.HasField("tensor_type"):
        return "", None
    kind = found.tensor_type
    sized = kind.HasField("shape") and all(d.HasField("dim_value") for d in kind.shape.dim)
    shape = tuple(d.dim_value for d in kind.shape.dim) if sized else None
    return element_name(kind.elem_type), shape
