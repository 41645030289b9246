"""Kernels know their operators, and operands are called by what they are to them."""

import pytest
import tiny
import tvm
from tvm.relax import op

from relay_passes import LegalizeOps, lowering
from relay_passes.kernel_attributes import OPERATORS, is_cheap, macs
from relay_passes.memory.read_step import read_step
from relay_passes.ops.convolution import conv2d_weight_grad
from relay_passes.ops.masks import masked, positive_mask
from relay_passes.ops.update import sgd_update
from relay_passes.tir import tirx

IMAGE, WEIGHT, CHANNELS = (1, 4, 6, 6), (8, 4, 1, 1), (1, 8, 6, 6)
TYPES = {
    "image": (IMAGE, "float32"),
    "codes": (IMAGE, "int8"),
    "conv.weight": (WEIGHT, "float32"),
    "conv.bias": ((8,), "float32"),
    "dy": (CHANNELS, "float32"),
    "rate": ((), "float32"),
}


def convolution(emit, image, _codes, weight, *_):
    return emit(op.nn.conv2d(image, weight))


def with_bias(emit, image, codes, weight, bias, *_):
    column = emit(op.reshape(bias, (1, 8, 1, 1)))
    return emit(op.add(convolution(emit, image, codes, weight), column))


def residual(emit, image, codes, weight, _bias, dy, _rate):
    return emit(op.add(convolution(emit, image, codes, weight), dy))


def update(emit, image, codes, weight, _bias, dy, rate):
    """What is dequantized is called as by its reader."""
    data, attrs = emit(tiny.dequantize(codes, 0.1)), op.nn.conv2d(image, weight).attrs
    gradient = emit(conv2d_weight_grad(dy, data, WEIGHT, attrs))
    return emit(sgd_update(weight, gradient, rate))


@pytest.mark.parametrize(
    "body, operators, operands",
    [
        (convolution, ["conv2d"], {"image": "data", "conv.weight": "weight"}),
        (
            with_bias,
            ["conv2d", "add"],
            {"image": "data", "conv.weight": "weight", "conv.bias": "bias"},
        ),
        (
            residual,
            ["conv2d", "add"],
            {"image": "data", "conv.weight": "weight", "dy": "right"},
        ),
        (
            update,
            ["dequantize", "conv2d_weight_grad", "sgd_update"],
            {
                **{"codes": "data", "dy": "adjoint"},
                **{"conv.weight": "weight", "rate": "learning_rate"},
            },
        ),
    ],
)
def test_a_kernel_knows_what_it_is_made_of(body, operators, operands):
    step = read_step(lowering()(tiny.module(TYPES, body)))
    kernel, inputs = step.tasks[-1].kernel, step.tasks[-1].inputs
    assert list(kernel.operators) == operators
    assert dict(zip([t.name for t in inputs], kernel.operands, strict=True)) == operands


def test_operands_that_calls_of_one_kernel_name_in_two_ways_have_the_operators_name():
    def body(emit, x, weight, bias):
        return [emit(op.add(x, weight)), emit(op.add(x, bias))]

    types = {name: ((1, 4), "float32") for name in ("x", "a.weight", "a.bias")}
    step = read_step(lowering(fuse=False)(tiny.module(types, body)))
    assert {task.kernel.operands for task in step.tasks} == {("left", "right")}


def test_a_kernel_has_the_costs_that_the_record_of_its_operator_says():
    def body(emit, image, _codes, weight, *_):
        y = emit(op.nn.conv2d(image, weight))
        return emit(op.nn.relu(emit(op.sigmoid(emit(masked(emit(positive_mask(y)), y))))))

    legalized = LegalizeOps()(tiny.module(TYPES, body))
    kernels = [f for _, f in legalized.functions_items() if isinstance(f, tirx.PrimFunc)]
    facts = {str(f.attrs[OPERATORS][0]): (macs(f), is_cheap(f)) for f in kernels}
    assert facts.pop("conv2d") == (8 * 36 * 4, True)
    assert facts.pop("sigmoid") == (0, False)
    assert len(facts) == 3 and set(facts.values()) == {(0, True)}


def test_kernels_of_every_function_have_them():
    module = tiny.module(TYPES, convolution)
    other = tvm.IRModule({"predict": module["main"].with_attr("global_symbol", "predict")})
    (kernel,) = (f for f in LegalizeOps()(other).functions.values() if macs_of_kernel(f))
    assert list(kernel.attrs[OPERATORS]) == ["conv2d"]


def macs_of_kernel(function) -> int:
    return macs(function) if isinstance(function, tirx.PrimFunc) else 0
