"""Learned parameters out of a project or its device, and into the device."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..device.protocol import NO_FLASH, DeviceError
from ..device.replies import Saved
from ..device.session import Session
from ..errors import OdtError
from .learned import check_target, learned_parameters, write
from .reading import read_parameters
from .trained_parameters import stored_parameters, whole_parameters


def export_project(
    directory: str | Path,
    output: str | Path,
    source: str | Path | None = None,
    *,
    saved: bool = False,
    port: str | None = None,
) -> dict[str, np.ndarray]:
    """Write what the project in `directory` learned: FILE.onnx, the model with it, or FILE.npz.

    It is taken from the project's learned.npz, or from `source`, such a file; with `saved` from
    what the device kept in its flash; with `port`, a serial device or socket://HOST:PORT, from the
    board there, as it is now. Returns the parameters by name, whole, in the model's own order.

    Raises OdtError, in one line, for what is missing, does not fit or cannot be written.
    """
    if source is not None and (saved or port is not None):
        raise OdtError("export: give a file or a device, not both")
    check_target(output, directory)
    if saved or port is not None:
        parameters = _of_device(directory, saved, port)
    else:
        parameters = learned_parameters(directory, source)
    write(output, directory, parameters)
    return parameters


def import_project(
    directory: str | Path, path: str | Path, *, port: str | None = None
) -> Saved | None:
    """Bring the parameters in a file, see `read_parameters`, to the device, which saves them.

    Training begins anew with them. None if the board at `port` has no flash to save them in: they
    last until it is reset.
    """
    with Session(directory, port=port) as device:
        start_with(device, directory, path)
        try:
            return device.save()
        except DeviceError as error:
            if error.code == NO_FLASH and port is not None:
                return None
            raise


def start_with(device: Session, directory: str | Path, path: str | Path) -> None:
    """Begin anew on `device`, with the parameters in a file instead of the compiled ones."""
    parameters = read_parameters(path, directory)
    device.reset()
    device.set_parameters(stored_parameters(parameters, device.manifest))


def _of_device(directory: str | Path, saved: bool, port: str | None) -> dict[str, np.ndarray]:
    with Session(directory, port=port) as device:
        if saved:
            device.load()
        return whole_parameters(device.parameters(), device.manifest, directory)
