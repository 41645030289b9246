"""TFLite (float32, or full int8) through TVM's own importer."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from tvm import relax

from ...errors import ModelError, OdtError, last_line
from ...file_forms import FORMS
from ...model import Model
from ..canonicalize import Canonicalizer
from .accepted import inspect_tflite
from .codes import input_coding
from .file import read_tflite

if TYPE_CHECKING:
    import tflite


def load_tflite(path: Path) -> Model:
    """Read a .tflite file. Raises OdtError for anything that cannot be compiled.

    A batch that is free is 1, as which converters write it.
    """
    model = read_tflite(path)
    obstacles = inspect_tflite(model)
    if obstacles:
        raise ModelError(path.name, obstacles)
    function = _import(path.name, model)
    coding = input_coding(model)
    canonicalizer = Canonicalizer(path.stem, function, {}, FORMS, input_coding=coding)
    return canonicalizer.run(function.params[0])


def _import(name: str, model: tflite.Model) -> relax.Function:
    from tvm.relax.frontend.tflite import from_tflite

    from ..places import tflite_places
    from .operators import one_operator_each

    catch = warnings.catch_warnings()
    with tflite_places() as place, catch, one_operator_each(model):
        warnings.simplefilter("ignore")
        try:
            return from_tflite(model)["main"]
        except Exception as error:  # TVM's importer raises many types
            reason = f"TVM could not import it ({last_line(error)})"
            raise OdtError(f"{name}: {place.words}: {reason}") from None
