"""Turn dequantize -> float op -> quantize into integer operators."""

from __future__ import annotations

import tvm
from tvm import relax

from ..graph import (
    Emit,
    bindings_of,
    constant,
    consumers_of,
    dtype_of,
    is_call_of,
    rebuilt,
    with_function,
)
from ..ops.groups import Epilogue
from ..ops.registry import operator_of, with_attributes
from ..tvm_pass import Pass, module_pass


@module_pass
class LowerQDQ(Pass):
    """Replace each QDQ group by one integer operator on the codes.

    A group is a `quantize`, an optional ReLU or clip above it, and a conv2d (with or without
    bias), a residual add, a spatial mean or an average pool over dequantized operands. Inner
    values may be read by gradient masks only; those become the operator's second result, true
    where every mask of the group is. What matches no group stays as it is and runs in float32.

    Examples
    --------
    .. code-block:: python

        x = R.dequantize(x_q, sx, zx)                                     # before
        y = R.nn.conv2d(x, R.dequantize(w_q, sw, 0))
        y_q = R.quantize(y, sy, zy)

        y_q = R.odt.qconv2d(x_q, w_q, bias, sx * sw / sy)                 # after
    """

    def transform_module(
        self, module: tvm.IRModule, _context: tvm.transform.PassContext
    ) -> tvm.IRModule:
        for gvar, function in module.functions_items():
            if isinstance(function, relax.Function):
                module = with_function(module, gvar.name_hint, _Lowering(function).run())
        return relax.transform.DeadCodeElimination()(module)


class _Lowering:
    def __init__(self, function: relax.Function) -> None:
        self.function = function
        self.values = {b.var: b.value for b in bindings_of(function)}
        self.consumers = consumers_of(function)

    def run(self) -> relax.Function:
        masks: dict[
            relax.Var, relax.Var
        ] = {}  # mask variable of the source -> mask variable of the operator

        def rewrite(emit: Emit, binding: relax.VarBinding) -> relax.Expr | None:
            if binding.var in masks:
                return masks[binding.var]
            lowered, sources = self._match(binding)
            if lowered is None:
                return binding.value
            if not sources:
                return lowered
            pair = emit(with_attributes(lowered, mask=True))
            emit(relax.TupleGetItem(pair, 0), binding.var)
            masks.update(dict.fromkeys(sources, emit(relax.TupleGetItem(pair, 1))))
            return None

        return rebuilt(self.function, rewrite)

    def _match(self, binding: relax.VarBinding) -> tuple[relax.Call | None, list[relax.Var]]:
        """The operator on codes, without a mask, of the group that ends here, and its masks."""
        if not is_call_of(binding.value, "relax.quantize"):
            return None, []
        real, scale, zero_point = binding.value.args
        scale, zero_point = constant(scale), constant(zero_point)
        if scale is None or zero_point is None:
            return None, []
        if scale.size != 1 or dtype_of(binding.var) != "int8":
            return None, []
        epilogue = Epilogue(float(scale), int(zero_point))
        inner = [real]
        while bounds := operator_of(value := self.values.get(real, real)).bounds:
            epilogue.absorb(*bounds(value))
            real = value.args[0]
            inner.append(real)
        rule = operator_of(value).integer
        lowered, core = rule(self.values, real, epilogue) if rule else (None, [])
        inner += core
        readers = [reader for var in inner for reader in self.consumers.get(var, [])]
        masks = [reader.var for reader in readers if operator_of(reader.value).mask]
        closed = {*inner, *masks, binding.var}.issuperset(reader.var for reader in readers)
        return (lowered, masks) if closed else (None, [])
