"""A walk over an .onnx file before TVM's importer sees it.

It collects every obstacle and works out what is constant and which type and shape each tensor has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ...errors import Obstacle, one_line
from .accepted import (
    ACCEPTED,
    CARRIED,
    CODES,
    DOMAINS,
    FOLDED,
    IR_VERSIONS,
    OF_TRAINING,
    OPSETS,
    PARAMETERS,
    Operator,
)
from .folding import Constants, too_large
from .rules import RULES, Node, Tensor
from .shapes import (
    MOST_TENSOR_BYTES,
    Result,
    bytes_of,
    element_name,
    opset_of,
    result_types,
    schema_fault,
    types_that_disagree,
)
from .words import all_text, numbers, place, quoted, said, word_of

_SIZED = "memory is planned at compile time, so every axis but the batch must be a number"
_SMALLER = f"at most {MOST_TENSOR_BYTES >> 20} MB a tensor are read"
_ANEW = "export the model anew"
_EVAL = "the model was exported in training mode: call model.eval() before the export"
_OPEN = ("Clip", "Max", "Min")  # a bound may be infinite, and NaN is none


class Inspection:
    """What a file holds; `obstacles` says what of it cannot be compiled."""

    def __init__(self, proto: onnx.ModelProto) -> None:
        self.proto = proto
        self.obstacles: list[Obstacle] = []
        self._versions()
        self.opset = min(max(opset_of(proto), OPSETS.start), OPSETS[-1])
        self.constants = Constants(self.opset)
        self.tensors: dict[str, Tensor] = {}
        self.nodes: list[Node] = []  # those that are not folded, in order
        self.secondary: set[str] = set()  # indices, masks and statistics beside a result
        if all_text(proto):
            self._walk(proto.graph)
        else:
            self._refuse("the file", "a name in it is no text", _ANEW)

    def _refuse(self, where: str, found: str, cure: str) -> None:
        self.obstacles.append(Obstacle(where, found, cure))

    # -- the file -----------------------------------------------------------------------------

    def _walk(self, graph: onnx.GraphProto) -> None:
        for tensor in graph.initializer:
            self._constant(tensor.name, tensor, f"initializer {quoted(tensor.name)}")
        for sparse in graph.sparse_initializer:
            where = f"initializer {quoted(sparse.values.name)}"
            self._refuse(where, "it is sparse", "store it as a dense tensor")
            self.tensors[sparse.values.name] = Tensor(sparse.values.name)
        inputs = [value for value in graph.input if value.name not in self.tensors]
        for value in inputs:
            self._input(value)
        for node in graph.node:
            self._node(node)
        for what, count in (("inputs", len(inputs)), ("outputs", len(graph.output))):
            if count != 1:
                self._refuse("the model", f"{count} {what}", "exactly one is supported")
        for value in graph.output:
            if value.name not in self.tensors or value.name in self.secondary:
                found = "it is the first result of no node"
                self._refuse(f"output {quoted(value.name)}", found, "give the loss's operand")

    def _versions(self) -> None:
        for name, version, allowed in (
            ("opset", opset_of(self.proto), OPSETS),
            ("IR version", self.proto.ir_version, IR_VERSIONS),
        ):
            if version not in allowed:
                cure = f"versions {allowed.start} to {allowed[-1]} are read"
                self._refuse("the file", f"{name} {version}", cure)

    def _constant(self, name: str, tensor: TensorProto, where: str) -> None:
        """An initializer, or the value of a Constant."""
        element, shape = element_name(tensor.data_type), tuple(tensor.dims)
        if not name or name in self.tensors:
            self._refuse(where, "its name is empty or taken", "give each tensor its own name")
            return
        self.tensors[name] = Tensor(name)
        if not element:
            self._refuse(where, f"element type {tensor.data_type}", "it is none of ONNX")
        elif min(shape, default=1) < 0 or bytes_of(element, shape) > MOST_TENSOR_BYTES:
            self._refuse(where, f"shape {numbers(shape)}", _SMALLER)
        elif tensor.data_location == TensorProto.EXTERNAL:
            self._refuse(where, "its data lies in another file", "load the model from its file")
        elif not _holds(tensor):
            self._refuse(where, f"its data are not of shape {numbers(shape)}", _ANEW)
        else:
            self.constants.stored[name] = tensor
            self._know(name, element, shape)

    def _know(self, name: str, element: str, shape: tuple[int, ...] | None) -> None:
        """A constant."""
        self.tensors[name] = Tensor(name, element, shape, lambda: self.constants.value(name))

    def _input(self, value: onnx.ValueInfoProto) -> None:
        where = f"input {quoted(value.name)}"
        self.tensors[value.name] = Tensor(value.name)
        kind = value.type.tensor_type
        element, dims = element_name(kind.elem_type), kind.shape.dim
        shape = tuple(d.dim_value if d.HasField("dim_value") else 0 for d in dims)
        if shape and not dims[0].HasField("dim_value"):
            shape = (1, *shape[1:])
        if element not in CODES:
            cure = "float32, int8 and uint8 can be compiled"
            self._refuse(where, f"it is {word_of(element)}", cure)
        elif not shape or 0 in shape[1:]:
            self._refuse(where, f"the dynamic shape {_dims(dims)}", _SIZED)
        elif min(shape) < 0 or bytes_of(element, shape) > MOST_TENSOR_BYTES:
            self._refuse(where, f"shape {numbers(shape)}", _SMALLER)
        elif shape[0] != 1:
            cure = "training runs one sample a step; export the model with batch 1"
            self._refuse(where, f"batch {shape[0]}", cure)
        else:
            self.tensors[value.name] = Tensor(value.name, element, shape)

    # -- nodes --------------------------------------------------------------------------------

    def _node(self, proto: onnx.NodeProto) -> None:
        """After an obstacle nothing is known of its results; what reads them is still checked."""
        before = len(self.obstacles)
        node = self._read(proto)
        if node is not None and proto.op_type == "Constant" and not proto.domain:
            self._constant_node(node)
        elif node is not None:
            folds = self._folds(node)
            self._check(node, folds)
            types = self._results(node, folds) if len(self.obstacles) == before else None
            if types is not None:
                (self._fold if folds else self._keep)(node, types)
        for name in filter(None, proto.output):
            self.tensors.setdefault(name, Tensor(name))

    def _read(self, proto: onnx.NodeProto) -> Node | None:
        where = place(proto)
        missing = [name for name in proto.input if name and name not in self.tensors]
        taken = [name for name in proto.output if name in self.tensors]
        if missing:
            found = f"it reads {quoted(missing[0])}, which nothing before it gives"
            self._refuse(where, found, "nodes must follow those that they read")
        if taken:
            found = f"it gives {quoted(taken[0])} a second time"
            self._refuse(where, found, "give each tensor its own name")
        unnamed = not proto.output or not proto.output[0]
        if unnamed:
            self._refuse(where, "its first result has no name", _ANEW)
        if missing or taken or unnamed:
            return None
        try:
            attributes = {a.name: _plain(a) for a in proto.attribute}
        except (ValueError, UnicodeDecodeError) as error:
            self._refuse(where, said(error), _ANEW)
            return None
        operands = tuple(self.tensors[name] if name else None for name in proto.input)
        return Node(proto, operands, attributes)

    def _folds(self, node: Node) -> bool:
        """Whether its results are constant; the shape of anything is."""
        kind = node.proto.op_type
        if node.proto.domain not in ("", "ai.onnx") or kind not in FOLDED:
            return False
        if kind in ("Shape", "Size"):
            return all(o is not None and o.shape is not None for o in node.operands)
        return all(o is None or o.constant for o in node.operands)

    def _constant_node(self, node: Node) -> None:
        where, name = place(node.proto), node.proto.output[0]
        kind, value = next(iter(node.attributes.items()), ("", None))
        if kind == "value" and isinstance(value, TensorProto):
            self._constant(name, value, where)
        elif kind in ("value_float", "value_floats", "value_int", "value_ints"):
            dtype = np.float32 if "float" in kind else np.int64
            self._constant(name, numpy_helper.from_array(np.asarray(value, dtype)), where)
        else:
            self._refuse(where, "it holds no dense tensor of numbers", "store it as its value")
            self.tensors[name] = Tensor(name)

    def _check(self, node: Node, folds: bool) -> None:
        """A node against the list, where it depends on the input, and against the rules."""
        where, kind = place(node.proto), node.proto.op_type
        accepted = DOMAINS.get(node.proto.domain, {}).get(kind)
        if accepted is None and not folds:
            self._refuse(where, *_not_accepted(node.proto))
            return
        problems = [] if folds or accepted is None else [*self._list_problems(node, accepted)]
        for found, cure in problems or self._meaning_problems(node):
            self._refuse(where, found, cure)

    def _meaning_problems(self, node: Node) -> Iterator[tuple[str, str]]:
        """What ONNX's checker finds, and what our rules do where the shapes are known."""
        if node.proto.domain != "com.microsoft":
            fault = schema_fault(node.proto, self.opset, self.proto.ir_version)
            if fault is not None:
                yield fault, _ANEW
                return
            yield from types_that_disagree(node, self.opset)
        rule = RULES.get(node.proto.op_type)
        if rule and all(o is None or o.shape is not None for o in node.operands):
            yield from rule(node)

    def _list_problems(self, node: Node, accepted: Operator) -> Iterator[tuple[str, str]]:
        if self.opset < accepted.since:
            yield (
                f"the form of opset {self.opset}",
                f"forms from opset {accepted.since} on are read",
            )
        for name, value in node.attributes.items():
            allowed = accepted.attributes.get(name)
            if allowed is None:
                yield f"attribute {quoted(name)}", "it is not supported"
            elif not allowed.hold(value):
                cure = _EVAL if name == "training_mode" else f"allowed: {allowed.said}"
                yield f"{name} {_shown(value)}", cure
        for position, operand in enumerate(node.operands):
            if operand is not None and operand.element:
                yield from self._operand_problems(node, accepted, position, operand)

    def _operand_problems(
        self, node: Node, accepted: Operator, position: int, operand: Tensor
    ) -> Iterator[tuple[str, str]]:
        name = quoted(operand.name)
        if operand.name in self.secondary:
            yield f"it reads {name}", "of a node only the first result is computed"
        elif operand.constant:
            if position not in accepted.constants and position not in accepted.either:
                yield f"{name} is constant", "it must be computed from the input"
            elif node.proto.op_type not in _OPEN and not self._finite(operand):
                yield f"{name} holds NaN or infinity", "export a model whose weights are finite"
        elif position in accepted.constants:
            yield f"{name} is computed from the input", "it must be a constant of the file"
        elif operand.element not in accepted.data:
            allowed = " or ".join(map(word_of, accepted.data))
            yield f"{name} is {word_of(operand.element)}", f"it must be {allowed}"

    def _finite(self, operand: Tensor) -> bool:
        """Of codes the scale is looked at, not what they stand for."""
        if operand.element != "FLOAT" or operand.name not in self.constants.stored:
            return True
        return bool(np.isfinite(self.constants.value(operand.name)).all())

    def _results(self, node: Node, folds: bool) -> list[Result] | None:
        """Of a node without obstacle; None where its operands are unknown, or one is found."""
        if any(o is not None and o.shape is None for o in node.operands):
            return None
        where, kind = place(node.proto), node.proto.op_type
        try:
            types = result_types(node, self.opset, self.proto.ir_version)
        except Exception as error:  # ONNX's inference, and NumPy on damaged constants
            self._refuse(where, said(error), "ONNX Runtime would not load it either")
            return None
        for name, element, shape in types:
            if shape is None and name == node.proto.output[0]:
                found = f"the shape of its result {quoted(name)} is not known"
                self._refuse(where, found, _SIZED)
                return None
            if shape is not None and bytes_of(element, shape) > MOST_TENSOR_BYTES:
                found = f"its result {quoted(name)} has shape {numbers(shape)}"
                self._refuse(where, found, _SMALLER)
                return None
            if shape is not None and min(shape, default=1) < 1 and not folds:
                found = f"its result {quoted(name)} of shape {numbers(shape)} is empty"
                self._refuse(where, found, "no window may be wider than its input")
                return None
        shapes = {o.name: o.shape for o in node.operands if o is not None}
        large = too_large(kind, {**shapes, **{n: s for n, _, s in types}}) if folds else None
        if large is not None and kind not in ("Shape", "Size"):
            found = f"it computes with constants alone, and {quoted(large)} is large"
            self._refuse(where, found, "let the exporter fold constants")
            return None
        return types

    def _fold(self, node: Node, types: list[Result]) -> None:
        """Results that are constant: computed here, or by the canonicalizer with their names."""
        kind, (first, element, _) = node.proto.op_type, types[0]
        if kind in ("Shape", "Size"):
            sizes = np.asarray(node.shape(0), np.int64)
            part = sizes[node.attributes.get("start", 0) : node.attributes.get("end")]
            self.constants.stored[first] = part if kind == "Shape" else np.asarray(np.prod(sizes))
        for result in types:
            self.constants.computed[result[0]] = node.proto
            self._know(*result)
        if kind in CARRIED and element in PARAMETERS:
            self.nodes.append(node)
            return
        try:
            self.constants.value(first)
        except Exception as error:  # the evaluator is Python, and raises what that raises
            self._refuse(place(node.proto), said(error), "let the exporter fold constants")

    def _keep(self, node: Node, types: list[Result]) -> None:
        self.nodes.append(node)
        self.tensors.update((result[0], Tensor(*result)) for result in types)
        self.secondary.update(name for name, *_ in types[1:])


def inspect_onnx(proto: onnx.ModelProto) -> list[Obstacle]:
    """Everything in a model that cannot be compiled, in the order of the file."""
    return Inspection(proto).obstacles


def _holds(tensor: TensorProto) -> bool:
    """Whether it has a value for each element."""
    try:
        return bool(numpy_helper.to_array(tensor).shape == tuple(tensor.dims))
    except Exception:  # NumPy, ml_dtypes and protobuf, each with types of its own
        return False


def _plain(attribute: onnx.AttributeProto) -> Any:
    """The value as Python has it, text as str."""
    value = helper.get_attribute_value(attribute)
    return value.decode() if isinstance(value, bytes) else value


def _not_accepted(proto: onnx.NodeProto) -> tuple[str, str]:
    if proto.op_type in OF_TRAINING:
        return "it draws random numbers", _EVAL
    if "Integer" in proto.op_type or proto.op_type.startswith("QLinear"):
        return "it computes with codes", "quantize in QDQ form: quant_format=QuantFormat.QDQ"
    if proto.domain in DOMAINS:
        return "the operator is not supported", f"supported are {', '.join(sorted(ACCEPTED))}"
    cure = "operators of ONNX itself are read; inline local functions before"
    return f"the domain {quoted(proto.domain)} is unknown", cure


def _shown(value: Any) -> str:
    return quoted(value) if isinstance(value, str) else one_line(value)


def _dims(dims: Iterable[onnx.TensorShapeProto.Dimension]) -> str:
    return f"({one_line(', '.join(str(d.dim_value or d.dim_param or '?') for d in dims))})"
