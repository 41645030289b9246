"""Arrays by name in an .npz file."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..errors import OdtError


def npz_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """What `numpy.load` reads as these arrays; the same arrays give the same bytes.

    `numpy.savez` takes names as keywords and so refuses an array that is called "file".
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.asanyarray(array), allow_pickle=False)
    return buffer.getvalue()


def read_npz(path: Path, what: str) -> dict[str, np.ndarray]:
    """Every array of the file, by name; errors begin with `what`."""
    try:
        content = np.load(path, allow_pickle=False)
        arrays = None if isinstance(content, np.ndarray) else dict(content)
    except FileNotFoundError:
        raise OdtError(f"{what}: {path} does not exist") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise OdtError(f"{what}: {path} is not a readable .npz file ({reason})") from None
    if arrays is None:
        raise OdtError(f"{what}: {path} is one array, without a name; save it with numpy.savez")
    return arrays
