"""What a step takes of a board's flash, as the board's own compiler and linker say."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from ..boards import Board
from ..c_runtime import runtime_files
from ..errors import OdtError
from ..project.makefile_project import core_cflags
from .build import build, flash_bytes, reason
from .toolchain import run_tool

# links objects to an object, without what the server does not call
_REACHED = ("-nostdlib", "-r", "-Wl,--gc-sections,-e,odt_serve,-u,odt_init")


def linked_flash_bytes(directory: str | Path, board: Board) -> int | None:
    """Of the bare-metal project in `directory`, which is built: code, constants, initial values.

    None where there is no compiler for the board. Raises BudgetError if the program is larger than
    the project's budget, OdtError if it cannot be built.
    """
    if shutil.which(board.compiler) is None:
        return None
    return flash_bytes(build(directory))


def object_flash_bytes(files: Mapping[str, str], board: Board) -> int | None:
    """Of a step's C and of the runtime, compiled for the board: what a server of it reaches.

    files : those of the model. None as above, and where a board has no flash. OdtError if they
        cannot be compiled.
    """
    if board.flash_bytes is None or shutil.which(board.compiler) is None:
        return None
    runtime = {f"runtime/{path}": text for path, text in runtime_files(()).items()}
    with TemporaryDirectory() as scratch:
        root, objects = Path(scratch), []
        for name, text in {**files, **runtime}.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        compiler = [board.compiler, *shlex.split(core_cflags(board))]
        compiler += [f"-I{root}", f"-I{root / 'runtime/include'}", "-c"]
        for source in root.rglob("*.c"):
            objects.append(str(source.with_suffix(".o")))
            result = run_tool([*compiler, str(source), "-o", objects[-1]])
            if result.returncode:
                raise OdtError(f"build: {reason(result.stderr, board.name)}")
        linked = root / "linked.o"
        linker = [board.compiler, *shlex.split(core_cflags(board)), *_REACHED, *objects]
        result = run_tool([*linker, "-o", str(linked)])
        return None if result.returncode else flash_bytes(linked)
