"""The table of operators, and what several of them need."""

from __future__ import annotations

from relay_passes.graph import dtype_of, shape_of

from ..canonicalize import Canonicalizer, Value

HANDLERS = {}


def handles(*names):
    """Enter the decorated function for these Relax operators, named without ``relax.``."""

    def register(function):
        for name in names:
            HANDLERS[f"relax.{name}"] = function
        return function

    return register


def identity(var) -> Value:
    """`var` with its axes in logical order."""
    return Value(var, tuple(range(len(shape_of(var)))))


def aligned(left: Value, right: Value) -> bool:
    """Whether two tensors can be combined element by element as they lie."""
    ranks = {len(shape_of(operand.var)) for operand in (left, right)}
    return left.perm == right.perm and len(ranks) == 1


def on_reals(c: Canonicalizer, var, function):
    """Apply `function` to real values; int8 codes go through dequantize and quantize."""
    if dtype_of(var) != "int8":
        return c.emit(function(var))
    codes = c.codes[var]
    real = c.emit(function(c.emit_dequantize(var, codes.scale, codes.zero_point)))
    return c.emit_quantize(real, codes.scale, codes.zero_point)
