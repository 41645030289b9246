"""Parameters for a device from a file: .npz, or a model in any form that can be compiled.

A model may be one that `export` wrote, or the source model itself, retrained elsewhere. What the
device cannot take over with the parameters must be the project's already: scales and frozen
parameters lie in its program.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import OdtError
from ..files.npz import read_npz
from ..manifest import read_manifest
from .learned import MODEL, without_model
from .trained_parameters import check_parameters, closest, listed

if TYPE_CHECKING:  # which takes TVM with it
    from ..model import Model

_AGAIN = "compile the file as a project of its own"


def read_parameters(path: str | Path, directory: str | Path) -> dict[str, np.ndarray]:
    """Every parameter that trains in the project, whole, in the model's own order, from a file.

    path : .npz with these parameters by name, as `run` and `export` write it; or a model (.onnx,
        .tflite, .pt2) that differs from the project's in nothing but their values.

    Raises OdtError, in one line, for anything else.
    """
    path, manifest = Path(path), read_manifest(directory)
    if path.suffix == ".npz":
        given = read_npz(path, "import")
    elif manifest.imprinted is not None:
        raise OdtError(
            f"import: {path}: a model does not say how many samples each row of a cosine head is "
            "the mean of; take the .npz that `run` and `export` write"
        )
    else:
        given = _of_model(path, Path(directory, MODEL), manifest.trained_parameters)
    return check_parameters(given, manifest, f"import: {path}")


def _of_model(path: Path, own_path: Path, trained: Collection[str]) -> dict[str, np.ndarray]:
    """The trained parameters of a model that is the project's in everything else."""
    from ..frontend import load  # here: it loads TVM

    if not own_path.is_file():
        raise OdtError(f"import: {without_model(own_path.parent)}")
    own = load(own_path)
    given = _with_same_head(load(path), own)
    _check_names(given, own, path)
    for name in own.parameters:
        _check_parameter(name, given, own, name in trained, path)
    if _quantizations(given) != _quantizations(own):
        raise OdtError(
            f"import: {path}: its activations have other scales or zero points than the project's, "
            f"which lie in the device's program; {_AGAIN}"
        )
    return {name: given.parameters[name] for name in trained}


def _with_same_head(given: Model, own: Model) -> Model:
    """`given`, its int8 head as float32 where that is how the project computes it."""
    from ..float_head import int8_head, with_float_head

    head = int8_head(given)
    carried = head and all(name in own.parameters and name not in own.scales for name in head)
    return with_float_head(given) if carried else given


def _check_names(given: Model, own: Model, path: Path) -> None:
    missing = [name for name in own.parameters if name not in given.parameters]
    if missing:
        raise OdtError(
            f"import: {path} has no parameter {missing[0]}{closest(missing[0], given.parameters)}; "
            f"the project's model has {listed(own.parameters)}"
        )
    foreign = [name for name in given.parameters if name not in own.parameters]
    if foreign:
        raise OdtError(
            f"import: {path} has parameters that the project's model has not: {listed(foreign)}"
        )


def _check_parameter(name: str, given: Model, own: Model, trains: bool, path: Path) -> None:
    value, wanted = given.parameters[name], own.parameters[name]
    if value.shape != wanted.shape or value.dtype != wanted.dtype:
        raise OdtError(
            f"import: {path}: {name} is {value.dtype} of shape {value.shape}; the project's is "
            f"{wanted.dtype} of shape {wanted.shape}"
        )
    for what, theirs, ours in (
        ("scale", given.scales, own.scales),
        ("zero point", given.zero_points, own.zero_points),
    ):
        if not _same(theirs.get(name), ours.get(name)):
            raise OdtError(
                f"import: {path}: {name} has another {what} than the project's, which lies in the "
                f"device's program; quantize with the {what}s of the project's {MODEL}, or {_AGAIN}"
            )
    if not trains and not np.array_equal(value, wanted):
        raise OdtError(
            f"import: {path}: {name} differs from the project's, but does not train there and "
            f"lies in the device's flash; {_AGAIN}"
        )


def _same(given: np.ndarray | None, own: np.ndarray | None) -> bool:
    if given is None or own is None:
        return given is own
    return np.array_equal(given, own)


def _quantizations(model: Model) -> list[tuple[float, int]]:
    """Scale and zero point of the input's codes and of all that are made from real values."""
    from relay_passes.graph import bindings_of, constant_value, is_call_of

    calls = [binding.value for binding in bindings_of(model.module["main"])]
    made = [call.args[1:3] for call in calls if is_call_of(call, "relax.quantize")]
    found = [(constant_value(scale).item(), constant_value(zero).item()) for scale, zero in made]
    if model.input.scale is not None and model.input.zero_point is not None:
        found.append((model.input.scale, model.input.zero_point))
    return sorted(found)
