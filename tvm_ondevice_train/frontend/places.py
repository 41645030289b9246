"""Which node of the file each imported operator comes from.

TVM's importers forget it. While they run, what they emit is marked with a span whose source is the
node, said in the file's own words; spans survive until the walk of `Canonicalizer`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from tvm import relax
from tvm.ir import SourceName, Span

from relay_passes.graph import bindings_of

from .replaced import replaced

if TYPE_CHECKING:
    from tflite import Operator
    from torch.fx import Node


class Place:
    """The node that an importer is at: what is emitted comes from there."""

    words = "the graph"
    span: Span | None = None

    def __call__(self, words: str) -> None:
        self.words = words
        self.span = Span(SourceName(words), 1, 1, 1, 1)


def places_of(function: relax.Function) -> dict[relax.Var, str]:
    """Result of an operator -> the node that it comes from, in the words of its file.

    An importer marks the last of the operators that it makes of a node: those before it, up to the
    node before, are of the same.
    """
    places: dict[relax.Var, str] = {}
    place = None
    for binding in reversed(bindings_of(function)):
        span = getattr(binding.value, "span", None)
        place = span.source_name.name if span is not None else place
        if place is not None:
            places[binding.var] = place
    return places


@contextmanager
def _marking() -> Iterator[Place]:
    place = Place()
    normalize, emit = relax.BlockBuilder.normalize, relax.BlockBuilder.emit

    def marked(builder: relax.BlockBuilder, expr: relax.Expr) -> relax.Expr:
        if place.span is None or not isinstance(expr, relax.Call) or expr.span is not None:
            return expr
        plain = normalize(builder, expr)  # operands become variables: a call that changes loses it
        return relax.Call(plain.op, plain.args, plain.attrs, plain.ty_args, place.span)

    def emit_marked(
        builder: relax.BlockBuilder, expr: relax.Expr, *args: Any, **named: Any
    ) -> relax.Var:
        return emit(builder, marked(builder, expr), *args, **named)

    def normalize_marked(builder: relax.BlockBuilder, expr: relax.Expr) -> relax.Expr:
        return normalize(builder, marked(builder, expr))

    with replaced(relax.BlockBuilder, emit=emit_marked, normalize=normalize_marked):
        yield place


@contextmanager
def onnx_places() -> Iterator[Place]:
    """While it lasts TVM's ONNX importer says which node each operator comes from."""
    from tvm.relax.frontend.onnx import onnx_frontend

    with ExitStack() as stack:
        mark = stack.enter_context(_marking())

        class Importer(onnx_frontend.ONNXGraphImporter):
            def _parse_value_proto(self, value_proto: Any) -> str:  # called for each node, too
                if hasattr(value_proto, "op_type"):
                    mark(value_proto.name or value_proto.op_type)  # `OnnxGraph` made it the place
                return super()._parse_value_proto(value_proto)

        stack.enter_context(replaced(onnx_frontend, ONNXGraphImporter=Importer))
        yield mark


@contextmanager
def torch_places() -> Iterator[Place]:
    """While it lasts TVM's importer of exported programs says so."""
    from tvm.relax.frontend.torch import exported_program_translator as translator

    with ExitStack() as stack:
        mark = stack.enter_context(_marking())

        def marking(convert: Callable[..., Any]) -> Callable[..., Any]:
            def convert_marked(node: Node, *others: Any) -> Any:
                mark(torch_words(node))
                return convert(node, *others)

            return convert_marked

        class Importer(translator.ExportedProgramImporter):
            def create_convert_map(self) -> dict[str, Callable[..., Any]]:
                return {name: marking(c) for name, c in super().create_convert_map().items()}

        stack.enter_context(replaced(translator, ExportedProgramImporter=Importer))
        yield mark


@contextmanager
def tflite_places() -> Iterator[Place]:
    """While it lasts TVM's TFLite importer says so."""
    from tvm.relax.frontend.tflite.tflite_frontend import OperatorConverter

    with ExitStack() as stack:
        mark, kind_of = stack.enter_context(_marking()), OperatorConverter.get_op_code_str

        def get_op_code_str(converter: Any, op: Operator) -> str:
            kind = kind_of(converter, op)  # called for each before it is converted
            mark(_tflite_words(converter.subgraph, op, kind))
            return kind

        stack.enter_context(replaced(OperatorConverter, get_op_code_str=get_op_code_str))
        yield mark


def torch_words(node: Node) -> str:
    """``aten.sin.default (node "sin", layer "features.3")``."""
    layers = list(node.meta.get("nn_module_stack", {}).values())
    layer = f', layer "{layers[-1][0]}"' if layers and layers[-1][0] else ""
    return f'{node.target} (node "{node.name}"{layer})'


def _tflite_words(subgraph: Any, op: Operator, kind: str) -> str:
    """``CONV_2D (operator 3)``, counted from 0 as LiteRT's tools do."""
    places = (subgraph.Operators(i)._tab.Pos for i in range(subgraph.OperatorsLength()))
    index = next((i for i, place in enumerate(places) if place == op._tab.Pos), None)
    return kind if index is None else f"{kind} (operator {index})"
