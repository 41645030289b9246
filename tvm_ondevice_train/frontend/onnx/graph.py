"""The graph of an inspected .onnx file as TVM's importer shall read it.

Only what the output is computed from; pads are numbers, a Dropout is Identity, and tensors have
names of ours: TVM makes variables of names, and takes some of them for others.
"""

from __future__ import annotations

from typing import Any

import onnx
from onnx import helper, numpy_helper

from .inspection import Inspection
from .rules import Node
from .windows import explicit_pads
from .words import place


class Graph:
    """`model` is for TVM; `parameters` has the file's names of its initializers."""

    def __init__(self, inspected: Inspection) -> None:
        self.inspected = inspected
        self.names: dict[str, str] = {}  # the file's -> ours
        self.parameters: dict[str, str | None] = {}  # ours -> the file's, None without a name
        self.origins: dict[str, tuple[str, ...]] = {}  # ours -> the file's that it is computed from
        self.graph = onnx.GraphProto(name="main")
        self.stored = {t.name: t for t in inspected.proto.graph.initializer}
        for value in inspected.proto.graph.input:
            if value.name not in self.stored:
                self._input(value)
        for node in self._needed():
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

    def _needed(self) -> list[Node]:
        """The nodes that the output is computed from, in order."""
        wanted = {value.name for value in self.inspected.proto.graph.output}
        needed = []
        for node in reversed(self.inspected.nodes):
            if node.proto.output[0] in wanted:
                needed.append(node)
                wanted.update(node.proto.input)
        return needed[::-1]

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
        """Our name of a tensor; constants come into the graph as they are read."""
        if not name or name in self.names:
            return self.names.get(name, "")
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
            self.origins[ours] = self.inspected.constants.origins(name)
        self.graph.initializer.append(value)
        return ours

    def _append(
        self, node: Node, kind: str, operands: list[str], result: str, **attributes: Any
    ) -> None:
        made = helper.make_node(kind, operands, [result], place(node.proto), **attributes)
        self.graph.node.append(made)

    def _emit(self, node: Node) -> None:
        operands = [self._read(name) for name in node.proto.input]
        kind, attributes = node.proto.op_type, node.attributes
        result = self._new(node.proto.output[0])
        data = [operand for operand in node.operands if operand and not operand.constant]
        if kind == "Dropout" and data:
            self._append(node, "Identity", operands[:1], result)
        elif kind == "MatMul" and data and node.operands[0] is not data[0]:
            self._weight_first(node, operands, result)
        else:
            if kind in ("Conv", "MaxPool", "AveragePool"):
                attributes = explicit_pads(node)
            self._append(node, kind, operands, result, **attributes)

    def _weight_first(self, node: Node, operands: list[str], result: str) -> None:
        """``W @ x`` as the transpose of ``x.T @ W.T``: a weight stands behind its data."""
        weight, data, product = (f"{result}_{part}" for part in ("weight", "data", "product"))
        self._transpose(node, operands[0], weight, len(node.shape(0)))
        self._transpose(node, operands[1], data, len(node.shape(1)))
        self._append(node, "MatMul", [data, weight], product)
        self._transpose(node, product, result, max(len(node.shape(0)), len(node.shape(1))))

    def _transpose(self, node: Node, source: str, result: str, rank: int) -> None:
        perm = [*range(rank - 2), rank - 1, rank - 2]
        self._append(node, "Transpose", [source], result, perm=perm)
