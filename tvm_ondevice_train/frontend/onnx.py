"""ONNX (float32, or int8 in QDQ form) through TVM's own importer."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from tvm import relax

from ..errors import OdtError
from ..file_forms import FORMS
from ..model import Model
from .canonicalize import Canonicalizer
from .quantized_values import parameters_of

if TYPE_CHECKING:
    import onnx


def load_onnx(path: Path) -> Model:
    """Read an .onnx file. Raises OdtError for anything that cannot be compiled."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        proto = onnx.load(str(path))
        onnx.checker.check_model(proto)
    except (DecodeError, UnicodeDecodeError, onnx.checker.ValidationError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise OdtError(f"{path.name}: not a valid ONNX file ({reason})") from None
    if not proto.graph.node:
        raise OdtError(f"{path.name}: not a valid ONNX file (it holds no operators)")
    shapes = _static_input(path.name, proto)
    function = _import(path.name, proto, shapes)
    names = {_sanitized(i.name): i.name for i in proto.graph.initializer}
    parameters = parameters_of(path.name, function, lambda name: names.get(_sanitized(name), name))
    return Canonicalizer(path.stem, function, parameters, FORMS).run(function.params[0])


def _import(name: str, proto: onnx.ModelProto, shapes: Mapping[str, list[int]]) -> relax.Function:
    import tvm
    from tvm.relax.frontend.onnx import from_onnx

    from .onnx_operators import one_operator_each
    from .places import onnx_places

    try:
        catch, quiet = warnings.catch_warnings(), redirect_stdout(StringIO())
        with catch, quiet, one_operator_each(), onnx_places():
            warnings.simplefilter("ignore")
            module = from_onnx(proto, shape_dict=shapes, keep_params_in_input=True)
    except (tvm.error.OpNotImplemented, NotImplementedError) as error:
        kinds = re.split(r"[\s,]+", first_line(error).rpartition(":")[2])
        places = [f" ({place})" for kind in kinds if (place := _nodes(proto, kind))]
        raise OdtError(f"{name}: {first_line(error)}{''.join(places)}") from None
    except Exception as error:  # TVM's importer raises many types for a malformed graph
        raise OdtError(f"{name}: TVM could not import it ({first_line(error)})") from None
    return module["main"]


def _nodes(proto: onnx.ModelProto, kind: str) -> str | None:
    """Which nodes of the file are of `kind`, an operator's name in ONNX; None if none."""
    plain = kind.replace("_", "").lower()
    names = [n.name or n.output[0] for n in proto.graph.node if n.op_type.lower() == plain]
    if not names:
        return None
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f'node "{names[0]}"{more}'


def _static_input(name: str, proto: onnx.ModelProto) -> dict[str, list[int]]:
    """Shape of each input; a free batch axis becomes 1, any other free axis is refused."""
    initializers = {i.name for i in proto.graph.initializer}
    shapes = {}
    for graph_input in proto.graph.input:
        if graph_input.name in initializers:
            continue
        dims = graph_input.type.tensor_type.shape.dim
        shape = [d.dim_value if d.HasField("dim_value") else 0 for d in dims]
        if shape and shape[0] == 0:
            shape[0] = 1
        if not shape or 0 in shape:
            raise OdtError(
                f'{name}: input "{graph_input.name}" has the dynamic shape {_dims(dims)}; memory '
                "is planned at compile time, so every axis but the batch must be a number."
            )
        if shape[0] != 1:
            raise OdtError(
                f'{name}: input "{graph_input.name}" has batch {shape[0]}; training runs one '
                "sample a step. Export the model with batch 1."
            )
        shapes[graph_input.name] = shape
    return shapes


def _dims(dims: Iterable[onnx.TensorShapeProto.Dimension]) -> str:
    return "(" + ", ".join(str(d.dim_value or d.dim_param or "?") for d in dims) + ")"


def _sanitized(name: str) -> str:
    return "".join(ch if ch.isalnum() else "_" for ch in name)


def first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:200]
