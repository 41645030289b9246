"""The trained parameters of a project, whole, by name, and whether given ones can be those."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from ..errors import OdtError
from ..files.npz import read_npz
from ..manifest import Manifest, TrainedParameter, check_values

INITIAL = "initial.npz"


def check_parameters(
    given: Mapping[str, np.ndarray], manifest: Manifest, where: str
) -> dict[str, np.ndarray]:
    """`given`, in the order of the manifest, if it is exactly the parameters that train.

    where : what they come from, with which errors begin.

    Raises OdtError for a name, shape, dtype or value that the device cannot have.
    """
    trained = manifest.trained_parameters
    for name in trained:
        if name not in given:
            raise OdtError(f"{where} has no parameter {name}; it holds {listed(given)}")
    for name in given:
        if name not in trained:
            raise OdtError(f"{where} holds {name}, which does not train in this project")
    return {name: _checked(name, given[name], trained[name], where) for name in trained}


def stored_parameters(whole: Mapping[str, np.ndarray], manifest: Manifest) -> dict[str, np.ndarray]:
    """Whole parameters as the device holds them, for `Session.set_parameters`."""
    trained = manifest.trained_parameters
    return {name: trained[name].slice.take(value) for name, value in whole.items()}


def whole_parameters(
    stored: Mapping[str, np.ndarray], manifest: Manifest, directory: str | Path
) -> dict[str, np.ndarray]:
    """What `Session.parameters` gives, whole and in the model's own order.

    directory : of the project, whose initial.npz has what does not train of a parameter.

    Raises OdtError where that file is missing, damaged or of other parameters.
    """
    slices = {name: manifest.trained_parameters[name].slice for name in stored}
    if all(held.is_whole for held in slices.values()):
        return dict(stored)
    path = Path(directory, INITIAL)
    initial = check_parameters(read_npz(path, "export"), manifest, f"export: {path}")
    return {name: slices[name].put(initial[name], value) for name, value in stored.items()}


def _checked(name: str, value: np.ndarray, entry: TrainedParameter, where: str) -> np.ndarray:
    value, shape, dtype = np.asarray(value), entry.whole_shape, entry.dtype
    if value.shape != shape or value.dtype != dtype:
        raise OdtError(
            f"{where}: {name} is {value.dtype} of shape {value.shape}; the project's is {dtype} "
            f"of shape {shape}"
        )
    check_values(value, f"{where}: {name}")
    return value


def listed(names: Iterable[str]) -> str:
    """The first names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return (", ".join(names[:4]) or "nothing") + more


def closest(name: str, names: Iterable[str]) -> str:
    """``; close: NAME`` where there is one."""
    found = get_close_matches(name, list(names), n=1)
    return f"; close: {found[0]}" if found else ""
