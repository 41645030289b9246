"""Biases at the ends of int32, made harmless without changing what the network computes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import tvm
from tvm import relax

from relay_passes.graph import Emit, is_call_of, rebuilt
from relay_passes.ops.quantized import BIAS_LIMIT

from ..model import Model


def condition_dead_channels(model: Model) -> Model:
    """Requantize output channels whose int32 bias lies beyond +-BIAS_LIMIT.

    Post-training quantization gives a channel whose weights are (almost) zero a scale near zero,
    and its bias then saturates int32: adding the accumulator overflows. Multiplying both scales by
    2^k and dividing the codes by 2^k keeps the real bias to 2^-30 and gives the sum room; the
    weights of such a channel are below a millionth of its bias.
    """
    values, scales, zero_points = dict(model.parameters), model.scales, model.zero_points
    changed = {}
    for layer in model.layers:
        if layer.weight not in scales or layer.bias is None:
            continue
        if values[layer.bias].dtype != np.int32:
            continue
        shift = _shifts(values[layer.bias])
        if not shift.any():
            continue
        for name in (layer.weight, layer.bias):
            factor = np.ldexp(1.0, shift)
            column, zero_point = (
                per_channel.reshape(-1, *[1] * (values[name].ndim - 1))
                for per_channel in (factor, zero_points[name].astype(np.int64))
            )
            codes = np.rint((values[name] - zero_point) / column) + zero_point
            values[name] = codes.astype(values[name].dtype)
            changed[name] = (np.asarray(scales[name], np.float64) * factor).astype(np.float32)
    if not changed:
        return model
    return replace(model, module=_with_scales(model.module, changed), parameters=values)


def _shifts(bias: np.ndarray) -> np.ndarray:
    """Powers of two that bring each bias inside the limit; 0 for all that are."""
    excess = np.abs(bias.astype(np.float64)) / BIAS_LIMIT
    return np.where(excess > 1, np.ceil(np.log2(np.maximum(excess, 1))), 0).astype(int)


def _with_scales(module: tvm.IRModule, scales: dict[str, np.ndarray]) -> tvm.IRModule:
    """The module with other scales in the dequantize of the named parameters."""

    def rewrite(_emit: Emit, binding: relax.VarBinding) -> relax.Expr:
        value = binding.value
        if not is_call_of(value, "relax.dequantize") or value.args[0].name not in scales:
            return value
        data, _, zero_point = value.args
        return relax.Call(value.op, [data, relax.const(scales[data.name]), zero_point], value.attrs)

    return tvm.IRModule({"main": rebuilt(module["main"], rewrite)})
