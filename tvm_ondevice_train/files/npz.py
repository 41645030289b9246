"""Arrays by name in an .npz file."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.lib.format import (
    MAGIC_PREFIX,
    read_array_header_1_0,
    read_array_header_2_0,
    read_magic,
)

from ..errors import OdtError

_SUFFIX = ".npy"
_HEADERS = {(1, 0): read_array_header_1_0, (2, 0): read_array_header_2_0}
# Arrays that are larger than the first and are packed tighter than the second are a bomb.
_SMALL_BYTES, _MOST_COMPRESSION = 256 << 20, 100


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
    """Every array of the file, by name; errors begin with `what`.

    Sizes are those of the headers, and are checked before memory is asked for. Objects, which
    would have to be unpickled, are refused; members that are no .npy are left out.
    """
    if path.exists() and not path.is_file():  # a device has no end, a pipe may have no beginning
        raise OdtError(f"{what}: {path} is no file, and cannot be read as .npz")
    try:
        with open(path, "rb") as file:
            if file.read(len(MAGIC_PREFIX)) == MAGIC_PREFIX:
                raise OdtError(
                    f"{what}: {path} is one array, without a name; save it with numpy.savez"
                )
        with zipfile.ZipFile(path) as archive:
            members = [one for one in archive.infolist() if one.filename.endswith(_SUFFIX)]
            _check_size(sum(one.file_size for one in members), path.stat().st_size)
            return {one.filename.removesuffix(_SUFFIX): _array(archive, one) for one in members}
    except OdtError:
        raise
    except FileNotFoundError:
        raise OdtError(f"{what}: {path} does not exist") from None
    except Exception as error:  # an archive of anything: each decoder has exceptions of its own
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise OdtError(f"{what}: {path} is not a readable .npz file ({reason})") from None


def _check_size(size_bytes: int, file_bytes: int) -> None:
    if size_bytes > max(_SMALL_BYTES, _MOST_COMPRESSION * file_bytes):
        raise ValueError(
            f"its arrays have {size_bytes:,} bytes, of a file of {file_bytes:,}: that is no data"
        )


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """One array, if what it says of itself is as large as what is there."""
    try:
        with archive.open(member) as file:
            shape, _, dtype = _HEADERS[read_magic(file)](file)
            if dtype.hasobject:
                raise ValueError("it holds Python objects, not numbers")
            if any(axis < 0 for axis in shape):
                raise ValueError(f"its shape is {shape}")
            size_bytes, held = math.prod(shape) * dtype.itemsize, member.file_size - file.tell()
            if size_bytes != held:
                raise ValueError(f"it is {dtype} of shape {shape}, which are not {held:,} bytes")
        with archive.open(member) as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    except KeyError:
        raise ValueError(f"{member.filename}: a version of .npy that holds no numbers") from None
    except ValueError as error:
        raise ValueError(f"{member.filename}: {error}") from None
