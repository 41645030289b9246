"""The program that a file was made for, as the oracle of what we make of it.

Each is optional. It runs the file as it stands, without optimisations of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import OdtError, one_line
from ..model import TensorSpec

if TYPE_CHECKING:
    import onnx
    from ai_edge_litert.interpreter import Interpreter
    from torch.export import ExportedProgram


@dataclass(frozen=True)
class Reference:
    """``run(sample)`` gives the file's output for one sample.

    The sample has the file's own shape, batch axis and dtype; of an int8 input that our model reads
    as codes, these codes as the file has them. The result is real: codes times their scale.

    name : the program and its version.
    step : what one code of the output is worth; None for a float32 output.
    """

    name: str
    run: Callable[[np.ndarray], np.ndarray]
    input_dtype: str
    step: float | None = None

    def sample_of(self, code: np.ndarray, spec: TensorSpec) -> np.ndarray:
        """A sample as our device reads it -> as this program reads it."""
        if self.input_dtype == "uint8":
            return (code.astype(np.int16) + 128).astype(np.uint8)
        if spec.dtype == self.input_dtype:
            return code
        assert spec.scale is not None, "where a file's input is float32 its codes have a scale"
        real = (code.astype(np.float32) - np.float32(spec.zero_point)) * np.float32(spec.scale)
        return real.astype(self.input_dtype)


def reference_of(source: Any) -> Reference:
    """That of a path or an exported program which `load` has accepted.

    Raises ImportError, saying what to install, where it is not at hand, and OdtError where it
    refuses the file.
    """
    if hasattr(source, "graph_signature"):
        return _torch(source)
    path = Path(source)
    make = {".onnx": _onnx_runtime, ".tflite": _litert, ".pt2": _torch_file}[path.suffix]
    try:
        return make(path)
    except (ImportError, OdtError):
        raise
    except Exception as error:  # each raises types of its own
        raise OdtError(f"{path.name}: its own program refuses it ({one_line(error)})") from None


def _onnx_runtime(path: Path) -> Reference:
    try:
        import onnxruntime
    except ImportError:
        raise ImportError("ONNX Runtime is not installed (pip install onnxruntime)") from None
    import onnx

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    source, result = session.get_inputs()[0], session.get_outputs()[0]
    is_codes = "int8" in result.type
    scale, zero = _onnx_codes(onnx.load(path), result.name) if is_codes else (1.0, 0)

    def run(sample: np.ndarray) -> np.ndarray:
        return (session.run(None, {source.name: sample})[0].astype(np.float64) - zero) * scale

    kinds = {"tensor(float)": "float32", "tensor(int8)": "int8", "tensor(uint8)": "uint8"}
    name = f"ONNX Runtime {onnxruntime.__version__}"
    return Reference(name, run, kinds[source.type], scale if is_codes else None)


def _onnx_codes(proto: onnx.ModelProto, output: str) -> tuple[float, int]:
    """Scale and zero point of an output that a QuantizeLinear gives."""
    import onnx

    tensors = {tensor.name: tensor for tensor in proto.graph.initializer}
    last = next(node for node in proto.graph.node if output in node.output)
    pair = [onnx.numpy_helper.to_array(tensors[name]) for name in last.input[1:3]]
    return float(pair[0]), int(pair[1]) if len(pair) > 1 else 0


def _litert(path: Path) -> Reference:
    from importlib.metadata import version

    kernels, interpreter = _interpreter(path)
    source, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    if source["shape"].size and source["shape_signature"][0] == -1:
        interpreter.resize_tensor_input(source["index"], [1, *source["shape"][1:]])
    interpreter.allocate_tensors()
    scale, zero = result["quantization"]
    is_codes = np.issubdtype(result["dtype"], np.integer)

    def run(sample: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(source["index"], sample)
        interpreter.invoke()
        output = interpreter.get_tensor(result["index"]).astype(np.float64)
        return (output - zero) * scale if is_codes else output

    return Reference(
        f"LiteRT {version('ai-edge-litert')}, {kernels}",
        run,
        np.dtype(source["dtype"]).name,
        float(scale) if is_codes else None,
    )


def _interpreter(path: Path) -> tuple[str, Interpreter]:
    """With reference kernels, which lack some operators, else with optimized ones."""
    try:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType
    except ImportError:
        raise ImportError("LiteRT is not installed (pip install ai-edge-litert)") from None

    def interpreter(resolver: Any) -> Any:
        return Interpreter(str(path), experimental_op_resolver_type=resolver, num_threads=1)

    try:
        return "reference kernels", interpreter(OpResolverType.BUILTIN_REF)
    except ValueError:
        resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        return "optimized kernels", interpreter(resolver)


def _torch_file(path: Path) -> Reference:
    from ..frontend.torch.archive import read_pt2

    return _torch(read_pt2(path))


def _torch(program: ExportedProgram) -> Reference:
    import torch

    module = program.module()

    def run(sample: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            output = module(torch.from_numpy(sample))
        return (output[0] if isinstance(output, tuple) else output).double().numpy()

    return Reference(f"PyTorch {torch.__version__}", run, "float32")
