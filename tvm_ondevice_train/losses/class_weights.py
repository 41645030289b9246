"""Weights of classes as the command line has them: in place, or in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import OdtError
from ..files.checked_json import parsed, shown
from ..files.limited_text import limited_text

_MOST_BYTES = 1 << 24


def class_weights_of(text: str) -> Any:
    """``1,2,0.5``, or the numbers in a .json or .npy file; OdtError, in one line, for others."""
    if text == "balanced":
        raise OdtError(
            "class_weights is balanced, which depends on data that compiling does not see; give "
            "numbers: of each class, samples / (classes * samples of the class)"
        )
    if Path(text).suffix in (".json", ".npy"):
        return _from_file(Path(text))
    try:
        return [float(one) for one in text.split(",")]
    except ValueError:
        raise OdtError(
            f"class_weights is {shown(text)}; it must be a number for each class, such as 1,2,0.5, "
            "or a .json or .npy file"
        ) from None


def _from_file(path: Path) -> Any:
    import numpy as np  # here: the command line lists losses at once

    try:
        if path.suffix == ".json":
            return parsed(limited_text(path))
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"it has more than {_MOST_BYTES:,} bytes")
        weights = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise OdtError(f"class_weights: {path} does not exist") from None
    except (OSError, ValueError, EOFError, OdtError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise OdtError(f"class_weights: {path} cannot be read: {reason}") from None
    return np.asarray(weights).tolist()
