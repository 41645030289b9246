"""The module after each pass, as files to read."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path

import tvm

from .errors import OdtError

_CONTAINERS = ("sequential",)


@contextmanager
def ir_dump(directory: str | os.PathLike | None, part: str):
    """Within this context every pass writes what it made to ``directory/part/NN_<pass>.py``.

    Passes that another pass runs inside itself are not written. None writes nothing. Files that an
    earlier run left there go.
    """
    if directory is None:
        yield
        return
    directory = Path(directory, part)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for earlier in directory.glob("[0-9][0-9]_*.py"):
            earlier.unlink()
        dump = _Dump(directory)
        with tvm.transform.PassContext(instruments=[dump]):
            yield
        if dump.error:
            raise dump.error
    except OSError as error:
        raise OdtError(f"dump_ir: cannot write {directory}: {error.strerror}") from error


@tvm.instrument.pass_instrument
class _Dump:
    def __init__(self, directory: Path):
        self.directory = directory
        self.depth = 0
        self.count = 0
        self.error: OSError | None = None  # TVM would make a RuntimeError of it

    def run_before_pass(self, _module, info):
        self.depth += info.name not in _CONTAINERS

    def run_after_pass(self, module, info):
        if info.name in _CONTAINERS:
            return
        self.depth -= 1
        if self.depth == 0:
            path = self.directory / f"{self.count:02d}_{info.name}.py"
            self.count += 1
            try:
                path.write_text(module.script())
            except OSError as error:
                self.error = self.error or error
