"""Compute gradients of convolutions with int8 weights in integer arithmetic."""

from __future__ import annotations

import math

import numpy as np
import tvm
from tvm import relax

from ..graph import (
    Emit,
    bindings_of,
    constant,
    dtype_of,
    is_call_of,
    main_of,
    op_name,
    rebuilt,
    shape_of,
    with_function,
    without_dead_code,
)
from ..ops.codes import codes_of
from ..ops.integer_gradient import MAX_PIXELS, MAX_TAPS, integer_input_grad, integer_weight_grad
from ..tvm_pass import Pass, module_pass

_INTEGER = {"relax.odt.integer_input_grad", "relax.odt.integer_weight_grad"}


@module_pass
class IntegerGradients(Pass):
    """Multiply adjoints, as blocks of int16, with int8 codes instead of float32 with float32.

    A gradient of a convolution with respect to its data is rewritten where its weight is
    ``dequantize(codes, scale, 0)`` with int8 codes, all of them or some trained; one with respect
    to its weight where its data is ``dequantize(codes, scale, zero_point)``, the convolution has no
    groups and there is more than one pixel to sum over. The result is float32 again and differs
    from the float gradient by the rounding of adjoints to 16 bits of the largest that meets it in a
    sum (see `ops.integer_gradient`). Everything else stays float32. Run it on a training step
    before `lowering`.

    Attribute added to ``main``, if anything was rewritten: ``backward``, "int16".

    windows : whether also of convolutions with several taps that are not depthwise. Gathering their
        windows as blocks takes more time than integers save.
    func_name : the function to work on.

    Examples
    --------
    .. code-block:: python

        w = R.dequantize(w_q, sw, R.const(0, "int8"), axis=0)          # before
        x = R.dequantize(x_q, R.const(0.1), R.const(3, "int8"))
        dx = R.odt.conv2d_input_grad(dy, w)
        dw = R.odt.conv2d_weight_grad(dy, x)

        dx = R.odt.integer_input_grad(dy, w_q, sw)                     # after
        dw = R.odt.integer_weight_grad(dy, x_q, scale=0.1, zero_point=3)
    """

    def __init__(self, windows: bool = True, func_name: str = "main") -> None:
        self.windows, self.func_name = windows, func_name

    def transform_module(
        self, module: tvm.IRModule, _context: tvm.transform.PassContext
    ) -> tvm.IRModule:
        function = main_of(module, "IntegerGradients", self.func_name)
        values = {b.var: b.value for b in bindings_of(function)}

        def rewrite(_emit: Emit, binding: relax.VarBinding) -> relax.Expr:
            value, name = binding.value, op_name(binding.value)
            if not self.windows and _gathers_windows(value):
                return value
            if name == "relax.odt.conv2d_input_grad":
                weight = _codes_and_scale(values.get(value.args[1]))
                return integer_input_grad(value, *weight) if weight else value
            if name == "relax.odt.conv2d_weight_grad" and _sums_few_pixels(value):
                data = codes_of(values.get(value.args[1]))
                return integer_weight_grad(value, *data) if data else value
            return value

        result = rebuilt(function, rewrite)
        if not _INTEGER.isdisjoint(op_name(b.value) for b in bindings_of(result)):
            result = result.with_attr("backward", "int16")
        return with_function(module, self.func_name, without_dead_code(result))


def _gathers_windows(value: relax.Expr) -> bool:
    """Whether it is a gradient of a k x k convolution, or a strided one, that is not depthwise."""
    if op_name(value) not in ("relax.odt.conv2d_input_grad", "relax.odt.conv2d_weight_grad"):
        return False
    geometry = value.attrs
    is_gradient_of_data = op_name(value) == "relax.odt.conv2d_input_grad"
    kernel = shape_of(value.args[1])[2:] if is_gradient_of_data else list(geometry["shape"])[2:]
    pointwise = all(int(n) == 1 for n in (*kernel, *geometry["strides"]))
    return not pointwise and int(geometry["groups"]) == 1


def _codes_and_scale(decode: relax.Expr | None) -> tuple[relax.Expr, relax.Expr] | None:
    """(codes, a scale for each output) of ``dequantize(codes, scale, 0)``, or None."""
    if not is_call_of(decode, "relax.dequantize") or dtype_of(decode.args[0]) != "int8":
        return None
    codes, scale, zero_point = decode.args
    scale, zero_point = constant(scale), constant(zero_point)
    if scale is None or zero_point is None or np.any(zero_point):
        return None
    outputs, *taps = shape_of(codes)
    by_tap = scale.size > 1 and int(decode.attrs.axis) != 0
    if by_tap or outputs * math.prod(taps[1:]) > MAX_TAPS:
        return None
    return codes, relax.const(np.broadcast_to(scale.reshape(-1), (outputs,)).astype(np.float32))


def _sums_few_pixels(gradient: relax.Call) -> bool:
    batch, _, height, width = shape_of(gradient.args[0])
    return int(gradient.attrs["groups"]) == 1 and 1 < batch * height * width <= MAX_PIXELS
