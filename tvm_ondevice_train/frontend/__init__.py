"""Model files in, canonical Relax out."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import OdtError
from ..model import Model
from .check import check_model
from .dead_channels import condition_dead_channels

if TYPE_CHECKING:
    from torch.export import ExportedProgram


def load(source: str | os.PathLike[str] | ExportedProgram) -> Model:
    """Read a trained model.

    source : a path to an .onnx file (float32, or int8/uint8 in QDQ form), a .tflite file (float32,
        or full int8) or a .pt2 file (float32), or a `torch.export.ExportedProgram`.

    Raises OdtError, in one line, for a file that is missing, corrupt or cannot be compiled.
    """
    with _quiet():
        try:
            return check_model(condition_dead_channels(_read(source)))
        except OdtError as error:
            refused = error.with_traceback(None)  # its frames hold what TVM had half built
            refused.__context__ = None
        gc.collect()  # TVM warns as that goes
    raise refused


@contextmanager
def _quiet() -> Iterator[None]:
    """Nothing on standard error: TVM's importers print warnings, also when they are given up."""
    kept = os.dup(2)
    try:
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _read(source: str | os.PathLike[str] | ExportedProgram) -> Model:
    if hasattr(source, "graph_signature"):
        from .torch import load_exported_program

        return load_exported_program(source)
    path = Path(source)
    if not path.is_file():
        raise OdtError(f"{path}: no such file")
    if path.suffix == ".onnx":
        from .onnx import load_onnx

        return load_onnx(path)
    if path.suffix == ".tflite":
        from .tflite import load_tflite

        return load_tflite(path)
    if path.suffix == ".pt2":
        from .torch import load_pt2

        return load_pt2(path)
    raise OdtError(
        f'{path}: unknown kind of model "{path.suffix}"; .onnx, .tflite and .pt2 can be read'
    )
