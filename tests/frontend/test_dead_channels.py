"""Channels whose int32 bias would overflow are requantized; what they compute stays."""

import numpy as np
import pytest
import tiny
from tvm import relax

from relay_passes.graph import bindings_of, constant, op_name
from relay_passes.ops.quantized import BIAS_LIMIT
from tvm_ondevice_train.frontend.dead_channels import condition_dead_channels
from tvm_ondevice_train.model import Model, TensorSpec

SHAPE = (1, 2, 2, 2)


def quantized_layer(bias, scales) -> Model:
    """One convolution of four channels, per-channel scales, with these int32 biases."""
    values = {
        "w": np.arange(-4, 4, dtype=np.int8).reshape(4, 2, 1, 1),
        "b": np.asarray(bias, np.int32),
    }
    scales = np.asarray(scales, np.float32)

    def body(emit, x, w, b):
        data, weight = emit(tiny.dequantize(x, 0.5)), emit(tiny.dequantize(w, scales))
        real = emit(tiny.dequantize(b, 0.5 * scales, dtype="int32"))
        column = emit(relax.op.reshape(real, (1, 4, 1, 1)))
        total = emit(relax.op.add(emit(relax.op.nn.conv2d(data, weight)), column))
        return emit(tiny.dequantize(emit(tiny.quantize(total, 0.1)), 0.1))

    types = {"x": (SHAPE, "int8"), **{n: (v.shape, str(v.dtype)) for n, v in values.items()}}
    return Model("net", tiny.module(types, body), values, TensorSpec(SHAPE, "int8", 0.5, 0))


def scales_of(model) -> dict[str, np.ndarray]:
    return {
        b.value.args[0].name: constant(b.value.args[1])
        for b in bindings_of(model.module["main"])
        if op_name(b.value) == "relax.dequantize"
    }


@pytest.mark.parametrize("dead", [2**31 - 1, -(2**31), 2**30, -(2**30) - 5])
def test_a_dead_channel_keeps_its_real_bias(dead):
    scales = [0.01, 1e-10, 0.02, 3e-11]
    model = quantized_layer([100, dead, -BIAS_LIMIT, dead], scales)
    changed = condition_dead_channels(model)
    bias = changed.parameters["b"]
    assert np.abs(bias.astype(np.int64)).max() <= BIAS_LIMIT
    before, after = (
        m.parameters["b"].astype(np.float64) * scales_of(m)["b"] for m in (model, changed)
    )
    np.testing.assert_allclose(after, before, rtol=2.0**-29)
    for channel in (0, 2):
        assert bias[channel] == model.parameters["b"][channel]
        for name in ("w", "b"):
            assert scales_of(changed)[name][channel] == scales_of(model)[name][channel]
    np.testing.assert_array_equal(changed.parameters["w"][[0, 2]], model.parameters["w"][[0, 2]])


def test_the_output_stays_the_same():
    model = quantized_layer([100, 2**31 - 1, -100, -(2**31)], [0.01, 1e-10, 0.02, 3e-9])
    changed = condition_dead_channels(model)
    x = np.random.default_rng(0).integers(-128, 128, SHAPE, dtype=np.int8)
    (after,) = tiny.run(changed.module, x=x, **changed.parameters)
    real = {n: v.astype(np.float64) for n, v in model.parameters.items()}
    scale = scales_of(model)["w"].astype(np.float64).reshape(-1, 1)
    columns = (x.reshape(2, -1) * 0.5).astype(np.float64)
    expected = real["w"].reshape(4, 2) * scale @ columns + real["b"].reshape(-1, 1) * scale * 0.5
    codes = np.clip(np.rint(expected / np.float32(0.1)), -128, 127).reshape(after.shape)
    np.testing.assert_allclose(after, codes * np.float32(0.1), atol=1e-5)


def test_a_model_without_dead_channels_is_left_alone():
    model = quantized_layer([BIAS_LIMIT, -BIAS_LIMIT, 0, 1], [0.1, 0.1, 0.1, 0.1])
    assert condition_dead_channels(model) is model
