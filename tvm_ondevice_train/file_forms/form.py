"""One record an operator: how files have it; and what several of them need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tvm import relax

from relay_passes.graph import dtype_of, shape_of

from ..frontend.canonicalize import Canonicalizer, Value


@dataclass(frozen=True)
class FileForm:
    """How an operator is read from what TVM's importers give, and how it is written to ONNX.

    read : (canonicalizer, call) -> the `Value` or `Parameter` that the call gives.
    write : (writer, var, call) -> name of the result of the nodes added for ``var = call``; None
        where the operator has no form in ONNX, or reading leaves none of it.
    match : (writer, var) -> the `Pattern` that ends in `var`, or None; of an operator that with
        those before it is one operator of ONNX.
    """

    read: Callable
    write: Callable | None = None
    match: Callable | None = None


@dataclass(frozen=True)
class Pattern:
    """``write(writer, var)`` writes `var` and what lies `inside`, values that nobody else reads."""

    inside: tuple[relax.Var, ...]
    write: Callable


FORMS: dict[str, FileForm] = {}


def reads(*names, write=None, match=None):
    """Enter the decorated reader for these Relax operators, named without ``relax.``."""

    def enter(read):
        FORMS.update({f"relax.{name}": FileForm(read, write, match) for name in names})
        return read

    return enter


def node(kind: str, **options):
    """Writer of one node that has the operator's meaning and operands; see `Writer.node`."""
    return lambda w, var, call: w.node(kind, map(w.operand, call.args), var, **options)


def windows(attrs) -> dict[str, list[int]]:
    """Strides, pads and dilations of a convolution or pool, as attributes of an ONNX node."""
    sources = {"strides": attrs.strides, "pads": attrs.padding, "dilations": attrs.dilation}
    return {name: integers(values) for name, values in sources.items()}


def integers(values) -> list[int]:
    """Of an attribute that is an array."""
    return [int(value) for value in values]


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
    return c.emit_codes(c.emit(function(c.emit_real(var))), like=var)
