"""Names that a user gives: in a line, in a file, or as a list."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..errors import OdtError
from .limited_text import limited_text


def name_list(given: str | os.PathLike | Iterable[Any]) -> tuple[Any, ...]:
    """The names in `given`: separated by commas, or the lines of the file of that path.

    OdtError, in one line, for a file that cannot be read.
    """
    if not isinstance(given, (str, os.PathLike)):
        return tuple(given)
    path = Path(given)
    try:
        in_file = isinstance(given, os.PathLike) or path.is_file()
        text = limited_text(path).splitlines() if in_file else os.fspath(given).split(",")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise OdtError(f"names: cannot read {path}: {reason}") from None
    return tuple(stripped for name in text if (stripped := name.strip()))


def repeated(names: Sequence[str]) -> str | None:
    """The first of `names` that is there more than once; None where all differ."""
    return next((name for name in names if names.count(name) > 1), None)
