"""Small ONNX files, right in themselves, that cannot be compiled for training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WEIGHT = numpy_helper.from_array(np.ones((4, 3, 3, 3), np.float32), "w")
CONV = helper.make_node("Conv", ["x", "w"], ["c"], name="stem")


def write(path: Path, nodes, inputs, constants=(WEIGHT,)) -> Path:
    """`inputs` maps names to shapes; the output is "y"."""
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()]
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, ("n",))
    graph = helper.make_graph(list(nodes), "net", values, [result], list(constants))
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    return path


def unsupported(path: Path, kind: str) -> Path:
    """A convolution, then a node "odd one" of an operator that has no gradient here."""
    last = helper.make_node(kind, ["c"], ["y"], name="odd one")
    return write(path, [CONV, last], {"x": (1, 3, 8, 8)})


def dynamic(path: Path) -> Path:
    relu = helper.make_node("Relu", ["c"], ["y"])
    return write(path, [CONV, relu], {"x": (1, 3, "height", 8)})


def two_inputs(path: Path) -> Path:
    add = helper.make_node("Add", ["x", "z"], ["y"])
    return write(path, [add], {"x": (1, 4), "z": (1, 4)}, ())


def no_layer(path: Path) -> Path:
    return write(path, [helper.make_node("Relu", ["x"], ["y"])], {"x": (1, 4)}, ())


def two_outputs(path: Path) -> Path:
    model = onnx.load(unsupported(path, "Relu"))
    model.graph.output.append(helper.make_tensor_value_info("c", TensorProto.FLOAT, ("n",)))
    onnx.save(model, path)
    return path


def empty_result(path: Path) -> Path:
    """The convolution's window is wider than the image."""
    wide = helper.make_node("Conv", ["x", "w"], ["y"], dilations=[1, 100])
    return write(path, [wide], {"x": (1, 3, 8, 8)})


def zero_scale(path: Path) -> Path:
    constants = [
        numpy_helper.from_array(np.float32(0), "scale"),
        numpy_helper.from_array(np.int8(0), "zero_point"),
    ]
    nodes = [CONV]
    for kind, source, result in (("Quantize", "c", "q"), ("Dequantize", "q", "y")):
        nodes.append(helper.make_node(f"{kind}Linear", [source, "scale", "zero_point"], [result]))
    return write(path, nodes, {"x": (1, 3, 8, 8)}, [WEIGHT, *constants])


def missing_external_data(path: Path) -> Path:
    """A file whose weights were left behind when it was copied."""
    model = onnx.load(unsupported(path, "Relu"))
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    (path.parent / "weights.bin").unlink()
    return path
