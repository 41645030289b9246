"""TFLite operators as the one Relax operator that each is.

TVM's importer spreads the slopes of PRELU over the whole map, and has GELU in the exact form only.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import tvm
from tvm import relax
from tvm.relax.frontend.tflite.tflite_frontend import OperatorConverter

from .replaced import replaced

if TYPE_CHECKING:
    from tflite import Operator


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
    if converter.is_quantized(op):
        raise tvm.error.OpNotImplemented("quantized PRELU and GELU cannot be read")
    return [converter.get_tensor_expr(t) for t in converter.get_input_tensors(op)]


def one_operator_each() -> AbstractContextManager[None]:
    """While it lasts TVM's TFLite importer converts as above."""
    return replaced(OperatorConverter, convert_gelu=_gelu, convert_prelu=_prelu)
