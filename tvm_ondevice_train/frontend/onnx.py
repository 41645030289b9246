"""ONNX (float32, or int8 in QDQ form) through TVM's own importer."""

from __future__ import annotations

import warnings
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tvm import relax

from ..errors import ModelError, OdtError
from ..file_forms import FORMS
from ..model import Model
from .canonicalize import Canonicalizer
from .quantized_values import parameters_of

if TYPE_CHECKING:
    import onnx


def load_onnx(path: Path) -> Model:
    """Read an .onnx file. Raises OdtError for anything that cannot be compiled."""
    from .onnx_file import read_onnx

    return load_onnx_proto(read_onnx(path), path.name)


def load_onnx_proto(proto: onnx.ModelProto, name: str) -> Model:
    """Read a model that is in memory. `name` is what errors begin with, the model's with a suffix.

    Raises ModelError, with everything that cannot be compiled, or OdtError.
    """
    from .onnx_graph import Graph
    from .onnx_inspection import Inspection

    inspected = Inspection(proto)
    if inspected.obstacles:
        raise ModelError(name, inspected.obstacles)
    graph = Graph(inspected)
    function = _import(name, graph.model)
    parameters = parameters_of(name, function, graph.parameters.__getitem__)
    canonicalizer = Canonicalizer(
        Path(name).stem, function, parameters, FORMS, locate=lambda kind: _nodes(proto, kind)
    )
    return canonicalizer.run(function.params[0])


def _import(name: str, proto: onnx.ModelProto) -> relax.Function:
    from tvm.relax.frontend.onnx import from_onnx, onnx_frontend

    from .onnx_operators import one_operator_each
    from .replaced import replaced

    class Importer(onnx_frontend.ONNXGraphImporter):
        """TVM's, which remembers where it is."""

        where = "the graph"

        def _convert_operator(self, kind: str, inputs: Any, attributes: Any, opset: int) -> Any:
            Importer.where = attributes["tvm_custom"]["name"]
            return super()._convert_operator(kind, inputs, attributes, opset)

    try:
        with (
            warnings.catch_warnings(),
            redirect_stdout(StringIO()),
            one_operator_each(),
            replaced(onnx_frontend, ONNXGraphImporter=Importer),
        ):
            warnings.simplefilter("ignore")
            module = from_onnx(proto, keep_params_in_input=True)
    except Exception as error:  # TVM's importer raises many types
        reason = f"TVM could not import it ({first_line(error)})"
        raise OdtError(f"{name}: {Importer.where}: {reason}") from None
    return module["main"]


# Relax operators by another name than ONNX's, lower case and without underscores
_ONNX = {
    "astype": "Cast",
    "avgpool1d": "AveragePool",
    "avgpool2d": "AveragePool",
    "batchnorm": "BatchNormalization",
    "conv1d": "Conv",
    "conv2d": "Conv",
    "dequantize": "DequantizeLinear",
    "divide": "Div",
    "expanddims": "Unsqueeze",
    "maxpool1d": "MaxPool",
    "maxpool2d": "MaxPool",
    "maximum": "Max",
    "mean": "ReduceMean",
    "minimum": "Min",
    "multiply": "Mul",
    "negative": "Neg",
    "permutedims": "Transpose",
    "quantize": "QuantizeLinear",
    "subtract": "Sub",
}


def _nodes(proto: onnx.ModelProto, kind: str) -> str | None:
    """Which nodes of the file are of `kind`, an operator's name in ONNX or Relax; None if none."""
    plain = kind.replace("_", "").lower()
    onnx_kind = _ONNX.get(plain, plain).lower()
    names = [n.name or n.output[0] for n in proto.graph.node if n.op_type.lower() == onnx_kind]
    if not names:
        return None
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f'node "{names[0]}"{more}'


def first_line(error: Exception) -> str:
    """What TVM says last, which is what went wrong; its traces come before."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[-1] if lines else type(error).__name__
    return text if len(text) <= 300 else text[:300].rpartition(" ")[0] + " ..."
