"""TFLite (float32, or full int8) through TVM's own importer."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path

from tvm import relax

from relay_passes.graph import shape_of

from ..errors import OdtError
from ..file_forms import FORMS
from ..model import Model
from .canonicalize import Canonicalizer
from .onnx import first_line
from .tflite_codes import input_coding


def load_tflite(path: Path) -> Model:
    """Read a .tflite file. Raises OdtError for anything that cannot be compiled."""
    import tflite

    function = _import(path)
    inputs = list(function.params)
    if len(inputs) != 1:
        raise OdtError(f"{path.name}: the model has {len(inputs)} inputs; exactly one is supported")
    try:
        batch = shape_of(inputs[0])[0]
    except (TypeError, AttributeError):
        raise OdtError(f"{path.name}: the input has a dynamic shape; make it static") from None
    if batch != 1:
        raise OdtError(f"{path.name}: the input has batch {batch}; export the model with batch 1.")
    coding = input_coding(tflite.Model.GetRootAsModel(path.read_bytes(), 0))
    canonicalizer = Canonicalizer(path.stem, function, {}, FORMS, input_coding=coding)
    return canonicalizer.run(inputs[0])


def _import(path: Path) -> relax.Function:
    import tflite
    import tvm
    from tvm.relax.frontend.tflite import from_tflite

    from .tflite_operators import one_operator_each

    data = path.read_bytes()
    if len(data) < 8 or data[4:8] != b"TFL3":
        raise OdtError(f"{path.name}: not a TFLite file (its identifier is missing)")
    try:
        with warnings.catch_warnings(), one_operator_each():
            warnings.simplefilter("ignore")
            return from_tflite(tflite.Model.GetRootAsModel(data, 0))["main"]
    except (tvm.error.OpNotImplemented, NotImplementedError) as error:
        raise OdtError(f"{path.name}: {first_line(error)}") from None
    except (struct.error, IndexError, TypeError, MemoryError):
        raise OdtError(f"{path.name}: the file is truncated or corrupt") from None
    except Exception as error:  # TVM's importer raises many types for a malformed graph
        raise OdtError(f"{path.name}: TVM could not import it ({first_line(error)})") from None
