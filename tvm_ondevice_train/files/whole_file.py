"""Files that are there in whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import OdtError


def write_whole(path: str | os.PathLike[str], content: bytes, what: str) -> None:
    """Write `content` beside `path`, then put it in its place; nothing is left of a failure.

    Raises OdtError, which begins with `what`, where that cannot be done.
    """
    path = Path(path)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            scratch.write_bytes(content)
            os.replace(scratch, path)
        finally:
            scratch.unlink(missing_ok=True)
    except OSError as error:
        raise OdtError(f"{what}: cannot write {path}: {error.strerror}") from error
