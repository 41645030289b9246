"""What every later pass takes for granted, and a damaged file may not have."""

from __future__ import annotations

import numpy as np

from relay_passes.graph import bindings_of, constant_value, op_name, shape_of

from ..errors import OdtError
from ..model import Model


def check_model(model: Model) -> Model:
    """The model itself, if no tensor is empty and every scale is a number that can be one."""
    function = model.module["main"]
    for var in (*function.params, *(b.var for b in bindings_of(function))):
        if min(shape_of(var), default=1) < 1:  # a window can be wider than its input
            raise OdtError(f"{model.name}: tensor {var.name} of shape {shape_of(var)} is empty")
    for binding in bindings_of(function):
        name = op_name(binding.value).removeprefix("relax.")
        if name not in ("quantize", "dequantize"):
            continue
        scale = constant_value(binding.value.args[1])
        # a weight's scale may be 0: all of the channel is
        usable = np.isfinite(scale) & (scale >= 0 if name == "dequantize" else scale > 0)
        if not usable.all():
            bad = scale[~usable].reshape(-1)[0]
            raise OdtError(f"{model.name}: the scale of a {name} is {bad}; it must be above 0")
    return model
