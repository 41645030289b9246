"""A network whose last layer is int8, with output codes of a range that is easily left."""

from __future__ import annotations

import numpy as np
import tiny
from tvm import relax

from tvm_ondevice_train.model import Model, TensorSpec

SCALES = {"conv.weight": 0.01, "conv.bias": 0.001, "head.weight": 0.02, "head.bias": 0.001}
INPUT, HIDDEN = 0.1, 0.05
CLASSES = 3


def network(output: float = 0.01, seed: int = 0) -> Model:
    """1x1 convolution, ReLU, and a dense layer of 3 outputs, all int8; input (1, 4, 1, 1).

    output : scale of the output codes, whose zero point is 0.
    """
    generator, op = np.random.default_rng(seed), relax.op
    values = {
        "conv.weight": generator.integers(-127, 128, (8, 4, 1, 1), dtype=np.int8),
        "conv.bias": generator.integers(-99, 99, 8, dtype=np.int32),
        "head.weight": generator.integers(-127, 128, (CLASSES, 8, 1, 1), dtype=np.int8),
        "head.bias": generator.integers(-99, 99, CLASSES, dtype=np.int32),
    }

    def layer(emit, data, weight, bias):
        weight = emit(tiny.dequantize(weight, SCALES[weight.name]))
        bias = emit(tiny.dequantize(bias, SCALES[bias.name], dtype="int32"))
        column = emit(op.reshape(bias, (1, -1, 1, 1)))
        return emit(op.add(emit(op.nn.conv2d(data, weight)), column))

    def body(emit, x, *parameters):
        y = emit(op.nn.relu(layer(emit, emit(tiny.dequantize(x, INPUT)), *parameters[:2])))
        y = emit(tiny.dequantize(emit(tiny.quantize(y, HIDDEN, -128)), HIDDEN, -128))
        codes = emit(tiny.quantize(layer(emit, y, *parameters[2:]), output))
        return op.reshape(emit(tiny.dequantize(codes, output)), (1, CLASSES))

    typed = {name: (value.shape, str(value.dtype)) for name, value in values.items()}
    main = tiny.module({"x": ((1, 4, 1, 1), "int8"), **typed}, body)
    return Model("int8_head", main, values, TensorSpec((1, 4, 1, 1), "int8", INPUT, 0))
