"""Operators of the canonical form that ONNX has as one.

``match(writer, var)`` gives the `Pattern` that ends in `var`, or None.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from tvm import relax

from relay_passes.graph import constant, op_name, shape_of

from .operators import convolution


@dataclass(frozen=True)
class Pattern:
    """``write(writer, var)`` writes `var` and what lies `inside`, values that nobody else reads."""

    inside: tuple[relax.Var, ...]
    write: Callable


def _conv_with_bias(w, var) -> Pattern | None:
    """``conv2d(x, w) + reshape(bias, (1, C, 1, 1))``."""
    value = w.values[var]
    if op_name(value) != "relax.add":
        return None
    for conv, column in (value.args, reversed(value.args)):
        if op_name(w.values.get(conv)) != "relax.nn.conv2d" or not w.only_reader(conv):
            continue
        bias = _vector_behind(w, column, shape_of(conv)[1])
        if bias is not None:
            return Pattern((conv, column), partial(convolution, call=w.values[conv], bias=bias))
    return None


def _vector_behind(w, column, channels: int):
    """The bias that `column` spreads over the channels."""
    reshape = w.values.get(column)
    if op_name(reshape) != "relax.reshape" or not w.only_reader(column):
        return None
    is_bias = shape_of(column) == (1, channels, 1, 1) and shape_of(reshape.args[0]) == (channels,)
    return reshape.args[0] if is_bias else None


def _leaky_relu(w, var) -> Pattern | None:
    """``maximum(x, alpha * x)``, as the frontend writes it."""
    value = w.values[var]
    if op_name(value) != "relax.maximum":
        return None
    data, scaled = value.args
    multiply = w.values.get(scaled)
    if op_name(multiply) != "relax.multiply" or not w.only_reader(scaled):
        return None
    slope = constant(multiply.args[1])
    if not multiply.args[0].same_as(data) or slope is None or slope.size != 1:
        return None
    alpha = float(slope.reshape(()))
    if not 0 <= alpha <= 1:  # beyond it is another function
        return None
    return Pattern((scaled,), partial(_rectify, data=data, alpha=alpha))


def _rectify(w, var, data, alpha: float) -> str:
    return w.node("LeakyRelu", [w.operand(data)], var, alpha=alpha)


PATTERNS = (_conv_with_bias, _leaky_relu)
