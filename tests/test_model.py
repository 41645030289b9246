"""What a model says of itself."""

import numpy as np
import pytest
from onnx import helper
from onnx_cases import model, node, normal

import tvm_ondevice_train as odt
from tvm_ondevice_train.frontend.onnx import load_onnx_proto

WEIGHTS = {"w": normal(3, 3, 1, 1), "k": normal(6, 6), "shape": np.array([1, 2, 3])}


def of_a_sample_as_bias():
    conv = helper.make_node("Conv", ["x", "w"], ["c"])
    return model([conv, node("Add", "c", "x")], (1, 3, 2, 2), WEIGHTS)


def of_data_times_data():
    nodes = [
        helper.make_node("MatMul", ["x", "k"], ["m"]),
        helper.make_node("Reshape", ["m", "shape"], ["r"]),
        helper.make_node("Transpose", ["r"], ["t"], perm=[0, 2, 1]),
        node("MatMul", "r", "t"),
    ]
    return model(nodes, (1, 6), WEIGHTS)


@pytest.mark.parametrize("proto", [of_a_sample_as_bias(), of_data_times_data()], ids=["add", "mm"])
def test_parameters_of_layers_are_the_models(proto):
    loaded = load_onnx_proto(proto, "net.onnx")
    named = {name for layer in loaded.layers for name in layer.parameters}
    assert named == set(loaded.parameters)
    compiled = odt.compile(loaded, scheme="full", loss="mse", board="host")
    assert compiled.initial.keys() == named
