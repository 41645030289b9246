"""Functions are called by their layer and by what they do, or what is true for all who call."""

import pytest

from relay_passes.memory.step import Kernel, Step, Task, Tensor
from tvm_ondevice_train.codegen.function_names import Use, function_name, uses_in

OUT = Tensor("t1", (1, 8, 4, 4), "float32", "temporary")
MASK = Tensor("t2", (1, 8, 4, 4), "bool", "temporary")
GRADIENT = Tensor("t3", (8,), "float32", "temporary")


def task(layer, *operators, inputs=(), outputs=(OUT,), operands=()):
    kernel = Kernel(tuple(range(len(inputs))), operators=operators, operands=operands)
    return Task(f"{layer}:kind", "kind", kernel, tuple(inputs), tuple(outputs))


def new(name):
    return Tensor(name, (8,), "float32", "parameter", 1)


@pytest.mark.parametrize(
    "made, does",
    [
        (task("conv1", "conv2d"), "conv2d"),
        (task("conv1", "conv2d", "add", "relu", operands=("data", "bias")), "conv2d_bias_relu"),
        (task("conv1", "conv2d", "add", operands=("data", "right")), "conv2d_add"),
        (task("conv1", "qconv2d", "qadd", operands=("data", "bias")), "conv2d_bias_add"),
        (task("conv1", "qconv2d", outputs=(OUT, MASK)), "conv2d_bias_and_mask"),
        (task("conv1", "dequantize", "conv2d_input_grad", "masked"), "input_grad"),
        (task("conv1", "dequantize"), "dequantize"),
        (task("conv1"), "kind"),
        (task("conv1", "sgd_update", outputs=(new("conv1.weight"),)), "weight_update"),
        (task("conv1", "sgd_update", outputs=(new("conv1.scales"),)), "parameter_update"),
        (task("conv1", *"abcdefgh"), "a_b_c_d"),
    ],
)
def test_what_a_task_does(made, does):
    assert [use.does for use in uses_in(Step((made,)))] == [does]


def test_a_sum_that_an_update_reads_is_the_gradient_of_its_parameter():
    update = task("conv1", "sgd_update", inputs=(GRADIENT,), outputs=(new("conv1.bias"),))
    step = Step((task("conv1", "collapse_sum_to", outputs=(GRADIENT,)), update))
    assert [use.does for use in uses_in(step)] == ["bias_grad", "bias_update"]


@pytest.mark.parametrize(
    "uses, name",
    [
        ([("conv1", "conv2d")], "conv1_conv2d"),
        ([("blocks.0.conv", "conv2d")] * 2, "blocks_0_conv_conv2d"),
        ([("conv1", "conv2d"), ("conv2", "conv2d")], "conv2d"),
        ([("conv1", "weight_update"), ("conv2", "bias_update")], "update"),
        ([("3.depthwise", "conv2d")], "layer_3_depthwise_conv2d"),
    ],
)
def test_names(uses, name):
    assert function_name([Use(*use, "1x8") for use in uses], set()) == name


def test_a_name_that_is_taken_gets_the_shape():
    taken = set()
    shared = [Use("a", "conv2d", "1x8"), Use("b", "conv2d", "1x8")]
    assert [function_name(shared, taken) for _ in range(3)] == [
        "conv2d",
        "conv2d_1x8",
        "conv2d_1x8_2",
    ]
