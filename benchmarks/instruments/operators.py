"""Int8 models around one operator, as ONNX in QDQ form with random weights.

The operator is followed by a mean and a small float head, so that it is frozen and its result is
quantized, as in the middle of a network.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SCALE = 0.05  # of every activation; real ones differ, which no kernel's instructions depend on
CLASSES = 2


@dataclass(frozen=True)
class Operator:
    """A convolution of a square map with padding that keeps its size, or a residual add."""

    size: int
    channels: int
    outputs: int
    kernel: int = 1
    depthwise: bool = False
    add: bool = False


OPERATORS = {
    "1x1 16x16x48->96": Operator(16, 48, 96),
    "depthwise 3x3 16x16x96": Operator(16, 96, 96, kernel=3, depthwise=True),
    "3x3 16x16x32->32": Operator(16, 32, 32, kernel=3),
    "residual add 16x16x48": Operator(16, 48, 48, add=True),
}


def write_model(operator: Operator, path: Path) -> Path:
    """Write the model around `operator` to `path` and return it."""
    graph = _Graph()
    x = graph.quantized("x")
    y = graph.residual(x, operator) if operator.add else graph.convolution(x, "operator", operator)
    mean = graph.node("GlobalAveragePool", y)
    features = graph.node("Flatten", graph.quantized(mean), axis=1)
    head = graph.generator.normal(size=(operator.outputs, CLASSES)).astype(np.float32)
    graph.value("head.weight", head)
    graph.node("Gemm", features, "head.weight", output="y")
    shape = [1, operator.channels, operator.size, operator.size]
    proto = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "operator",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, CLASSES])],
            graph.values,
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.checker.check_model(proto)
    onnx.save(proto, path)
    return path


class _Graph:
    """Nodes and initializers so far; methods add some and return the name of the result."""

    def __init__(self):
        self.nodes, self.values = [], []
        self.generator = np.random.default_rng(0)

    def node(self, kind: str, *inputs: str, output: str | None = None, **attributes) -> str:
        output = output or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def value(self, name: str, array: np.ndarray) -> str:
        self.values.append(numpy_helper.from_array(array, name))
        return name

    def scale(self, name: str, scale, dtype=np.int8) -> tuple[str, str]:
        """Names of the scale and the zero point of the tensor `name`."""
        scale = np.float32(scale)
        names = self.value(f"{name}.scale", scale), f"{name}.zero_point"
        self.value(names[1], np.zeros(scale.shape, dtype))
        return names

    def quantized(self, name: str) -> str:
        """The real tensor `name`, rounded to its codes."""
        scale = self.scale(name, SCALE)
        return self.node("DequantizeLinear", self.node("QuantizeLinear", name, *scale), *scale)

    def convolution(self, x: str, name: str, operator: Operator) -> str:
        inputs = 1 if operator.depthwise else operator.channels
        shape = (operator.outputs, inputs, operator.kernel, operator.kernel)
        codes = self.generator.integers(-127, 128, shape).astype(np.int8)
        scales = self.generator.uniform(0.5, 1, operator.outputs) / (74 * np.sqrt(codes[0].size))
        bias = self.generator.integers(-1000, 1000, operator.outputs).astype(np.int32)
        weight, bias = (
            self.node(
                "DequantizeLinear",
                self.value(parameter, codes),
                *self.scale(parameter, scale, codes.dtype),
                axis=0,
            )
            for parameter, codes, scale in (
                (f"{name}.weight", codes, scales),
                (f"{name}.bias", bias, scales * np.float32(SCALE)),
            )
        )
        pads = [operator.kernel // 2] * 4
        group = operator.channels if operator.depthwise else 1
        return self.quantized(self.node("Conv", x, weight, bias, pads=pads, group=group))

    def residual(self, x: str, operator: Operator) -> str:
        """A sum of its own kernel: what its operands come from has other readers too."""
        a = self.convolution(x, "first", operator)
        b = self.convolution(a, "second", operator)
        total = self.quantized(self.node("Add", a, b))
        after = self.convolution(total, "third", operator)
        return self.quantized(self.node("Add", after, b))
