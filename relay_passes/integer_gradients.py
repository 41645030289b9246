"""Compute gradients of convolutions with int8 weights in integer arithmetic."""

from __future__ import annotations

import math

import numpy as np
import tvm
from tvm import relax

from .graph import bindings_of, constant, dtype_of, main_of, op_name, rebuilt, shape_of
from .ops.integer_gradient import MAX_TAPS, integer_input_grad

FUNCTION = "main"


@tvm.transform.module_pass(opt_level=0, name="IntegerGradients")
class IntegerGradients:
    """Multiply adjoints, as blocks of int16, with int8 codes instead of float32 with float32.

    A gradient of a convolution with respect to its data is rewritten where its weight is
    ``dequantize(codes, scale, 0)`` with int8 codes, all of them or some trained. The result is
    float32 again and differs from the float gradient by the rounding of adjoints to 16 bits of the
    largest that meets it in a sum (see `ops.integer_gradient`). Everything else stays float32. Run
    it on a training step before `lowering`.

    Examples
    --------
    .. code-block:: python

        w = R.dequantize(w_q, sw, R.const(0, "int8"), axis=0)          # before
        dx = R.odt.conv2d_input_grad(dy, w)

        dx = R.odt.integer_input_grad(dy, w_q, sw)                     # after
    """

    def transform_module(self, module: tvm.IRModule, _context) -> tvm.IRModule:
        function = main_of(module, "IntegerGradients")
        values = {b.var: b.value for b in bindings_of(function)}

        def rewrite(_emit, value):
            if op_name(value) != "relax.odt.conv2d_input_grad":
                return value
            weight = _codes_and_scale(values.get(value.args[1]))
            return integer_input_grad(value, *weight) if weight else value

        functions = dict(module.functions_items())
        functions[module.get_global_var(FUNCTION)] = rebuilt(function, rewrite)
        return relax.transform.DeadCodeElimination()(tvm.IRModule(functions, attrs=module.attrs))


def _codes_and_scale(decode):
    """(codes, a scale for each output) of ``dequantize(codes, scale, 0)``, or None."""
    if op_name(decode) != "relax.dequantize" or dtype_of(decode.args[0]) != "int8":
        return None
    codes, scale, zero_point = decode.args
    scale, zero_point = constant(scale), constant(zero_point)
    if scale is None or zero_point is None or np.any(zero_point):
        return None
    outputs, *taps = shape_of(codes)
    if scale.size > 1 and int(decode.attrs.axis) != 0 or outputs * math.prod(taps[1:]) > MAX_TAPS:
        return None
    return codes, relax.const(np.broadcast_to(scale.reshape(-1), (outputs,)).astype(np.float32))
