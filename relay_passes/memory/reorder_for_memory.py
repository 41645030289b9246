"""Run the kernels of a step in the order that needs the least memory."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import tvm
from tvm import relax

from ..graph import bindings_of, is_call_of, main_of, variables_in, with_blocks, with_function
from ..tvm_pass import Pass, module_pass
from .order_search import search
from .read_step import read_step


@module_pass
class ReorderForMemory(Pass):
    """Reorder the kernel calls of a function for the smallest peak of live bytes.

    A gradient's update runs as soon as its operands exist, a mask or a slice is cut from an
    activation while that is there, and what only the backward reads is computed when it costs
    least. See `order_search` for how, and for what is proven.

    Before and after: kernels that `LowerToLoops` and `InPlace` lowered, those of `lowering` or of
    TVM's own `LegalizeOps` and `FuseTIR`; only the order of the bindings differs. A function that
    does more than call kernels is refused; other functions stay as they are.
    What must wait for what is said by `in_valid_order`: an updated parameter (attribute
    ``trained_parameters``) is stored over the old value, so its update follows whatever else reads
    that, and the loss.

    Attributes added to the function: ``peak_bytes`` and ``peak_lower_bound_bytes`` (of live bytes;
    workspaces, in-place results and backups counted), ``order_method``, ``rollback``, and
    ``changing_parameters`` where `changing` is given.

    Parameters
    ----------
    roles : of the leading arguments (see `read_step`). The input takes memory until its last
        reader; arguments of other roles take none.
    rollback : whether an update keeps what it writes over until the end, so that a step can be
        taken back.
    func_name : of the function.
    changing : names of the parameters that are not the same in every step; then what needs the
        sample and nothing of them runs first (see `Step`). None: the order is free.

    Examples
    --------
    .. code-block:: python

        d1 = R.call_tir(input_grad, (d2, w2), ...)        # before
        b2_new = R.call_tir(update, (b2, d2), ...)        # d2 lives until here
        ...
        b2_new = R.call_tir(update, (b2, d2), ...)        # after
        d1 = R.call_tir(input_grad, (d2, w2), ...)        # may now take the place of d2
    """

    def __init__(
        self,
        roles: tuple[str, ...] = ("input",),
        rollback: bool = False,
        func_name: str = "main",
        changing: Collection[str] | None = None,
    ) -> None:
        self.roles, self.rollback, self.func_name = roles, rollback, func_name
        self.changing = changing

    def transform_module(
        self, module: tvm.IRModule, _context: tvm.transform.PassContext
    ) -> tvm.IRModule:
        function = main_of(module, "ReorderForMemory", self.func_name)
        function = function.with_attr("rollback", int(self.rollback))
        if self.changing is not None:
            function = function.with_attr("changing_parameters", sorted(self.changing))
        module = with_function(module, self.func_name, function)
        step = read_step(module, self.roles, self.func_name)
        order = search(replace(step, rollback=False).graph)
        if self.rollback:
            step = replace(step, tasks=tuple(step.tasks[index] for index in order.tasks))
            order = search(step.graph, beside=False)
        calls = [step.tasks[index].call for index in order.tasks]
        found = {
            "peak_bytes": order.peak_bytes,
            "peak_lower_bound_bytes": order.lower_bound_bytes,
            "order_method": order.method,
        }
        reordered = _reordered(function, calls).with_attrs(found)
        return with_function(module, self.func_name, reordered)


def _reordered(function: relax.Function, calls: list[relax.VarBinding]) -> relax.Function:
    """The calls in this order, each followed by the other names that its results get."""
    names = [b for b in bindings_of(function) if not is_call_of(b.value, "relax.call_tir")]
    known, bindings = set(function.params), []
    for call in ([], *([call] for call in calls)):
        waiting, ready = [], [*call, *names]
        for binding in ready:
            if known.issuperset(variables_in(binding.value)):
                bindings.append(binding)
                known.add(binding.var)
            else:
                waiting.append(binding)
        names = waiting
    is_dataflow = any(isinstance(b, relax.DataflowBlock) for b in function.body.blocks)
    block = relax.DataflowBlock if is_dataflow else relax.BindingBlock
    return with_blocks(function, [block(bindings)])
