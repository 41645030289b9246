"""A small network as a file, and samples that it can learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CLASSES, MAP_CLASSES = 3, 7


def network(path: Path) -> Path:
    """Two float32 layers, Gemm, Relu, Gemm: 8 inputs, 16 hidden, `CLASSES` outputs."""
    generator = np.random.default_rng(0)
    shapes = {"a.weight": (16, 8), "a.bias": (16,), "b.weight": (CLASSES, 16), "b.bias": (CLASSES,)}
    values = {
        name: generator.normal(size=shape, scale=0.3).astype(np.float32)
        for name, shape in shapes.items()
    }
    nodes = [
        helper.make_node("Gemm", ["x", "a.weight", "a.bias"], ["hidden"], transB=1),
        helper.make_node("Relu", ["hidden"], ["active"]),
        helper.make_node("Gemm", ["active", "b.weight", "b.bias"], ["y"], transB=1),
    ]
    return _saved(path, nodes, (1, 8), (1, CLASSES), values)


def map_network(path: Path) -> Path:
    """One 1x1 convolution: classes of the pixels of a 3x3 image of 2 channels."""
    weight = np.random.default_rng(0).normal(size=(MAP_CLASSES, 2, 1, 1)).astype(np.float32)
    values = {"a.weight": weight, "a.bias": np.zeros(MAP_CLASSES, np.float32)}
    nodes = [helper.make_node("Conv", ["x", *values], ["y"])]
    return _saved(path, nodes, (1, 2, 3, 3), (1, MAP_CLASSES, 3, 3), values)


def _saved(path: Path, nodes, takes, gives, values) -> Path:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, takes)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, gives)],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def data(path: Path, count: int = 300) -> Path:
    """Clouds about a centre for each class; a quarter as many test samples."""
    generator = np.random.default_rng(1)
    centres = generator.normal(size=(CLASSES, 8))

    def drawn(n: int) -> tuple[np.ndarray, np.ndarray]:
        y = generator.integers(0, CLASSES, n)
        x = centres[y] + generator.normal(size=(n, 8), scale=0.7)
        return x.astype(np.float32), y

    (x, y), (x_test, y_test) = drawn(count), drawn(count // 4)
    np.savez(path, x=x, y=y, x_test=x_test, y_test=y_test)
    return path
