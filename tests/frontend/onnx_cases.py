"""One-operator ONNX models, and what they compute: here, and in ONNX Runtime."""

from __future__ import annotations

import numpy as np
import onnx
import tvm
from onnx import TensorProto, helper, numpy_helper
from tvm import relax

from tvm_ondevice_train.model import Model


def model(
    nodes, shape=(1, 3, 6, 6), constants=None, opset=20, element=TensorProto.FLOAT, domains=()
) -> onnx.ModelProto:
    """From an input "x" of `shape` to an output "y"; constants: name -> array."""
    values = [numpy_helper.from_array(np.asarray(v), n) for n, v in (constants or {}).items()]
    source = helper.make_tensor_value_info("x", element, shape)
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(list(nodes), "case", [source], [result], values)
    imports = [helper.make_opsetid(name, 1) for name in domains]
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset), *imports], ir_version=10
    )


def node(kind, *operands, **attributes) -> onnx.NodeProto:
    """A node that gives "y"; of "x" if nothing else is said."""
    return helper.make_node(kind, operands or ["x"], ["y"], name="the one", **attributes)


def normal(*shape, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def computed(loaded: Model, x: np.ndarray) -> np.ndarray:
    """The model's result, by TVM's own kernels."""
    module = relax.transform.LegalizeOps()(loaded.module)
    target = tvm.target.Target({"kind": "llvm", "opt-level": 0})
    machine = relax.VirtualMachine(tvm.compile(module, target), tvm.cpu())
    operands = [x, *loaded.parameters.values()]
    return machine["main"](*map(tvm.runtime.tensor, operands)).numpy()


def runtime_result(proto: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    """ONNX Runtime's, without its optimizations. Raises what it raises."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options)
    return session.run(None, {"x": x})[0]
