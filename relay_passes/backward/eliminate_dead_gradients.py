"""Remove what no update and no output needs: adjoints, parts of them, and saved activations."""

from __future__ import annotations

from collections import defaultdict

import tvm
from tvm import relax

from ..graph import (
    Emit,
    ancestors_of,
    bindings_of,
    consumers_of,
    loss_of,
    main_of,
    op_name,
    rebuilt,
    with_function,
    without_dead_code,
)
from ..ops.masks import as_mask
from ..ops.registry import operator_of, with_attributes
from ..tvm_pass import Pass, module_pass
from .trim_gradients import TAKE, trim_gradients


@module_pass
class EliminateDeadGradients(Pass):
    """Leave of a training step only what its results need, and save for the backward the least.

    Works on any step in Relax whose first result is the loss: that of `SparseBackward`, or one
    that TVM's `Gradient` gave and whose unwanted results were dropped.

    * A binding that no result depends on goes.
    * A gradient of which only some channels are read is computed for those alone.
    * A range mask is computed in the forward and saved, one bit an element, unless the backward
      needs the activation itself anyway: then the mask is recomputed from that and costs nothing.
      So is the comparison that is TVM's rule for ReLU; it moves behind its activation at once.

    func_name : the function to work on; ``main_adjoint`` behind TVM's ``Gradient("main")``.

    Examples
    --------
    .. code-block:: python

        y = R.nn.relu(x)                                               # before
        ...
        mask = R.odt.positive_mask(y)              # fused into its reader: y lives until here
        dx = R.odt.masked(mask, dy)

        mask = R.odt.positive_mask(y, saved=True)  # after: a kernel of its own, y may go
        dx = R.odt.masked(mask, dy)
    """

    def __init__(self, func_name: str = "main") -> None:
        self.func_name = func_name

    def transform_module(
        self, module: tvm.IRModule, _context: tvm.transform.PassContext
    ) -> tvm.IRModule:
        function = main_of(module, "EliminateDeadGradients", self.func_name)
        forward = ancestors_of(function, loss_of(function))
        function = _masks_saved(trim_gradients(without_dead_code(function), forward))
        return with_function(module, self.func_name, without_dead_code(function))


def _masks_saved(function: relax.Function) -> relax.Function:
    saved = _Saved(function)
    block_of = {b.var: n for n, block in enumerate(function.body.blocks) for b in block.bindings}
    masks: dict[relax.Var, relax.Call] = {}
    behind = defaultdict(list)  # an activation -> masks that move to where it is computed
    for binding in bindings_of(function):
        mask = as_mask(binding.value)
        if mask is not None and not saved.needed_in_backward(mask.args[0]):
            masks[binding.var] = with_attributes(mask, saved=True)
            is_tvms = not mask.same_as(binding.value)  # of ours `ReorderForMemory` takes care
            if is_tvms and block_of.get(mask.args[0]) == block_of[binding.var]:
                behind[mask.args[0]].append(binding.var)
    moved = {mask for cut in behind.values() for mask in cut}

    def rewrite(emit: Emit, binding: relax.VarBinding) -> relax.Expr | None:
        if binding.var in moved:
            return None
        emit(masks.get(binding.var, binding.value), binding.var)
        for mask in behind[binding.var]:
            emit(masks[mask], mask)
        return None

    return rebuilt(function, rewrite)


class _Saved:
    """Which activations the backward reads."""

    def __init__(self, function: relax.Function) -> None:
        self.consumers = consumers_of(function)
        self.forward = ancestors_of(function, loss_of(function))

    def needed_in_backward(self, var: relax.Var) -> bool:
        """Whether anything behind the loss reads `var` but masks and slices of it."""
        for reader in self.consumers.get(var, []):
            operator = operator_of(reader.value)
            if as_mask(reader.value) is not None or op_name(reader.value) == TAKE:
                continue
            if not operator.stored:
                if self.needed_in_backward(reader.var):
                    return True
            elif reader.var not in self.forward:
                return True
        return False
