"""Model files in, canonical Relax out."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import OdtError, last_line, one_line
from ..model import Model
from .check import check_model
from .dead_channels import condition_dead_channels
from .other_files import advice

if TYPE_CHECKING:
    from typing import TypeAlias

    import onnx
    import torch

    Source: TypeAlias = (
        str | os.PathLike[str] | torch.export.ExportedProgram | torch.nn.Module | onnx.ModelProto
    )


def load(source: Source, example: torch.Tensor | None = None) -> Model:
    """Read a trained model.

    source : a path to an .onnx file (float32, or int8/uint8 in QDQ form), a .tflite file (float32,
        or full int8) or a .pt2 file (float32); or a `torch.export.ExportedProgram`, an
        `onnx.ModelProto`, or a `torch.nn.Module` in evaluation mode.
    example : an input of the `torch.nn.Module`, of batch 1; it gives the shape.

    Raises OdtError, in one line, for what is missing, damaged or cannot be compiled, and for
    nothing else; a `ModelError` lists all that stands in the way.
    """
    with _quiet():
        try:
            return check_model(condition_dead_channels(_read(source, example)))
        except OdtError as error:
            refusal = error
        except Exception as error:  # whatever a hostile file makes an importer raise
            kind = type(error).__name__
            refusal = OdtError(
                f"{_called(source)}: it could not be read ({kind}: {last_line(error)})"
            )
        refusal.__context__ = refusal.__cause__ = refusal.__traceback__ = None
        gc.collect()  # what TVM had half built: it warns as it goes
    raise refusal


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


def _read(source: Source, example: torch.Tensor | None) -> Model:
    if hasattr(source, "graph_signature"):
        from .torch import load_exported_program

        return load_exported_program(source)
    if hasattr(source, "named_parameters"):
        from .torch import load_module

        return load_module(source, example)
    if not isinstance(source, (str, os.PathLike)):
        from onnx import ModelProto

        from .onnx import load_onnx_proto

        if isinstance(source, ModelProto):
            return load_onnx_proto(source, "model")
        raise OdtError(
            f"a {type(source).__name__} is no model; give the path of a file, an ExportedProgram, "
            "a torch.nn.Module with an example, or an onnx.ModelProto"
        )
    return _read_file(Path(source))


def _read_file(path: Path) -> Model:
    if not path.exists():
        raise OdtError(f"{one_line(str(path))}: no such file")
    kind = path.suffix.lower()
    if path.is_dir() or kind not in (".onnx", ".tflite", ".pt2"):
        raise OdtError(f"{one_line(str(path))}: {advice(path)}")
    if not path.is_file():
        raise OdtError(f"{one_line(str(path))}: it is no file, but a device or a pipe")
    if kind == ".onnx":
        from .onnx import load_onnx

        return load_onnx(path)
    if kind == ".tflite":
        from .tflite import load_tflite

        return load_tflite(path)
    from .torch import load_pt2

    return load_pt2(path)


def _called(source: object) -> str:
    """What messages call `source`."""
    if isinstance(source, (str, os.PathLike)):
        return one_line(Path(source).name)
    return "the model"
