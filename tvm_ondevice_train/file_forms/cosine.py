"""What a cosine head is made of: no file has it as one operator."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from tvm import relax

from relay_passes.graph import shape_of

from ..frontend.canonicalize import Canonicalizer, Value
from .form import reads

if TYPE_CHECKING:
    from ..export.onnx_writer import Writer

_LEAST = np.float32(1e-12)  # a shorter row has no direction, and products of 0 with anything


def _write_inverse_norm(w: Writer, var: relax.Var, call: relax.Call) -> str:
    rows = call.args[0]
    axes = w.integers(range(1, len(shape_of(rows))), "axes")
    norms = w.node("ReduceL2", [w.operand(rows), axes], keepdims=0)
    return w.node("Reciprocal", [w.node("Max", [norms, w.constant(_LEAST, "least")])], var)


@reads("odt.inverse_norm", write=_write_inverse_norm)
def inverse_norm(c: Canonicalizer, call: relax.Call) -> Value:
    """As a fresh head has it."""
    data = c.read_data(call.args[0])
    return replace(data, var=c.emit(relax.Call(call.op, [data.var])), perm=(0,))
