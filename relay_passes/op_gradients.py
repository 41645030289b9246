"""Gradient rules that TVM lacks, or whose form in TVM needs too much memory.

The adjoint of an int8 tensor is float32 and is taken with respect to the real value that its codes
stand for. With that, dequantize passes an adjoint through unchanged and quantize masks it
(straight-through estimator): no scale is multiplied in and divided out again.
Importing this module registers the rules with `relax.transform.Gradient`.
"""

from __future__ import annotations

from tvm.relax.op.base import register_gradient
from tvm.relax.op.grad import no_grad

from .graph import constant, shape_of
from .ops.convolution import conv2d_input_grad, conv2d_weight_grad
from .ops.loss import negative_log_likelihood_grad
from .ops.masks import code_range_mask, interval_mask, masked, positive_mask
from .ops.pooling import avg_pool2d_input_grad, max_pool2d_argmax, max_pool2d_input_grad

_OVERRIDE = 20  # TVM registers its own rules at level 10


@register_gradient("relax.quantize")
def quantize_grad(_var, call, adjoint, _builder):
    """Straight-through: `[adjoint where the code is an int8 before clamping, else 0]`."""
    data, scale, zero_point = call.args
    mask = code_range_mask(data, float(constant(scale)), int(constant(zero_point)))
    return [masked(mask, adjoint), no_grad(scale), no_grad(zero_point)]


@register_gradient("relax.dequantize")
def dequantize_grad(_var, call, adjoint, _builder):
    """`[adjoint]`: adjoints of codes are taken in the real domain."""
    return [adjoint, no_grad(call.args[1]), no_grad(call.args[2])]


@register_gradient("relax.clip")
def clip_grad(_var, call, adjoint, _builder):
    """`[adjoint where low <= x <= high, else 0]`, bounds included as in PyTorch."""
    data, low, high = call.args
    mask = interval_mask(data, float(low.value), float(high.value))
    return [masked(mask, adjoint), no_grad(low), no_grad(high)]


@register_gradient("relax.nn.relu", level=_OVERRIDE)
def relu_grad(var, _call, adjoint, _builder):
    """`[adjoint where y > 0, else 0]`: reads the output, which the next layer saves anyway."""
    return [masked(positive_mask(var), adjoint)]


@register_gradient("relax.nn.conv2d", level=_OVERRIDE)
def conv2d_grad(_var, call, adjoint, _builder):
    """`[conv2d_input_grad(dy, w), conv2d_weight_grad(dy, x)]`, see `ops.convolution`."""
    data, weight = call.args
    return [
        conv2d_input_grad(adjoint, weight, shape_of(data), call.attrs),
        conv2d_weight_grad(adjoint, data, shape_of(weight), call.attrs),
    ]


@register_gradient("relax.nn.max_pool2d", level=_OVERRIDE)
def max_pool2d_grad(var, call, adjoint, builder):
    """`[adjoint of each window at the window's first maximum]`, see `ops.pooling`."""
    (data,) = call.args
    argmax = builder.emit(max_pool2d_argmax(data, shape_of(var), call.attrs))
    return [max_pool2d_input_grad(adjoint, argmax, shape_of(data), call.attrs)]


@register_gradient("relax.nn.avg_pool2d", level=_OVERRIDE)
def avg_pool2d_grad(_var, call, adjoint, _builder):
    """`[adjoint of each window, divided by its number of taps]`, see `ops.pooling`."""
    return [avg_pool2d_input_grad(adjoint, call.args[0], call.attrs)]


@register_gradient("relax.odt.negative_log_likelihood")
def negative_log_likelihood_gradient(_var, call, adjoint, _builder):
    """`[-adjoint at the label, else 0]`."""
    log_probabilities, label = call.args
    classes = shape_of(log_probabilities)[1]
    return [negative_log_likelihood_grad(adjoint, label, classes), no_grad(label)]
