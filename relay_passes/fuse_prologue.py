"""Let an operator read cheap, expanding producers on the fly instead of from memory."""

from __future__ import annotations

import math

import tvm
from tvm import relax

from .graph import bindings_of, dtype_of, op_name, shape_of, variables_in

INJECTIVE = 2  # TVM's OpPatternKind: elementwise 0, broadcast 1, injective 2
_BITS = {"bool": 1, "int8": 8, "uint8": 8, "int32": 32, "uint32": 32, "float32": 32, "int64": 64}
_EXPENSIVE = ("exp", "log", "tanh", "sigmoid", "sqrt", "erf", "pow", "divide")


@tvm.transform.module_pass(opt_level=0, name="FusePrologue")
class FusePrologue:
    """Move injective producers whose result is no smaller than their operands into each reader.

    `dequantize` (1 byte in, 4 bytes out), `broadcast_to` and `permute_dims` are recomputed in
    every reader, so that their result is never stored: a convolution's gradient reads the int8
    activation itself. TVM's `FuseOps` fuses only what follows a convolution, this what precedes
    one; run this first, then `FuseOps`, then `FuseTIR`.

    Before: a legalized module (`call_tir`) with `AnnotateTIROpPattern` done.
    After: each such reader is one PrimFunc that takes the producers' operands.

    Examples
    --------
    .. code-block:: python

        x = R.call_tir(dequantize, (x_q,), ...)                       # before
        dw = R.call_tir(conv2d_weight_grad, (dy, x), ...)

        dw = R.call_tir(fused_dequantize_conv2d_weight_grad, (x_q, dy), ...)   # after
    """

    def transform_module(self, module: tvm.IRModule, _context) -> tvm.IRModule:
        function = module["main"]
        fused = _Fusion(module, function).run()
        fused = relax.transform.DeadCodeElimination()(fused)
        fused = relax.transform.FuseTIR()(fused)
        return relax.transform.AnnotateTIROpPattern()(fused)


class _Fusion:
    def __init__(self, module, function):
        self.module, self.function = module, function
        self.values = {b.var: b.value for b in bindings_of(function)}
        self.builder = relax.BlockBuilder(module)

    def run(self) -> tvm.IRModule:
        function = self.function
        bindings = [self._rewritten(b) for b in bindings_of(function)]
        body = relax.SeqExpr([relax.DataflowBlock(bindings)], function.body.body)
        rewritten = relax.Function(
            function.params, body, function.ret_ty, is_pure=True, attrs=function.attrs
        )
        self.builder.update_func(self.module.get_global_var("main"), rewritten)
        return self.builder.get()

    def _rewritten(self, binding):
        if not _is_call_tir(binding.value) or self._recomputed(binding.var):
            return binding
        group = self._prologue(binding.value)
        if not group:
            return binding
        inputs = _external_inputs([*group, (binding.var, binding.value)])
        gvar = self._primitive(group, binding, inputs)
        call = relax.Call(gvar, inputs)
        return relax.VarBinding(binding.var, self.builder.normalize(call))

    def _prologue(self, call) -> list:
        """Producers to recompute inside `call`, operands first."""
        group = []
        for var in variables_in(call.args[1]):
            if self._recomputed(var):
                value = self.values[var]
                for producer in [*self._prologue(value), (var, value)]:
                    if not any(producer[0].same_as(known) for known, _ in group):
                        group.append(producer)
        return group

    def _recomputed(self, var) -> bool:
        value = self.values.get(var)
        if not _is_call_tir(value) or isinstance(value.ty, relax.TupleType):
            return False
        primitive = self.module[value.args[0]]
        if int(primitive.attrs.get("op_pattern", 8)) > INJECTIVE:
            return False
        if any(word in value.args[0].name_hint for word in _EXPENSIVE):
            return False
        operands = variables_in(value.args[1])
        return bool(operands) and _bits(var) >= sum(_bits(o) for o in operands)

    def _primitive(self, group, binding, inputs):
        """A primitive function of the whole group, for `FuseTIR` to merge."""
        params = [relax.Var(f"p{i}", operand.ty) for i, operand in enumerate(inputs)]
        arguments = dict(zip(inputs, params, strict=True))
        bindings = []
        for var, value in [*group, (binding.var, binding.value)]:
            operands = relax.Tuple([arguments.get(f, f) for f in value.args[1].fields])
            call = relax.Call(value.op, [value.args[0], operands], value.attrs, value.ty_args)
            last = var.same_as(binding.var)
            arguments[var] = (relax.Var if last else relax.DataflowVar)(var.name, var.ty)
            bindings.append(relax.VarBinding(arguments[var], self.builder.normalize(call)))
        body = relax.SeqExpr([relax.DataflowBlock(bindings)], arguments[binding.var])
        function = relax.Function(params, body, binding.var.ty, is_pure=True)
        names = [value.args[0].name_hint for _, value in group]
        name = "_".join(["fused", *names, binding.value.args[0].name_hint])
        return self.builder.add_func(function.with_attr("Primitive", 1), name)


def _external_inputs(group) -> list[relax.Expr]:
    """Variables and constants that the group reads but does not compute."""
    inside = [var for var, _ in group]
    inputs = []
    for _, value in group:
        for operand in value.args[1].fields:
            if not any(operand.same_as(known) for known in [*inside, *inputs]):
                inputs.append(operand)
    return inputs


def _is_call_tir(value) -> bool:
    return op_name(value) == "relax.call_tir"


def _bits(var) -> int:
    return math.prod(shape_of(var)) * _BITS[dtype_of(var)]
