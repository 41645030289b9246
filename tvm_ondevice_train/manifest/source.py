"""What a project can be compiled from again."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import OdtError
from .value import MadeFrom, Manifest


def source_of(manifest: Manifest, directory: str | os.PathLike[str], command: str) -> MadeFrom:
    """The model file and the options of the project in `directory`.

    OdtError, in one line of `command`, where the file is not there.
    """
    made_from = manifest.made_from
    if made_from is None or not Path(made_from.model).exists():
        missing = f" {made_from.model}" if made_from else ""
        raise OdtError(
            f"{command}: the model file{missing} that {directory} was made from is not there; give "
            "the model file itself, with the options of `compile`"
        )
    return made_from
