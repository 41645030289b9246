"""Blocks to plain loops over flat buffers: what the memory passes and the C printer read."""

from __future__ import annotations

import tvm
import tvm_ffi
from tvm import relax

from ..loops import check_static
from ..tir import s_tir, tirx
from ..tvm_pass import Pass, module_pass
from .loop_names import with_loop_names

HINTED = "odt.partition_hints"  # attribute of a kernel whose schedule says which loops to cut
_ALIGNMENT = "buffer_dim_align"  # of a local buffer
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


@module_pass
class LowerToLoops(Pass):
    """Lower every scheduled PrimFunc by TVM's own passes.

    Loop variables are named by what they count first (see `with_loop_names`). In Relax functions
    dataflow ends (`ToNonDataflow`): TVM's `RewriteDataflowReshape`, which `tvm.compile` runs, reads
    the blocks of kernels that are called there, and fails where there are none.

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

    def transform_module(
        self, module: tvm.IRModule, _context: tvm.transform.PassContext
    ) -> tvm.IRModule:
        functions = {
            gvar: _in_loops(gvar.name_hint, function)
            if isinstance(function, tirx.PrimFunc)
            else function
            for gvar, function in module.functions_items()
        }
        lowered = tvm.IRModule(functions, attrs=module.attrs)
        return relax.transform.ToNonDataflow()(lowered)


def _in_loops(name: str, function: tirx.PrimFunc) -> tirx.PrimFunc:
    check_static(function, name, "LowerToLoops")
    # A loop whose condition is marked `likely` becomes one loop for each outcome (see
    # ops.channels): any such loop, or in a kernel that says which ones (`tiled`) no other.
    partition = {"partition_const_loop": not function.attrs.get(HINTED, 0)}
    with tvm.transform.PassContext(config={"s_tir.LoopPartition": partition}):
        lowered = _LOOPS(tvm.IRModule({"main": with_loop_names(function)}))["main"]
    body = tvm_ffi.structural_map(lowered.body, (tirx.AllocBuffer, _without_alignment))
    return lowered.with_body(body).without_attr("target")  # which LowerIntrin wants


def _without_alignment(node: tirx.AllocBuffer) -> tirx.AllocBuffer:
    """What it says of a buffer's axes is done; TVM would look for them in the flat one."""
    annotations = {key: value for key, value in node.annotations.items() if key != _ALIGNMENT}
    return tirx.AllocBuffer(node.buffer, annotations)
