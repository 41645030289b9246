"""Blocks to plain loops over flat buffers: what the memory passes and the C printer read."""

from __future__ import annotations

import tvm
from tvm import s_tir, tirx

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
# A loop whose condition is marked `likely` becomes one loop for each outcome (see ops.channels):
# any such loop, or in a kernel that says which ones (`schedule_tiles`) no other.
_ANY, _HINTED = ({"s_tir.LoopPartition": {"partition_const_loop": any_}} for any_ in (True, False))


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
        for config, hinted in ((_ANY, False), (_HINTED, True)):
            part = {g: f for g, f in kernels.items() if _has_hints(f) == hinted}
            with tvm.transform.PassContext(config=config):
                lowered = _LOOPS(tvm.IRModule(part))
            functions |= {gvar: lowered[gvar.name_hint] for gvar in part}
        return tvm.IRModule(functions, attrs=module.attrs)


def _has_hints(function: tirx.PrimFunc) -> bool:
    return bool(function.attrs.get(HINTED, 0))
