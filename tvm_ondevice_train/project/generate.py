"""Write a project directory: all of it or nothing."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ..boards import Board
from ..boards import board as find_board
from ..errors import OdtError
from ..files.npz import npz_bytes
from . import makefile_project, zephyr

# Each module has `contents(files, report, board)`, path -> text of what the platform adds, and
# `NAMES`, the files and folders that it may put at the top of a project.
PLATFORMS = {"host": makefile_project, "baremetal": makefile_project, "zephyr": zephyr}
_OF_ALL = {"README.md", "model.c", "model.h", "model_data.h", "report.json", "initial.npz"}
_OF_ALL |= {"model.onnx", "runtime"}
# what building and running add to a project
_MADE_LATER = {"build", "run.json", "learned.npz", "flash.bin", "progress.jsonl"}


def generate_project(
    files: Mapping[str, str],
    report: Mapping,
    board: Board | str,
    platform: str,
    directory: str | Path,
    stack_bytes: int = 8192,
    initial: Mapping[str, np.ndarray] | None = None,
    transport: str | None = None,
    exported: bytes | None = None,
    build: Callable[[Path], dict] = lambda project: {},
) -> Path:
    """Write model, runtime, build files, report and README into `directory`; return its path.

    `files` is {"model.c": text, "model.h": text}; `platform` is one of `PLATFORMS`, and one that
    the board has; `stack_bytes` is what is reserved for the stack; `initial` holds the trained
    parameters as the model had them, for initial.npz; `transport` is how a bare-metal image talks
    to the host, by default the first that the board has; `exported` is model.onnx, what
    `ondevice-train export` merges them into; `build` is called with the project before it takes
    its place, and gives what of the report that changes. An earlier project in `directory` is
    replaced; a directory that holds anything else is refused with OdtError.
    """
    board = find_board(board) if isinstance(board, str) else board
    transport = _check(board, platform, stack_bytes, transport)
    directory = Path(directory).resolve()
    check_replaceable(directory)
    report = {
        **report,
        "board": board.name,
        "platform": platform,
        "transport": transport,
        "stack_bytes": stack_bytes,
    }
    contents = {**files, **PLATFORMS[platform].contents(files, report, board)}
    contents["report.json"] = json.dumps(report)  # what building reads
    contents["initial.npz"] = npz_bytes(initial or {})
    if exported is not None:
        contents["model.onnx"] = exported
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with _in_place_of(directory) as fresh:
            for name, content in contents.items():
                path = fresh / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content.encode() if isinstance(content, str) else content)
            report |= build(fresh)
            (fresh / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    except OSError as error:
        raise OdtError(f"project: cannot write {directory}: {error.strerror}") from error
    return directory


def _check(board: Board, platform: str, stack_bytes: int, transport: str | None) -> str:
    """The transport that it will be; OdtError if these do not go together."""
    if platform not in PLATFORMS:
        known = ", ".join(PLATFORMS)
        raise OdtError(f"project: unknown platform {platform!r}; known platforms are {known}")
    if platform != "host" and platform not in board.platforms:
        own = ", ".join(board.platforms)
        raise OdtError(f"project: board {board.name} has no platform {platform}; it has {own}")
    if stack_bytes < 1024 or stack_bytes % 32:
        raise OdtError(
            f"project: stack_bytes must be a multiple of 32 from 1024 up, not {stack_bytes}"
        )
    allowed = {"host": ("stdio",), "baremetal": board.transports}.get(platform, ("uart",))
    transport = transport or allowed[0]
    if transport not in allowed:
        raise OdtError(
            f"project: no transport {transport} on {board.name}, {platform}; "
            f"allowed: {', '.join(allowed)}"
        )
    return transport


def check_replaceable(directory: str | Path) -> None:
    """Refuse to replace anything but an absent or empty directory or an earlier project."""
    directory = Path(directory)
    if not directory.exists():
        return
    if not directory.is_dir():
        raise OdtError(f"project: {directory} is a file, not a directory")
    present = {path.name for path in directory.iterdir()}
    ours = _OF_ALL.union(_MADE_LATER, *(platform.NAMES for platform in PLATFORMS.values()))
    foreign = sorted(present - ours)
    if present and (foreign or not {"model.h", "report.json"} <= present):
        what = foreign[0] if foreign else sorted(present)[0]
        raise OdtError(
            f"project: {directory} holds {what}, which is not part of a project; "
            f"choose an empty or new directory"
        )


@contextmanager
def _in_place_of(directory: Path) -> Iterator[Path]:
    """A new directory that becomes `directory` at the end; what was there before goes last."""
    scratch = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    try:
        fresh = scratch / "new"
        fresh.mkdir()
        yield fresh
        if directory.exists():
            os.rename(directory, scratch / "old")
        try:
            os.rename(fresh, directory)
        except OSError:
            os.rename(scratch / "old", directory)
            raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
