"""The graph of an inspected .onnx file as TVM's importer shall read it.

Only what depends on the input, and the constants that it reads; pads are numbers, what changes
nothing is Identity, tensors have names of ours. TVM makes variables of names, and takes some of
them for others.
"""

from __future__ import annotations

from typing import Any

import onnx
from onnx import helper, numpy_helper

from .onnx_accepted import CARRIED
from .onnx_inspection import Inspection
from .onnx_rules import Node
from .onnx_windows import explicit_pads
from .onnx_words import place

_ITSELF = ("Cast", "CastLike", "Dropout")  # of what is accepted
_MOVED = ("FLOAT", "INT8", "UINT8", "INT32")  # element types of parameters


class Graph:
    """`model` is for TVM; `parameters` has the file's names of its initializers."""

    def __init__(self, inspected: Inspection) -> None:
        self.inspected = inspected
        self.names: dict[str, str] = {}  # the file's -> ours
        self.parameters: dict[str, str | None] = {}  # ours -> the file's, None without a name
        self.graph = onnx.GraphProto(name="main")
        self.stored = {t.name: t for t in inspected.proto.graph.initializer}
        for value in inspected.proto.graph.input:
            if value.name not in self.stored:
                self._input(value)
        for node in inspected.nodes:
            self._emit(node)
        for value in inspected.proto.graph.output:
            tensor = inspected.tensors[value.name]
            kind = onnx.TensorProto.DataType.Value(tensor.element)
            name = self._read(value.name)
            self.graph.output.append(helper.make_tensor_value_info(name, kind, tensor.shape))
        self.model = helper.make_model(
            self.graph,
            opset_imports=[helper.make_opsetid("", inspected.opset)],
            ir_version=inspected.proto.ir_version,
        )

    def _input(self, value: onnx.ValueInfoProto) -> None:
        """It keeps its name, but that of the function."""
        tensor = self.inspected.tensors[value.name]
        name = self.names[value.name] = "input" if value.name == "main" else value.name
        kind = onnx.TensorProto.DataType.Value(tensor.element)
        self.graph.input.append(helper.make_tensor_value_info(name, kind, tensor.shape))

    def _new(self, name: str) -> str:
        """A name that no input has: it is longer than each, and begins otherwise."""
        longest = max((len(i.name) for i in self.graph.input), default=0)
        ours = self.names[name] = f"t{'_' * longest}{len(self.names)}"
        return ours

    def _read(self, name: str) -> str:
        """Our name of a tensor; what it needs of constants comes into the graph."""
        if not name or name in self.names:
            return self.names.get(name, "")
        computed = self.inspected.constants.computed.get(name)
        tensor = self.inspected.tensors[name]
        if computed is not None and computed.op_type in CARRIED and tensor.element in _MOVED:
            operands = [self._read(operand) for operand in computed.input]
            self._append(computed, operands, self._new(name), _attributes(computed))
            return self.names[name]
        ours = self._new(name)
        if name in self.stored:
            value = onnx.TensorProto()
            value.CopyFrom(self.stored[name])
            value.name = ours
            shorter = name.removeprefix("onnx::")
            self.parameters[ours] = name if shorter in self.stored else shorter
        else:
            value = numpy_helper.from_array(self.inspected.constants.value(name), ours)
            self.parameters[ours] = None
        self.graph.initializer.append(value)
        return ours

    def _append(
        self, node: onnx.NodeProto, operands: list[str], result: str, attributes: dict[str, Any]
    ) -> None:
        made = helper.make_node(node.op_type, operands, [result], place(node), **attributes)
        self.graph.node.append(made)

    def _emit(self, node: Node) -> None:
        operands = [self._read(name) for name in node.proto.input]
        kind, attributes = node.proto.op_type, node.attributes
        result = self._new(node.proto.output[0])
        if kind in _ITSELF:
            identity = helper.make_node("Identity", operands[:1], [result], place(node.proto))
            self.graph.node.append(identity)
        elif kind == "MatMul" and node.operands[0].constant:
            self._weight_first(node, operands, result)
        else:
            if kind in ("Conv", "MaxPool", "AveragePool"):
                attributes = explicit_pads(node)
            self._append(node.proto, operands, result, attributes)

    def _weight_first(self, node: Node, operands: list[str], result: str) -> None:
        """``W @ x`` as the transpose of ``x.T @ W.T``: a weight stands behind its data."""
        turned = [f"{result}_{side}" for side in ("weight", "data", "product")]
        for source, target, rank in (
            (operands[0], turned[0], len(node.shape(0))),
            (operands[1], turned[1], len(node.shape(1))),
        ):
            self._transpose(node, source, target, rank)
        product = helper.make_node("MatMul", [turned[1], turned[0]], [turned[2]], place(node.proto))
        self.graph.node.append(product)
        self._transpose(node, turned[2], result, len(node.shape(1)))

    def _transpose(self, node: Node, source: str, result: str, rank: int) -> None:
        perm = [*range(rank - 2), rank - 1, rank - 2]
        made = helper.make_node("Transpose", [source], [result], place(node.proto), perm=perm)
        self.graph.node.append(made)


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}
