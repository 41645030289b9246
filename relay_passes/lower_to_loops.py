"""Blocks to plain loops over flat buffers: what the memory passes and the C printer read."""

from __future__ import annotations

import tvm
from tvm import s_tir, tirx

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
# a loop whose condition is marked `likely` becomes one loop for each outcome (see ops.channels)
_CONFIG = {"s_tir.LoopPartition": {"partition_const_loop": False}}


@tvm.transform.module_pass(opt_level=0, name="LowerToLoops")
class LowerToLoops:
    """Lower every scheduled PrimFunc by TVM's own passes; Relax functions stay as they are.

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

    def transform_module(self, module: tvm.IRModule, _context) -> tvm.IRModule:
        functions = dict(module.functions_items())
        kernels = {g: f for g, f in functions.items() if isinstance(f, tirx.PrimFunc)}
        with tvm.transform.PassContext(config=_CONFIG):
            lowered = _LOOPS(tvm.IRModule(kernels))
        functions |= {gvar: lowered[gvar.name_hint] for gvar in kernels}
        return tvm.IRModule(functions, attrs=module.attrs)
