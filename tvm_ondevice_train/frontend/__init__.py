"""Model files in, canonical Relax out."""

from __future__ import annotations

from pathlib import Path

from ..errors import OdtError
from ..model import Model
from .dead_channels import condition_dead_channels


def load(path) -> Model:
    """Read a trained model: ``.onnx`` (float32, or int8 QDQ) or ``.tflite`` (float32, full int8).

    Raises OdtError, in one line, for a file that is missing, corrupt or cannot be compiled.
    """
    path = Path(path)
    if not path.is_file():
        raise OdtError(f"{path}: no such file")
    if path.suffix == ".onnx":
        from .onnx import load_onnx

        return condition_dead_channels(load_onnx(path))
    if path.suffix == ".tflite":
        from .tflite import load_tflite

        return condition_dead_channels(load_tflite(path))
    raise OdtError(f'{path}: unknown kind of model "{path.suffix}"; .onnx and .tflite can be read')
