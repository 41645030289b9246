"""Turn dequantize -> float op -> quantize into integer operators."""

from __future__ import annotations

from dataclasses import dataclass, field

import tvm
from tvm import relax

from .graph import bindings_of, constant, consumers_of, dtype_of, op_name, with_function
from .ops.groups import Epilogue
from .ops.registry import operator_of, with_attributes


@tvm.transform.module_pass(opt_level=0, name="LowerQDQ")
class LowerQDQ:
    """Replace each QDQ group by one integer operator on the codes.

    A group is a `quantize`, an optional ReLU or clip above it, and a conv2d (with or without
    bias), a residual add or a spatial mean over dequantized operands. Inner values may be read by
    gradient masks only; those become the operator's second result, true where every mask of the
    group is. What matches no group stays as it is and runs in float32.

    Examples
    --------
    .. code-block:: python

        x = R.dequantize(x_q, sx, zx)                                     # before
        y = R.nn.conv2d(x, R.dequantize(w_q, sw, 0))
        y_q = R.quantize(y, sy, zy)

        y_q = R.odt.qconv2d(x_q, w_q, bias, sx * sw / sy)                 # after
    """

    def transform_module(self, module: tvm.IRModule, _context) -> tvm.IRModule:
        for gvar, function in module.functions_items():
            if isinstance(function, relax.Function):
                module = with_function(module, gvar.name_hint, _Lowering(function).run())
        return relax.transform.DeadCodeElimination()(module)


@dataclass
class _Group:
    """What lies between the operands and one quantize."""

    inner: list[relax.Var]  # values computed inside, the pre-activation first
    call: relax.Call  # the operator on codes, without a mask
    masks: list[relax.Var] = field(default_factory=list)


class _Lowering:
    def __init__(self, function: relax.Function):
        self.function = function
        self.values = {b.var: b.value for b in bindings_of(function)}
        self.consumers = consumers_of(function)

    def run(self) -> relax.Function:
        function = self.function
        builder = relax.BlockBuilder()
        masks = {}  # mask variable of the source -> mask variable of the operator
        with builder.function("main", function.params):
            with builder.dataflow():
                for binding in bindings_of(function):
                    self._emit(builder, binding, masks)
                output = builder.emit_output(function.body.body)
            builder.emit_func_output(output)
        lowered = builder.get()["main"]
        return lowered.with_attrs(dict(function.attrs)) if function.attrs else lowered

    def _emit(self, builder, binding, masks):
        if binding.var in masks:
            builder.emit_normalized(relax.VarBinding(binding.var, masks[binding.var]))
            return
        group = self._match(binding)
        if group is None:
            builder.emit_normalized(binding)
            return
        if not group.masks:
            builder.emit_normalized(relax.VarBinding(binding.var, builder.normalize(group.call)))
            return
        pair = builder.emit(with_attributes(group.call, mask=True))
        codes = builder.normalize(relax.TupleGetItem(pair, 0))
        builder.emit_normalized(relax.VarBinding(binding.var, codes))
        mask = builder.emit(relax.TupleGetItem(pair, 1))
        masks.update({source: mask for source in group.masks})

    def _match(self, binding) -> _Group | None:
        if op_name(binding.value) != "relax.quantize":
            return None
        real, scale, zero_point = binding.value.args
        scale, zero_point = constant(scale), constant(zero_point)
        if scale is None or scale.size != 1 or dtype_of(binding.var) != "int8":
            return None
        epilogue = Epilogue(float(scale), int(zero_point))
        inner = [real]
        while bounds := operator_of(value := self.values.get(real)).bounds:
            epilogue.absorb(*bounds(value))
            real = value.args[0]
            inner.append(real)
        rule = operator_of(value).integer
        lowered, core = rule(self.values, real, epilogue) if rule else (None, [])
        if lowered is None:
            return None
        group = _Group(inner + core, lowered)
        return group if self._closed(group, binding) else None

    def _closed(self, group: _Group, quantize) -> bool:
        """Whether only the group itself and masks read its inner values; collects the masks."""
        own = [*group.inner, quantize.var]
        for var in group.inner:
            for reader in self.consumers.get(var, []):
                if operator_of(reader.value).mask:
                    group.masks.append(reader.var)
                elif not any(reader.var.same_as(v) for v in own):
                    return False
        return True
