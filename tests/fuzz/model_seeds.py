"""Small model files of every kind, to be damaged: float and int8, with the usual layers."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping

import numpy as np
from onnx import TensorProto, helper, numpy_helper


def seeds(kind: str) -> Mapping[str, bytes]:
    """Name -> content of the files whose suffix is `kind`: "onnx", "tflite" or "pt2"."""
    return {"onnx": _onnx, "tflite": _tflite, "pt2": _pt2}[kind]()


def _onnx() -> dict[str, bytes]:
    return {"float": _float_onnx(), "int8": _int8_onnx(), "dense": _dense_onnx()}


def _values(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(0, 0.3, shape).astype(np.float32)


def _file(nodes, shape, tensors: Mapping[str, np.ndarray]) -> bytes:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ("n", 3))
    constants = [numpy_helper.from_array(value, name) for name, value in tensors.items()]
    graph = helper.make_graph(nodes, "net", [x], [y], constants)
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()


def _float_onnx() -> bytes:
    node = helper.make_node
    norm = ["gamma", "beta", "mean", "variance"]
    nodes = [
        node(
            "Conv", ["x", "w", "b"], ["c"], kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[1, 1]
        ),
        node("BatchNormalization", ["c", *norm], ["n"], epsilon=1e-5),
        node("Relu", ["n"], ["r"]),
        node("MaxPool", ["r"], ["m"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", ["m", "d"], ["k"], group=4, pads=[1, 1, 1, 1], dilations=[1, 1]),
        node("Clip", ["k", "low", "high"], ["l"]),
        node("Add", ["l", "m"], ["s"]),
        node("GlobalAveragePool", ["s"], ["g"]),
        node("Flatten", ["g"], ["f"], axis=1),
        node("Gemm", ["f", "fc", "fb"], ["z"], transB=1, alpha=1.0, beta=1.0),
        node("Softmax", ["z"], ["y"], axis=1),
    ]
    tensors = {
        **{"w": _values(4, 2, 3, 3), "b": _values(4), "d": _values(4, 1, 3, 3)},
        **{
            "gamma": _values(4),
            "beta": _values(4),
            "mean": _values(4),
            "variance": _values(4) ** 2,
        },
        **{"low": np.float32(0), "high": np.float32(6), "fc": _values(3, 4), "fb": _values(3)},
    }
    return _file(nodes, (1, 2, 6, 6), tensors)


def _int8_onnx() -> bytes:
    node = helper.make_node
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["xq"]),
        node("DequantizeLinear", ["xq", "s", "z"], ["xd"]),
        node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], axis=0),
        node("DequantizeLinear", ["b", "bs", "bz"], ["bd"], axis=0),
        node("Conv", ["xd", "wd", "bd"], ["c"], strides=[2, 2]),
        node("Relu", ["c"], ["r"]),
        node("QuantizeLinear", ["r", "s", "z"], ["rq"]),
        node("DequantizeLinear", ["rq", "s", "z"], ["rd"]),
        node("AveragePool", ["rd"], ["a"], kernel_shape=[2, 2]),
        node("Reshape", ["a", "shape"], ["f"]),
        node("MatMul", ["f", "fc"], ["y"]),
    ]
    tensors = {
        **{"s": np.float32(0.05), "z": np.int8(-3), "shape": np.array([1, 3], np.int64)},
        **{"w": (_values(3, 2, 3, 3) * 100).astype(np.int8), "b": np.arange(3, dtype=np.int32)},
        **{"ws": np.float32([0.01, 0.02, 0.03]), "wz": np.zeros(3, np.int8)},
        **{"bs": np.float32([5e-4, 1e-3, 1.5e-3]), "bz": np.zeros(3, np.int32)},
        "fc": _values(3, 3),
    }
    return _file(nodes, (1, 2, 5, 5), tensors)


def _dense_onnx() -> bytes:
    node = helper.make_node
    nodes = [
        node("Transpose", ["x"], ["t"], perm=[0, 2, 1]),
        node("Reshape", ["t", "shape"], ["f"]),
        node("MatMul", ["f", "w"], ["m"]),
        node("Add", ["m", "b"], ["a"]),
        node("LeakyRelu", ["a"], ["l"], alpha=0.1),
        node("Concat", ["l", "m"], ["k"], axis=1),
        node("Mul", ["k", "scale"], ["u"]),
        node("Gemm", ["u", "fc"], ["y"]),
    ]
    tensors = {"shape": np.array([1, 6], np.int64), "w": _values(6, 4), "b": _values(4)}
    tensors |= {"scale": _values(8), "fc": _values(8, 3)}
    return _file(nodes, (1, 2, 3), tensors)


def _tflite() -> dict[str, bytes]:
    from tflite_files import gelu_options, one_operator
    from tflite_network import network

    relu, tanh, prelu, gelu, add = 19, 28, 54, 150, 0
    image = (1, 4, 4, 2)
    return {
        "float": network(int8=False),
        "int8": network(int8=True),
        "relu": one_operator(relu, image),
        "tanh": one_operator(tanh, (1, 4)),
        "prelu": one_operator(prelu, image, _values(1, 1, 2)),
        "gelu": one_operator(gelu, (1, 4), options=gelu_options(True)),
        "add": one_operator(add, (1, 4), _values(1, 4)),
    }


def _pt2() -> dict[str, bytes]:
    import torch
    from torch import nn

    torch.manual_seed(0)
    image = nn.Sequential(
        *(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)),
    )
    dense = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3), nn.Softmax(1))
    return {
        "image": _exported(image, torch.ones(1, 2, 6, 6)),
        "dense": _exported(dense, torch.ones(1, 4)),
    }


def _exported(network, sample) -> bytes:
    import torch

    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(network.eval(), (sample,)), content)
    return content.getvalue()
