"""The module after each pass, as files to read."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import tvm

from .errors import OdtError


class IRDump:
    """Writes what each pass made to ``directory/part/NN_<pass>.py``.

    Files that an earlier run left there go.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = Path(directory)
        self.counts: Counter[str] = Counter()

    def __call__(self, part: str, name: str, module: tvm.IRModule) -> None:
        directory, count = self.directory / part, self.counts[part]
        self.counts[part] += 1
        try:
            if count == 0:
                directory.mkdir(parents=True, exist_ok=True)
                for earlier in directory.glob("[0-9][0-9]_*.py"):
                    earlier.unlink()
            (directory / f"{count:02d}_{name}.py").write_text(module.script())
        except OSError as error:
            raise OdtError(f"dump_ir: cannot write {directory}: {error.strerror}") from error
