"""ONNX (float32, or int8 in QDQ form) through TVM's own importer."""

from __future__ import annotations

import warnings
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from tvm import relax

from ...errors import ModelError, OdtError, last_line
from ...file_forms import FORMS
from ...model import Model
from ..canonicalize import Canonicalizer
from ..quantized_values import parameters_of

if TYPE_CHECKING:
    import onnx


def load_onnx(path: Path) -> Model:
    """Read an .onnx file. Raises OdtError for anything that cannot be compiled."""
    from .file import read_onnx

    return load_onnx_proto(read_onnx(path), path.name)


def load_onnx_proto(proto: onnx.ModelProto, name: str) -> Model:
    """Read a model that is in memory. `name` is what errors begin with, the model's with a suffix.

    Raises ModelError, with everything that cannot be compiled, or OdtError.
    """
    from .graph import Graph
    from .inspection import Inspection

    inspected = Inspection(proto)
    if inspected.obstacles:
        raise ModelError(name, inspected.obstacles)
    graph = Graph(inspected)
    function = _import(name, graph.model)
    parameters = parameters_of(name, function, graph.parameters.__getitem__)
    canonicalizer = Canonicalizer(Path(name).stem, function, parameters, FORMS)
    canonicalizer.computed_from({var: graph.origins.get(var.name, ()) for var in parameters})
    return canonicalizer.run(function.params[0])


def _import(name: str, proto: onnx.ModelProto) -> relax.Function:
    from tvm.relax.frontend.onnx import from_onnx

    from ..places import onnx_places
    from .operators import one_operator_each

    catch, quiet = warnings.catch_warnings(), redirect_stdout(StringIO())
    with onnx_places() as place, catch, quiet, one_operator_each():
        warnings.simplefilter("ignore")
        try:
            return from_onnx(proto, keep_params_in_input=True)["main"]
        except Exception as error:  # TVM's importer raises many types
            reason = f"TVM could not import it ({last_line(error)})"
            raise OdtError(f"{name}: {place.words}: {reason}") from None
