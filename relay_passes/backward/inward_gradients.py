"""Let clamped output codes learn their way back."""

from __future__ import annotations

import tvm
from tvm import relax

from ..graph import (
    Values,
    bindings_of,
    is_call_of,
    loss_of,
    main_of,
    rebuilt,
    variables_in,
    with_function,
)
from ..ops.masks import masked_inward
from ..ops.registry import operator_of
from ..tvm_pass import Pass, module_pass


@module_pass
class InwardGradients(Pass):
    """Pass the gradients of clamped output codes that point back into their range.

    A mask lets no gradient through where a code was clamped. Behind the last layer that ends a
    training: once each output is clamped, no sample moves anything any more. There, where the
    loss is reached from a `quantize` through no further layer or `quantize`, what would raise a
    code at its greatest value or lower one at its least is still held back, all else passes.
    Everything in front keeps its masks. Run it behind `SparseBackward`.

    func_name : the function to work on.

    Examples
    --------
    .. code-block:: python

        y_q = R.quantize(y, sy, zy)                      # before
        ...
        dy = R.odt.masked(R.odt.code_range_mask(y), d)

        dy = R.odt.masked_inward(R.odt.code_range_mask(y), y_q, d)  # after
    """

    def __init__(self, func_name: str = "main") -> None:
        self.func_name = func_name

    def transform_module(
        self, module: tvm.IRModule, _context: tvm.transform.PassContext
    ) -> tvm.IRModule:
        function = main_of(module, "InwardGradients", self.func_name)
        values = {b.var: b.value for b in bindings_of(function)}
        codes = _output_codes(values, loss_of(function))

        def rewrite(_emit: object, binding: relax.VarBinding) -> relax.Expr:
            value = binding.value
            if not is_call_of(value, "relax.odt.masked"):
                return value
            mask, adjoint = value.args
            range_mask = values.get(mask)
            if not is_call_of(range_mask, "relax.odt.code_range_mask"):
                return value
            clamped = codes.get(range_mask.args[0])
            return value if clamped is None else masked_inward(mask, clamped, adjoint)

        return with_function(module, self.func_name, rebuilt(function, rewrite))


def _output_codes(values: Values, loss: relax.Var) -> dict[relax.Var, relax.Var]:
    """Real value -> codes, of each `quantize` between which and the loss no layer lies."""
    found, seen, frontier = {}, set(), [loss]
    while frontier:
        var = frontier.pop()
        value = values.get(var)
        if var in seen or operator_of(value).layer:
            continue
        seen.add(var)
        if is_call_of(value, "relax.quantize"):
            found[value.args[0]] = var
        else:
            frontier += variables_in(value)
    return found
