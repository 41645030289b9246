"""Write a project directory: all of it or nothing."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..boards import Board
from ..boards import board as find_board
from ..errors import OdtError
from ..npz import npz_bytes
from ..render import render
from .runtime import PLATFORMS, runtime_files

_COMMON_CFLAGS = "-std=c99 -O3 -ffp-contract=off -ffunction-sections -fdata-sections"
_MADE_LATER = {"build", "run.json", "learned.npz"}  # what building and running add to a project


def generate_project(
    files: Mapping[str, str],
    report: Mapping,
    board: Board | str,
    platform: str,
    directory: str | Path,
    stack_bytes: int = 8192,
    initial: Mapping[str, np.ndarray] | None = None,
) -> Path:
    """Write model, runtime, Makefile, report and README into `directory` and return its path.

    `files` is {"model.c": text, "model.h": text}; `platform` is "host" or "baremetal";
    `stack_bytes` is what the linker script reserves; `initial` holds the trained parameters as
    the model had them, for initial.npz. An earlier project in `directory` is
    replaced; a directory that holds anything else is refused with OdtError.
    """
    board = find_board(board) if isinstance(board, str) else board
    _check(board, platform, stack_bytes)
    directory = Path(directory).resolve()
    check_replaceable(directory)
    report = {**report, "board": board.name, "platform": platform, "stack_bytes": stack_bytes}
    contents = _contents(files, report, board, platform, stack_bytes)
    contents["initial.npz"] = npz_bytes(initial or {})
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        _write_atomically(contents, directory)
    except OSError as error:
        raise OdtError(f"project: cannot write {directory}: {error.strerror}") from error
    return directory


def _check(board: Board, platform: str, stack_bytes: int) -> None:
    if platform not in PLATFORMS:
        known = ", ".join(PLATFORMS)
        raise OdtError(f"project: unknown platform {platform!r}; known platforms are {known}")
    if platform == "baremetal" and board.is_host:
        raise OdtError(f"project: board {board.name} has no bare metal; use platform host")
    if stack_bytes < 1024 or stack_bytes % 32:
        raise OdtError(
            f"project: stack_bytes must be a multiple of 32 from 1024 up, not {stack_bytes}"
        )


def check_replaceable(directory: str | Path) -> None:
    """Refuse to replace anything but an absent or empty directory or an earlier project."""
    directory = Path(directory)
    if not directory.exists():
        return
    if not directory.is_dir():
        raise OdtError(f"project: {directory} is a file, not a directory")
    present = {path.name for path in directory.iterdir()}
    ours = {"Makefile", "README.md", "link.ld", "model.c", "model.h", "model_data.h"}
    ours |= {"report.json", "initial.npz", "runtime"}
    foreign = sorted(present - ours - _MADE_LATER)
    if present and (foreign or not {"model.h", "report.json"} <= present):
        what = foreign[0] if foreign else sorted(present)[0]
        raise OdtError(
            f"project: {directory} holds {what}, which is not part of a project; "
            f"choose an empty or new directory"
        )


def _contents(
    files: Mapping[str, str], report: dict, board: Board, platform: str, stack_bytes: int
) -> dict[str, str]:
    """Path -> text of every file of the project."""
    contents = dict(files)
    contents |= {f"runtime/{path}": text for path, text in runtime_files(platform).items()}
    contents["report.json"] = json.dumps(report, indent=2) + "\n"
    baremetal = platform == "baremetal"
    facts = {
        "report": report,
        "model": report["model"],
        "board": board,
        "baremetal": baremetal,
        "stack_bytes": stack_bytes,
        "sources": sorted(path for path in contents if path.endswith(".c")),
        "firmware": "firmware.elf" if baremetal else "firmware",
        "compiler": "arm-none-eabi-gcc" if baremetal else "gcc",
        "cflags": " ".join([*(board.cflags if baremetal else ()), _COMMON_CFLAGS]),
        "ldflags": _ldflags(baremetal),
    }
    contents["Makefile"] = render(__package__, "Makefile", facts)
    contents["README.md"] = render(__package__, "README.md", facts)
    if baremetal:
        contents["link.ld"] = render(__package__, "link.ld", facts)
    return contents


def _ldflags(baremetal: bool) -> str:
    if not baremetal:
        return "-Wl,--gc-sections"
    # newlib-nano for memcpy and memset; no start files and no system calls: they are ours.
    return "-nostartfiles --specs=nano.specs -T link.ld -Wl,--gc-sections -Wl,-Map=build/map.txt"


def _write_atomically(contents: Mapping[str, str | bytes], directory: Path) -> None:
    """Write beside `directory`, then rename; what was there before goes last."""
    scratch = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    try:
        fresh = scratch / "new"
        for name, content in contents.items():
            path = fresh / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        if directory.exists():
            os.rename(directory, scratch / "old")
        try:
            os.rename(fresh, directory)
        except OSError:
            os.rename(scratch / "old", directory)
            raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
