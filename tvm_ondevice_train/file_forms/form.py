"""One record an operator: how files have it; and what several of them need."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import tvm
from tvm import relax

from relay_passes.graph import dtype_of, shape_of
from relay_passes.tir import tirx

from ..frontend.canonicalize import Canonicalizer, Source, Value

if TYPE_CHECKING:
    from ..export.onnx_writer import Writer

Read = Callable[[Canonicalizer, relax.Call], Source]
Write = Callable[["Writer", relax.Var, relax.Call], str]
Match = Callable[["Writer", relax.Var], "Pattern | None"]


@dataclass(frozen=True)
class FileForm:
    """How an operator is read from what TVM's importers give, and how it is written to ONNX.

    read : (canonicalizer, call) -> the `Value` or `Parameter` that the call gives.
    write : (writer, var, call) -> name of the result of the nodes added for ``var = call``; None
        where the operator has no form in ONNX, or reading leaves none of it.
    match : (writer, var) -> the `Pattern` that ends in `var`, or None; of an operator that with
        those before it is one operator of ONNX.
    onnx, torch : names of what the importers shall take as this one operator of its operands,
        which they would take apart: an op_type of ONNX, an overload of ``torch.ops.aten``.
    """

    read: Read
    write: Write | None = None
    match: Match | None = None
    onnx: str | None = None
    torch: str | None = None


@dataclass(frozen=True)
class Pattern:
    """``write(writer, var)`` writes `var` and what lies `inside`, values that nobody else reads."""

    inside: tuple[relax.Var, ...]
    write: Callable[[Writer, relax.Var], str]


FORMS: dict[str, FileForm] = {}


def reads(*names: str, **facts: Any) -> Callable[[Read], Read]:
    """Enter the decorated reader for these Relax operators, named without ``relax.``.

    facts : further fields of `FileForm`.
    """

    def enter(read: Read) -> Read:
        FORMS.update({f"relax.{name}": FileForm(read, **facts) for name in names})
        return read

    return enter


def node(kind: str, **options: Any) -> Write:
    """Writer of one node that has the operator's meaning and operands; see `Writer.node`."""
    return lambda w, var, call: w.node(kind, map(w.operand, call.args), var, **options)


def windows(attrs: tvm.ir.Attrs) -> dict[str, Any]:
    """Strides, pads and dilations of a convolution or pool, as attributes of an ONNX node."""
    sources = {"strides": attrs.strides, "pads": attrs.padding, "dilations": attrs.dilation}
    return {name: integers(values) for name, values in sources.items()}


def integers(values: Iterable[int | tirx.IntImm]) -> list[int]:
    """Of an attribute that is an array."""
    return [int(value) for value in values]


def identity(var: relax.Expr) -> Value:
    """`var` with its axes in logical order."""
    return Value(var, tuple(range(len(shape_of(var)))))


def aligned(left: Value, right: Value) -> bool:
    """Whether two tensors can be combined element by element as they lie."""
    ranks = {len(shape_of(operand.var)) for operand in (left, right)}
    return left.perm == right.perm and len(ranks) == 1


def on_reals(
    c: Canonicalizer, var: relax.Expr, function: Callable[[relax.Expr], relax.Expr]
) -> relax.Var:
    """Apply `function` to real values; int8 codes go through dequantize and quantize."""
    if dtype_of(var) != "int8":
        return c.emit(function(var))
    return c.emit_codes(c.emit(function(c.emit_real(var))), like=var)
