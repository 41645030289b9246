"""TVM's elementwise operators."""

from __future__ import annotations

from functools import partial

import numpy as np
from tvm import relax
from tvm.relax.op.grad import no_grad

from ..graph import shape_of
from . import numbering
from .groups import integer_add
from .masks import interval_mask, masked, positive_mask
from .registry import describe


def _relu_gradient(var, _call, adjoint, _builder):
    """`[adjoint where y > 0, else 0]`: reads the output, which the next layer saves anyway."""
    return [masked(positive_mask(var), adjoint)]


def _clip_gradient(_var, call, adjoint, _builder):
    """`[adjoint where low <= x <= high, else 0]`, bounds included as in PyTorch."""
    data, low, high = call.args
    mask = interval_mask(data, float(low.value), float(high.value))
    return [masked(mask, adjoint), no_grad(low), no_grad(high)]


def _narrowed_sum(narrow, call, _ranges, _axis):
    """Term by term, where none is broadcast."""
    if len({shape_of(term) for term in call.args}) > 1:
        return None
    return relax.op.add(*map(narrow, call.args))


_describe = partial(describe, elementwise=True, channels=numbering.same)

for _name in ("abs", "astype", "maximum", "minimum", "multiply", "negative", "subtract"):
    _describe(_name)
for _name in ("divide", "exp", "log", "nn.silu", "sigmoid", "sqrt", "tanh"):
    _describe(_name, cheap=False)
_describe("add", integer=integer_add, narrowed=_narrowed_sum)
_describe("nn.relu", gradient=_relu_gradient, bounds=lambda _: (0.0, np.inf, True))
_describe(
    "clip",
    gradient=_clip_gradient,
    bounds=lambda call: (float(call.args[1].value), float(call.args[2].value), False),
)
