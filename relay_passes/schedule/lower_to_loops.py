"""Blocks to plain loops over flat buffers: what the memory passes and the C printer read."""

from __future__ import annotations

import tvm

from ..tir import s_tir, tirx
from ..tvm_pass import Pass, prim_func_pass
from .loop_names import with_loop_names

HINTED = "odt.partition_hints"  # attribute of a kernel whose schedule says which loops to cut
_LOOPS = tvm.ir.transform.Sequential(
    [
        s_tir.transform.CanonicalizeLoop(),
        s_tir.transform.LowerInitBlock(),
        s_tir.transform.PlanAndUpdateBufferAllocationLocation(),
        s_tir.transform.ConvertBlocksToOpaque(),
        s_tir.transform.CompactBufferAllocation(),
        s_tir.transform.LowerMatchBuffer(),
        s_tir.transform.StmtSimplify(),
        s_tir.transform.LowerOpaqueBlock(),
        tirx.transform.FlattenBuffer(),
        s_tir.transform.LoopPartition(),  # before the loop variables that its hints name change
        tirx.transform.UnrollLoop(),
        tirx.transform.StmtSimplify(),
        tirx.transform.NarrowDataType(32),
        tirx.transform.StmtSimplify(),
        tirx.transform.RemoveNoOp(),
        tirx.transform.BindTarget(tvm.target.Target("c")),
        tirx.transform.LowerIntrin(),
    ]
)


@prim_func_pass
class LowerToLoops(Pass):
    """Lower every scheduled PrimFunc by TVM's own passes; Relax functions stay as they are.

    Loop variables are named by what they count first (see `with_loop_names`).

    Examples
    --------
    .. code-block:: python

        for i in T.serial(8):                            # before
            with T.sblock("y"):
                vi = T.axis.spatial(8, i)
                y[0, vi] = x[0, vi] * T.float32(2)

        for i in range(8):                               # after
            y_1[i] = x_1[i] * T.float32(2)
    """

    def transform_function(
        self,
        function: tirx.PrimFunc,
        _module: tvm.IRModule,
        _context: tvm.transform.PassContext,
    ) -> tirx.PrimFunc:
        # A loop whose condition is marked `likely` becomes one loop for each outcome (see
        # ops.channels): any such loop, or in a kernel that says which ones (`tiled`) no
        # other.
        partition = {"partition_const_loop": not function.attrs.get(HINTED, 0)}
        with tvm.transform.PassContext(config={"s_tir.LoopPartition": partition}):
            return _LOOPS(tvm.IRModule({"main": with_loop_names(function)}))["main"]
