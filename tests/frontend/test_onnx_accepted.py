"""Every operator and attribute on the list of what is accepted, against ONNX Runtime."""

import numpy as np
import pytest
from onnx_cases import model, node, normal

pytest.importorskip("onnxruntime")

K = {"k": normal(3, 1, 1)}
ROW = (1, 8)
W = {"w": normal(4, 3, 3, 3), "b": normal(4)}
G = {"w": normal(8, 5), "b": normal(5)}
NORM = {"s": normal(3), "b": normal(3), "m": normal(3), "v": normal(3) ** 2 + 0.1}
SCALE = {"s": np.float32(0.05), "z": np.int8(3)}

UNARY = ("Abs", "Erf", "Exp", "HardSwish", "Mish", "Neg", "Reciprocal", "Relu", "Sigmoid")
UNARY += ("Softplus", "Softsign", "Tanh", "GlobalAveragePool", "Identity", "Dropout", "Elu", "Selu")
UNARY += ("HardSigmoid", "LeakyRelu", "Softmax", "LogSoftmax", "Flatten", "Transpose", "Gelu")


def cases():
    for kind in UNARY:
        yield model([node(kind)])
    for kind in ("Log", "Sqrt"):
        yield model([node("Exp"), node(kind, "e")][1:], constants=None) if False else positive(kind)
    for kind in ("Add", "Sub", "Mul", "Div", "Max", "Min", "PRelu"):
        yield model([node(kind, "x", "k")], constants=K)
    for kind in ("Add", "Sub", "Mul", "Div", "Max", "Min"):
        yield model([node(kind, "k", "x")], constants=K)
        yield model([node(kind, "x", "x")])
    yield model([node("Add", "x", "k", axis=1)], constants={"k": normal(3)}, opset=6)


def positive(kind):
    return model([named(node("Exp"), "e"), node(kind, "e")])


def named(made, result):
    made.output[0] = result
    return made
