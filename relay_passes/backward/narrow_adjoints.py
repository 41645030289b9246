"""Store adjoints in fewer bits."""

from __future__ import annotations

import math

import tvm
from tvm import relax

from ..formats import FORMATS
from ..graph import (
    Emit,
    Renamer,
    ancestors_of,
    bindings_of,
    consumers_of,
    dtype_of,
    loss_of,
    main_of,
    rebuilt,
    shape_of,
    with_function,
)
from ..ops.precision import decode, encode
from ..ops.registry import operator_of
from ..tvm_pass import Pass, module_pass

LEAST_ELEMENTS = 256  # smaller tensors are not worth the rounding


@module_pass
class NarrowAdjoints(Pass):
    """Keep the adjoints of activations in 16 or 8 bits between kernels.

    Sums are still formed in float32: a kernel decodes what it loads and encodes what it stores
    (`FusePrologue` and `FuseOps` put both inside). Run it on a training step before `lowering`.
    Gradients of parameters, which are applied at once, are not rounded.

    Parameters
    ----------
    format : "bfloat16" (half the bytes), "float8" (a quarter), see `formats`; "float32"
        leaves the module alone. Attribute added to ``main`` where an adjoint is stored so:
        ``backward``, the format.
    func_name : the function to work on.

    Examples
    --------
    .. code-block:: python

        dx = R.odt.conv2d_input_grad(dy, w)                     # before
        dw = R.odt.conv2d_weight_grad(dx, x)

        dx = R.odt.conv2d_input_grad(dy, w)                     # after NarrowAdjoints("bfloat16")
        bits: R.Tensor(..., "uint16") = R.odt.encode(dx)
        dw = R.odt.conv2d_weight_grad(R.odt.decode(bits), x)
    """

    def __init__(self, format: str, func_name: str = "main") -> None:
        if format not in ("float32", *FORMATS):
            known = ", ".join(("float32", *FORMATS))
            raise ValueError(f'NarrowAdjoints: unknown format "{format}"; known are {known}.')
        self.format, self.func_name = format, func_name

    def transform_module(
        self, module: tvm.IRModule, _context: tvm.transform.PassContext
    ) -> tvm.IRModule:
        function = main_of(module, "NarrowAdjoints", self.func_name)
        stored = set() if self.format == "float32" else _stored_adjoints(function)
        if not stored:
            return module
        function = _narrowed(function, stored, self.format)
        return with_function(module, self.func_name, function.with_attr("backward", self.format))


def _narrowed(function: relax.Function, stored: set[relax.Var], format: str) -> relax.Function:
    renamed = Renamer({})

    def rewrite(emit: Emit, binding: relax.VarBinding) -> relax.Expr:
        var, value = binding.var, renamed(binding.value)
        if var not in stored:
            return value
        bits = emit(encode(emit(value), format))
        renamed.vars[var] = emit(decode(bits, format))
        return decode(bits, format)

    return rebuilt(function, rewrite)


def _stored_adjoints(function: relax.Function) -> set[relax.Var]:
    """Adjoints of activations that a kernel will hand to another.

    An adjoint whose one reader is elementwise is not stored: the two become one kernel.
    """
    forward = ancestors_of(function, loss_of(function))
    consumers = consumers_of(function)
    stored = set()
    for binding in bindings_of(function):
        var, readers = binding.var, consumers.get(binding.var, [])
        if var in forward or not readers or not _is_activation(binding):
            continue
        if len(readers) > 1 or not operator_of(readers[0].value).elementwise:
            stored.add(var)
    return stored


def _is_activation(binding: relax.VarBinding) -> bool:
    """Whether it has the shape of an activation: NCHW, float32, not small."""
    var = binding.var
    if not isinstance(var.ty, relax.TensorType) or dtype_of(var) != "float32":
        return False
    if not operator_of(binding.value).adjoint or len(shape_of(var)) != 4:
        return False
    return shape_of(var)[0] == 1 and math.prod(shape_of(var)) >= LEAST_ELEMENTS
