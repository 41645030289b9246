"""Learned parameters to a file: by name as .npz, or in the model as ONNX."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import numpy_helper

from ..errors import OdtError
from ..files.npz import npz_bytes, read_npz
from ..files.whole_file import write_whole
from ..manifest import read_manifest
from .trained_parameters import check_parameters

MODEL = "model.onnx"
LEARNED = "learned.npz"
SUFFIXES = (".onnx", ".npz")


def learned_parameters(
    directory: str | Path, source: str | Path | None = None
) -> dict[str, np.ndarray]:
    """What training left in the project: every trained parameter, whole, in the model's own order.

    source : an .npz file to read instead of the project's learned.npz.

    Raises OdtError for a file that is missing, was left by another model that the project had, or
    holds other parameters than the project trains.
    """
    path = Path(directory, LEARNED) if source is None else Path(source)
    manifest = read_manifest(directory)
    if source is None and not path.exists():
        raise OdtError(
            f"export: {directory} has no {LEARNED}; train it with `ondevice-train run`, or give a "
            "file with --from"
        )
    if source is None and _run_hash(Path(directory)) not in (None, manifest.model_hash):
        raise OdtError(
            f"export: {path} was learned before {directory} was compiled for another model; train "
            "this one with `ondevice-train run`, or give the file with --from if it belongs to it"
        )
    return check_parameters(read_npz(path, "export"), manifest, f"export: {path}")


def _run_hash(directory: Path) -> int | None:
    """`Manifest.model_hash` of the model that the last run trained; None where that is not said."""
    try:
        return json.loads((directory / "run.json").read_text()).get("model_hash")
    except (OSError, ValueError, AttributeError):
        return None


def merge(directory: str | Path, parameters: Mapping[str, np.ndarray]) -> onnx.ModelProto:
    """The project's model in ONNX with other values of the parameters that train.

    parameters : all of them, whole, as `learned_parameters` gives them.
    """
    manifest = read_manifest(directory)
    values = check_parameters(parameters, manifest, "export: what was learned")
    if manifest.imprinted is not None:
        del values[manifest.imprinted]  # of how many samples a row is the mean: not of the network
    proto = _project_model(Path(directory))
    initializers = {initializer.name: initializer for initializer in proto.graph.initializer}
    for name, value in values.items():
        if name not in initializers:
            raise OdtError(f"export: {directory}/{MODEL} has no {name}; compile the project again")
        initializers[name].CopyFrom(numpy_helper.from_array(np.ascontiguousarray(value), name))
    return proto


def write(path: str | Path, directory: str | Path, parameters: Mapping[str, np.ndarray]) -> None:
    """Write what was learned, all of it or nothing: FILE.onnx by `merge`, FILE.npz by name.

    Raises OdtError for another suffix and for a place that cannot be written.
    """
    path = check_target(path, directory)
    if path.suffix == ".onnx":
        content = merge(directory, parameters).SerializeToString(deterministic=True)
    else:
        manifest = read_manifest(directory)
        content = npz_bytes(check_parameters(parameters, manifest, "export: what was learned"))
    write_whole(path, content, "export")


def check_target(path: str | Path, directory: str | Path) -> Path:
    """The path that `write` would write to, if it can be one."""
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise OdtError(
            f'export: {path}: unknown kind of file "{path.suffix}"; allowed are .onnx (the model '
            "with what was learned) and .npz (the learned parameters by name)"
        )
    if path.resolve().parent == Path(directory).resolve():
        raise OdtError(f"export: {path} lies in the project; choose a place outside of it")
    return path


def _project_model(directory: Path) -> onnx.ModelProto:
    path = directory / MODEL
    try:
        return onnx.load(str(path))
    except FileNotFoundError:
        raise OdtError(f"export: {without_model(directory)}") from None
    except (DecodeError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise OdtError(f"export: cannot read {path} ({reason}); compile it again") from None


def without_model(directory: str | Path) -> str:
    """That the project has no model.onnx, why, and what to do."""
    reason = read_manifest(directory).not_in_onnx
    why = f" ({reason}); take FILE.npz" if reason else "; compile the project again"
    return f"{directory} has no {MODEL}{why}"
