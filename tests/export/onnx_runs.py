"""Exported models in ONNX Runtime, and loaded again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime

import tvm_ondevice_train as odt
from tvm_ondevice_train.export.onnx_writer import onnx_bytes
from tvm_ondevice_train.model import Model

# how ONNX Runtime computes between codes -> what it may make of the graph
LEVELS = {
    "QDQ in float32": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "integer kernels": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
}


def outputs(file: bytes | Path | onnx.ModelProto, samples, level="QDQ in float32") -> np.ndarray:
    """What ONNX Runtime gives for each sample (no batch axis), in an array (N, elements)."""
    if isinstance(file, onnx.ModelProto):
        file = file.SerializeToString()
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = LEVELS[level]
    # int8 stays int8: the products of uint8 with int8 saturate on x86 without VNNI
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(file if isinstance(file, bytes) else str(file), options)
    name = session.get_inputs()[0].name
    return np.stack([session.run(None, {name: s[None]})[0].reshape(-1) for s in samples])


def loaded_again(model: Model, directory: Path) -> Model:
    """`model`, exported and loaded."""
    path = directory / f"{model.name}.onnx"
    path.write_bytes(onnx_bytes(model))
    return odt.load(path)
