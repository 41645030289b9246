"""What a step takes of a board's flash, as the board's own compiler and linker say."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from ..boards import Board
from ..errors import OdtError
from ..project import makefile_project
from .build import flash_bytes
from .toolchain import run_tool

_AMPLE_BYTES = 1 << 28  # of flash and of SRAM, so that the linker refuses nothing
_MODEL = "model"  # instead of each model's name, so that the runtime is compiled once


def linked_flash_bytes(files: Mapping[str, str], report: Mapping, board: Board) -> int | None:
    """Bytes of flash of the firmware: code, constants and the initial values of data.

    files : model.c, model.h and model_data.h.

    A board without a bare-metal project is charged its objects: the model's and the runtime's, all
    functions in them. None where there is no flash, or no compiler for the board.
    """
    if board.flash_bytes is None or shutil.which(board.compiler) is None:
        return None
    linked = "baremetal" in board.platforms
    report = {**report, "model": _MODEL, "platform": "baremetal" if linked else "host"}
    report["transport"] = (*board.transports, "stdio")[0]
    ample = replace(board, flash_bytes=_AMPLE_BYTES, sram_bytes=_AMPLE_BYTES)
    contents = {**files, **makefile_project.contents(files, report, ample)}
    directory = Path(_workplace(board.name).name)
    for name, text in contents.items():
        _write(directory / name, text)
    if linked:
        return flash_bytes(_made(directory, "firmware.elf")[0])
    sources = ["model.c", *(name for name in contents if name.startswith("runtime/src/"))]
    objects = [Path(name).with_suffix(".o").as_posix() for name in sources if name.endswith(".c")]
    core = [f"CC={board.compiler}", f"CFLAGS={makefile_project.core_cflags(board)}"]
    return sum(map(flash_bytes, _made(directory, *objects, settings=core)))


@cache
def _workplace(name: str) -> TemporaryDirectory:
    """Kept while the process runs: what did not change is not compiled again."""
    return TemporaryDirectory(prefix=f"odt-{name}-")


def _write(path: Path, text: str) -> None:
    if not path.is_file() or path.read_text() != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def _made(directory: Path, *names: str, settings=()) -> list[Path]:
    targets = [f"build/{name}" for name in names]
    jobs = f"-j{os.cpu_count() or 1}"
    result = run_tool(["make", "-s", jobs, "-C", str(directory), *settings, *targets])
    if result.returncode:
        lines = (result.stderr or result.stdout).strip().splitlines()
        raise OdtError(f"compile: the board's compiler failed: {lines[-1] if lines else 'make'}")
    return [directory / target for target in targets]
