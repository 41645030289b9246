"""TFLite operators as the one Relax operator that each is.

TVM's importer spreads the slopes of PRELU over the whole map, has GELU in the exact form only,
wants the shape of a RESHAPE as numbers, which it is not where a converter left the batch open, and
takes tensors of one name for one tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import tvm
from tvm import relax
from tvm.relax.frontend.tflite import tflite_frontend
from tvm.relax.frontend.tflite.tflite_frontend import OperatorConverter

from ..replaced import replaced
from .accepted import OF_SHAPES, QUANTIZED, shape_of

if TYPE_CHECKING:
    from tflite import Model, Operator, SubGraph


def _prelu(converter: OperatorConverter, op: Operator) -> relax.Expr:
    """Slopes along the channels, the last axis; TFLite has them as (1, 1, C)."""
    data, slope = _floats(converter, op)
    slopes = converter.bb.normalize(relax.op.reshape(slope, [-1]))
    return relax.op.nn.prelu(data, slopes, axis=len(data.ty.shape) - 1)


def _gelu(converter: OperatorConverter, op: Operator) -> relax.Expr:
    from tflite import GeluOptions

    (data,) = _floats(converter, op)
    options, table = GeluOptions(), op.BuiltinOptions()
    if table is not None:
        options.Init(table.Bytes, table.Pos)
    approximate = table is not None and options.Approximate()
    return relax.op.nn.gelu_tanh(data) if approximate else relax.op.nn.gelu(data)


def _floats(converter: OperatorConverter, op: Operator) -> list[relax.Expr]:
    """The operands of an operator that is float32."""
    return [converter.get_tensor_expr(t) for t in converter.get_input_tensors(op)]


def _reshape(converter: OperatorConverter, op: Operator) -> relax.Expr:
    """To the shape that the result has in the file; codes stay as they are."""
    source, (result,) = converter.get_input_tensors(op)[0], converter.get_output_tensors(op)
    if source.qnn_params and not converter.has_same_qnn_params(source, result):
        raise tvm.error.OpNotImplemented("a reshape of codes to another scale")
    return relax.op.reshape(converter.get_tensor_expr(source), shape_of(result.tensor))


def _nothing(converter: OperatorConverter, op: Operator) -> None:
    """Of the arithmetic of shapes, which `_reshape` does not read."""


def _names(model: Model) -> Callable[[SubGraph, int], str]:
    """TVM's name of a tensor: the file's, made another where two have it."""
    graph = model.Subgraphs(0)
    names: dict[int, str] = {}
    for index in range(graph.TensorsLength()):
        name = (graph.Tensors(index).Name() or b"").decode()
        taken = not name or name in names.values()
        names[index] = f"{name}_{index}" if taken else name
    return lambda _graph, index: names[index]


@contextmanager
def one_operator_each(model: Model) -> Iterator[None]:
    """While it lasts TVM's TFLite importer converts `model` as above."""
    of_shapes = {f"convert_{name.lower()}": _nothing for name in OF_SHAPES}
    quantized = QUANTIZED | {*OF_SHAPES}
    ours = {"convert_gelu": _gelu, "convert_prelu": _prelu, "_SUPPORTED_QUANTIZED_OPS": quantized}
    reshapes = dict.fromkeys(
        ("convert_reshape", "convert_expand_dims", "convert_squeeze"), _reshape
    )
    with ExitStack() as stack:
        stack.enter_context(replaced(OperatorConverter, **of_shapes, **ours, **reshapes))
        stack.enter_context(replaced(tflite_frontend, get_tensor_name=_names(model)))
        yield
