"""The whole C of a small network, kept so that a change of the generator shows as C to review."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
import tiny
from tvm import relax

import tvm_ondevice_train as odt
from tvm_ondevice_train.model import Model, TensorSpec
from tvm_ondevice_train.scheme.update_scheme import Channels, UpdateScheme

GOLDEN = Path(__file__).with_name("golden")
HINT = "if that is right: ODT_REGENERATE=1 python -m pytest tests/codegen/test_golden_c.py"
SHAPE = (1, 4, 6, 6)
SCHEME = UpdateScheme({"project.weight": Channels((1,)), "head.weight": "all"})


def network() -> Model:
    """An int8 depthwise convolution with a ReLU, an int8 1x1 convolution, and a float32 head."""
    op, generator = relax.op, np.random.default_rng(0)
    values = {
        "depthwise.weight": generator.integers(-127, 128, (4, 1, 3, 3), dtype=np.int8),
        "depthwise.bias": generator.integers(-99, 99, 4, dtype=np.int32),
        "project.weight": generator.integers(-127, 128, (8, 4, 1, 1), dtype=np.int8),
        "project.bias": generator.integers(-99, 99, 8, dtype=np.int32),
        "head.weight": generator.normal(size=(3, 8, 1, 1)).astype(np.float32),
        "head.bias": np.zeros(3, np.float32),
    }

    def layer(emit, x, weight, bias, **geometry):
        column = emit(op.reshape(bias, (1, -1, 1, 1)))
        return emit(op.add(emit(op.nn.conv2d(x, weight, **geometry)), column))

    def int8_layer(emit, x, scale, weight, bias, **geometry):
        weight = emit(tiny.dequantize(weight, 0.01))
        bias = emit(tiny.dequantize(bias, 0.01 * scale, dtype="int32"))
        return layer(emit, x, weight, bias, **geometry)

    def requantized(emit, y):
        return emit(tiny.dequantize(emit(tiny.quantize(y, 0.05, -128)), 0.05, -128))

    def body(emit, x, *parameters):
        depthwise, project, head = zip(parameters[::2], parameters[1::2], strict=True)
        x = emit(tiny.dequantize(x, 0.1))
        y = emit(op.nn.relu(int8_layer(emit, x, 0.1, *depthwise, padding=1, groups=4)))
        y = requantized(emit, int8_layer(emit, requantized(emit, y), 0.05, *project))
        return op.reshape(layer(emit, emit(op.mean(y, [2, 3], True)), *head), (1, 3))

    parameters = {name: (value.shape, str(value.dtype)) for name, value in values.items()}
    main = tiny.module({"x": (SHAPE, "int8"), **parameters}, body)
    return Model("golden", main, values, TensorSpec(SHAPE, "int8", 0.1, 0))


@pytest.mark.parametrize("name", ["model.c", "model.h"])
def test_the_c_is_the_golden_one(name):
    text = odt.compile(network(), scheme=SCHEME, board="host").files[name]
    if os.environ.get("ODT_REGENERATE"):
        (GOLDEN / name).write_text(text, encoding="utf-8")
    assert text == (GOLDEN / name).read_text(encoding="utf-8"), HINT


def test_the_kernel_in_the_architecture_is_a_real_one():
    """docs/architecture.md follows the second layer to its C, where only the head trains."""
    document = Path(__file__).resolve().parents[2] / "docs/architecture.md"
    (snippet,) = re.findall(r"```c\n(.*?)```", document.read_text(), re.DOTALL)
    text = odt.compile(network(), scheme="head", board="mps2-an500").files["model.c"]
    known = {line.strip() for line in text.splitlines()}
    assert {line.strip() for line in snippet.splitlines()} <= known
