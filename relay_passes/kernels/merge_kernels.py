"""What legalization said of kernels, kept for the kernel that fusion makes of them."""

from __future__ import annotations

import tvm
from tvm import relax

from ..graph import bindings_of, is_call_of
from ..kernel_attributes import MACS, macs
from ..tvm_pass import Pass


@tvm.transform.module_pass(opt_level=0, name="MergeKernels")
class MergeKernels(Pass):
    """TVM's `FuseTIR`, after which a merged kernel has the MACs of its parts.

    Examples
    --------
    .. code-block:: python

        @R.function(private=True)                                    # before
        def fused_conv2d_relu(x, w):
            R.func_attr({"Primitive": 1})
            y = R.call_tir(conv2d, (x, w), ...)      # with {"odt.macs": 4608}
            z = R.call_tir(relu, (y,), ...)

        @T.prim_func(private=True)                                   # after
        def fused_conv2d_relu(x, w, z):
            T.func_attr({"odt.macs": 4608})
    """

    def transform_module(
        self, module: tvm.IRModule, _context: tvm.transform.PassContext
    ) -> tvm.IRModule:
        sums = {
            gvar.name_hint: _sum_of_macs(module, function)
            for gvar, function in module.functions_items()
            if isinstance(function, relax.Function) and (function.attrs or {}).get("Primitive", 0)
        }
        merged = relax.transform.FuseTIR()(module)
        functions = {
            gvar: function.with_attr(MACS, sums[gvar.name_hint])
            if sums.get(gvar.name_hint)
            else function
            for gvar, function in merged.functions_items()
        }
        return tvm.IRModule(functions, attrs=merged.attrs)


def _sum_of_macs(module: tvm.IRModule, primitive: relax.Function) -> int:
    calls = [b.value for b in bindings_of(primitive) if is_call_of(b.value, "relax.call_tir")]
    return sum(macs(module[call.args[0]]) for call in calls)
