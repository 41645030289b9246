"""One run at a time in a project's directory: each writes its results, and its device's flash."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import OdtError

_HELD = (errno.EAGAIN, errno.EACCES)  # another has it; what else goes wrong is no reason to refuse


@contextmanager
def alone(directory: Path) -> Iterator[None]:
    """While it lasts no other process is in here; it ends with the process, however that ends.

    OdtError where one is.
    """
    held = os.open(directory, os.O_RDONLY)
    try:
        _lock(held, directory)
        yield
    finally:
        os.close(held)


def _lock(held: int, directory: Path) -> None:
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:  # file systems of other computers may have no locks
        if error.errno in _HELD:
            raise OdtError(
                f"run: another run goes on in {directory}; wait for its end, or use a copy of the "
                "directory"
            ) from None
