"""ONNX operators as the one Relax operator that each is.

TVM's importer makes two calls of a kernel out of Clip (ReLU6, hard tanh), and a stack with a
reduction out of Max and Min; those have no gradient.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

from tvm import relax
from tvm.relax.frontend.onnx import onnx_frontend

from relay_passes.graph import constant_value

from ...file_forms import FORMS
from ..replaced import replaced

Imported = list[dict[str, relax.Var]]  # what the importer makes parameters of
Converter: TypeAlias = type[onnx_frontend.OnnxOpConverter]


class Clip(onnx_frontend.OnnxOpConverter):
    """Clip with constant bounds: attributes before opset 11, operands since."""

    @classmethod
    def _impl_v1(
        cls,
        _builder: relax.BlockBuilder,
        inputs: Sequence[relax.Expr],
        attributes: Mapping[str, Any],
        _parameters: Imported,
    ) -> relax.Expr:
        return _clip(inputs[0], attributes.get("min"), attributes.get("max"))

    @classmethod
    def _impl_v11(
        cls,
        _builder: relax.BlockBuilder,
        inputs: Sequence[relax.Expr],
        _attributes: Mapping[str, Any],
        parameters: Imported,
    ) -> relax.Expr:
        return _clip(inputs[0], _number(inputs[1], parameters), _number(inputs[2], parameters))


def _number(bound: relax.Expr | None, parameters: Imported) -> float | None:
    if bound is None:
        return None
    return float(constant_value(onnx_frontend.get_constant(bound, parameters)).item())


def _clip(data: relax.Expr, low: float | None, high: float | None) -> relax.Expr:
    """A bound that is missing, or NaN as ONNX has it, is none; the upper one is applied last."""
    low = -math.inf if low is None or math.isnan(low) else low
    high = math.inf if high is None or math.isnan(high) else high
    return relax.op.clip(data, min(low, high), high)


def _pairwise(operator: Callable[[relax.Expr, relax.Expr], relax.Expr]) -> Converter:
    """Converter of any number of operands, two at a time."""

    class Pairwise(onnx_frontend.OnnxOpConverter):
        @classmethod
        def _impl_v1(
            cls,
            builder: relax.BlockBuilder,
            inputs: Sequence[relax.Expr],
            _attributes: Mapping[str, Any],
            _parameters: Imported,
        ) -> relax.Expr:
            return functools.reduce(lambda a, b: builder.normalize(operator(a, b)), inputs)

    return Pairwise


def _whole(name: str) -> Converter:
    """Converter to the Relax operator of that name, with its defaults for attributes."""
    operator = functools.reduce(getattr, name.split(".")[1:], relax.op)

    class Whole(onnx_frontend.OnnxOpConverter):
        @classmethod
        def _impl_v1(
            cls,
            _builder: relax.BlockBuilder,
            inputs: Sequence[relax.Expr],
            _attributes: Mapping[str, Any],
            _parameters: Imported,
        ) -> relax.Expr:
            return operator(*inputs)

    return Whole


def one_operator_each() -> AbstractContextManager[None]:
    """While it lasts TVM's ONNX importer converts as above, and as `FORMS` say."""
    whole = {form.onnx: _whole(name) for name, form in FORMS.items() if form.onnx}
    pairwise = {"Max": _pairwise(relax.op.maximum), "Min": _pairwise(relax.op.minimum)}
    return replaced(onnx_frontend, Clip=Clip, **pairwise, **whole)
