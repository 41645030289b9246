"""Kernels that need nothing of the C runtime, for TVM's own code generators."""

from __future__ import annotations

import tvm
import tvm_ffi

from ..ops.runtime_functions import portable
from ..tir import tirx
from ..tvm_pass import Pass, prim_func_pass
from .record import MARK


@prim_func_pass
class PlainLoops(Pass):
    """Where `SelectMicrokernels` makes calls of the C runtime, leave loops that call nothing.

    What `DefaultSchedule` annotated for microkernels loses its annotation, and calls of functions
    of the runtime become what they compute (see `runtime_functions`), to the same bits.

    Examples
    --------
    .. code-block:: python

        with T.attr(o, "pragma_microkernel", "odt_dot"):                         # before
            for o, p, k in T.grid(2, 4, 48):
                acc[o * 4 + p] += columns[p * 48 + k] * w[j * 96 + o * 48 + k]
        y_1[i] = T.Cast("int8", T.call_pure_extern("int32", "odt_clamp8", code[0]))

        for o, p, k in T.grid(2, 4, 48):                                         # after
            acc[o * 4 + p] += columns[p * 48 + k] * w[j * 96 + o * 48 + k]
        y_1[i] = T.Cast("int8", T.max(T.min(code[0], 127), -128))
    """

    def transform_function(
        self,
        function: tirx.PrimFunc,
        _module: tvm.IRModule,
        _context: tvm.transform.PassContext,
    ) -> tirx.PrimFunc:
        return portable(function.with_body(tvm_ffi.structural_map(function.body, _UNMARKED)))


_UNMARKED = [(tirx.AttrStmt, lambda node: node.body if node.attr_key == MARK else node)]
