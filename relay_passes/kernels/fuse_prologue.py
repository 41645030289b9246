"""Let an operator read cheap, expanding producers on the fly instead of from memory."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from functools import cache
from typing import TypeGuard

import numpy as np
import tvm
from tvm import relax

from ..graph import (
    Emit,
    bindings_of,
    check_static_shapes,
    consumers_of,
    dtype_of,
    is_call_of,
    rebuilt,
    shape_of,
    variables_in,
)
from ..kernel_attributes import is_cheap
from ..ops.registry import OPAQUE
from ..tvm_pass import Pass, module_pass
from .loads import loads_per_element
from .merge_kernels import MergeKernels

INJECTIVE = 2  # TVM's OpPatternKind: elementwise 0, broadcast 1, injective 2
SEVERAL = 2  # loads of an element; a window's border alone makes it a little more than 1


@module_pass
class FusePrologue(Pass):
    """Move injective producers into each reader where recomputing them costs less than storing.

    The rule: a producer is recomputed in every reader, and its result never stored, if it is cheap
    (see `Operator.cheap`) and

    * its result is no smaller than its operands: `dequantize` (1 byte in, 4 bytes out),
      `broadcast_to`, `permute_dims`. So a convolution's gradient reads the int8 activation itself.
      Not so where storing costs no memory, as the result can take the place of an operand that
      nobody else reads (a ReLU), and a reader loads elements several times, as a convolution does
      (see `loads_per_element`);
    * or it is an adjoint under its range mask, and the adjoint is needed later still: in a
      residual block the branch reads the sum's adjoint through its own mask, and no copy exists.

    TVM's `FuseOps` fuses only what follows a convolution, this what precedes one; run this first,
    then `FuseOps`, then `MergeKernels`.

    Before: a module that our `LegalizeOps` made (TVM's does not say what is costly), with
    `AnnotateTIROpPattern` done.
    After: each such reader is one PrimFunc that takes the producers' operands.

    Examples
    --------
    .. code-block:: python

        x = R.call_tir(dequantize, (x_q,), ...)                       # before
        dw = R.call_tir(conv2d_weight_grad, (dy, x), ...)

        dw = R.call_tir(fused_dequantize_conv2d_weight_grad, (x_q, dy), ...)   # after
    """

    def transform_module(
        self, module: tvm.IRModule, _context: tvm.transform.PassContext
    ) -> tvm.IRModule:
        opaque: set[str] = set()  # primitives that nothing may be fused behind
        fused = module
        for gvar, function in module.functions_items():
            if isinstance(function, relax.Function) and "Primitive" not in (function.attrs or {}):
                check_static_shapes(function, gvar.name_hint, "FusePrologue")
                fused = _Fusion(fused, gvar.name_hint, opaque).run()
        fused = relax.transform.DeadCodeElimination()(fused)
        fused = MergeKernels()(fused)
        return relax.transform.AnnotateTIROpPattern()(_kept_apart(fused, opaque))


def _kept_apart(module: tvm.IRModule, names: Collection[str]) -> tvm.IRModule:
    """Kernels whose result is saved stay kernels of their own, with whatever they read fused in."""
    functions = {
        gvar: f.with_attr("op_pattern", OPAQUE) if gvar.name_hint in names else f
        for gvar, f in module.functions_items()
    }
    return tvm.IRModule(functions, attrs=module.attrs)


Producer = tuple[relax.Var, relax.Call]  # what a kernel computes, and its call_tir


class _Fusion:
    """Of one function of a module; primitives that stay apart are entered in `opaque`."""

    def __init__(self, module: tvm.IRModule, name: str, opaque: set[str]) -> None:
        self.module, self.name, self.opaque = module, name, opaque
        self.function = function = module[name]
        self.values = {b.var: b.value for b in bindings_of(function)}
        self.consumers = consumers_of(function)
        self.behind = cache(self._computed_from)
        self.builder = relax.BlockBuilder(module)
        self.loads = cache(lambda kernel, i: loads_per_element(module[kernel], i))

    def run(self) -> tvm.IRModule:
        rewritten = rebuilt(self.function, self._rewritten)
        self.builder.update_func(self.module.get_global_var(self.name), rewritten)
        return self.builder.get()

    def _rewritten(self, _emit: Emit, binding: relax.VarBinding) -> relax.Expr:
        if not _is_call_tir(binding.value) or self._recomputed(binding.var):
            return binding.value
        group = self._prologue(binding.value)
        if not group:
            return binding.value
        inputs = _external_inputs([*group, (binding.var, binding.value)])
        return relax.Call(self._primitive(group, binding, inputs), inputs)

    def _prologue(self, call: relax.Call) -> list[Producer]:
        """Producers to recompute inside `call`, operands first."""
        group: list[Producer] = []
        for var in variables_in(call.args[1]):
            if self._recomputed(var):
                value = self.values[var]
                for producer in [*self._prologue(value), (var, value)]:
                    if not any(producer[0].same_as(known) for known, _ in group):
                        group.append(producer)
        return group

    def _recomputed(self, var: relax.Var) -> bool:
        value = self.values.get(var)
        if not _is_call_tir(value) or isinstance(value.ty, relax.TupleType):
            return False
        primitive = self.module[value.args[0]]
        if int(primitive.attrs.get("op_pattern", OPAQUE)) > INJECTIVE or not is_cheap(primitive):
            return False
        operands = variables_in(value.args[1])
        if not operands:
            return False
        if _bits(var) < sum(_bits(o) for o in operands):
            is_masked = any(dtype_of(o) == "bool" for o in operands)
            return is_masked and self._is_outlived(var, operands)
        elementwise = int(primitive.attrs["op_pattern"]) < INJECTIVE
        in_place = elementwise and any(self._is_place_for(var, o) for o in operands)
        return not in_place or self._is_loaded_once(var)

    def _is_place_for(self, var: relax.Var, operand: relax.Var) -> bool:
        """Whether a kernel stores `operand`, as large as `var`, and no other reads it.

        What expands smaller operands is not stored itself.
        """
        value = self.values.get(operand)
        if not _is_call_tir(value) or len(self.consumers[operand]) > 1:
            return False
        size = sum(_bits(o) for o in variables_in(value.args[1]))
        return _bits(var) == _bits(operand) <= size

    def _is_loaded_once(self, var: relax.Var) -> bool:
        """Whether no kernel loads an element of `var` several times."""
        for reader in self.consumers.get(var, []):
            if not _is_call_tir(reader.value):
                continue
            kernel, operands = reader.value.args
            for position, field in enumerate(operands.fields):
                if field.same_as(var) and self.loads(kernel, position) >= SEVERAL:
                    return False
            if self._recomputed(reader.var) and not self._is_loaded_once(reader.var):
                return False
        return True

    def _is_outlived(self, var: relax.Var, operands: Sequence[relax.Var]) -> bool:
        """Whether every operand as large as `var` is needed behind what reads `var`."""
        readers = [b.var for b in self.consumers.get(var, [])]
        return all(
            any(later.var in self.behind(r) for r in readers for later in self.consumers[o])
            for o in operands
            if _bits(o) >= _bits(var)
        )

    def _computed_from(self, var: relax.Var) -> set[relax.Var]:
        """Every variable that depends on `var`."""
        found: set[relax.Var] = set()
        frontier = [var]
        while frontier:
            for reader in self.consumers.get(frontier.pop(), []):
                if reader.var not in found:
                    found.add(reader.var)
                    frontier.append(reader.var)
        return found

    def _primitive(
        self, group: Sequence[Producer], binding: relax.VarBinding, inputs: Sequence[relax.Expr]
    ) -> relax.GlobalVar:
        """A primitive function of the whole group, for `MergeKernels`."""
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
        primitive = self.builder.add_func(function.with_attr("Primitive", 1), name)
        if int(self.module[binding.value.args[0]].attrs.get("op_pattern", 0)) == OPAQUE:
            self.opaque.add(primitive.name_hint)
        return primitive


def _external_inputs(group: Iterable[Producer]) -> list[relax.Expr]:
    """Variables and constants that the group reads but does not compute."""
    inside = [var for var, _ in group]
    inputs: list[relax.Expr] = []
    for _, value in group:
        for operand in value.args[1].fields:
            if not any(operand.same_as(known) for known in [*inside, *inputs]):
                inputs.append(operand)
    return inputs


def _is_call_tir(value: relax.Expr | None) -> TypeGuard[relax.Call]:
    return is_call_of(value, "relax.call_tir")


def _bits(var: relax.Var) -> int:
    """Bits, not bytes: a packed boolean is smaller than any other element."""
    elements = math.prod(shape_of(var))
    return elements if dtype_of(var) == "bool" else 8 * elements * np.dtype(dtype_of(var)).itemsize
