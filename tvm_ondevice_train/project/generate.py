"""Write a project directory: all of it or nothing."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..boards import Board
from ..boards import board as find_board
from ..errors import OdtError
from ..files.npz import npz_bytes
from ..manifest import NAME, Manifest, to_json, transports
from . import makefile_project, zephyr

REPORT = "report.json"
# Each module has `contents(files, manifest, report, board)`, path -> text of what the platform
# adds, and `NAMES`, the files and folders that it may put at the top of a project.
_PLATFORMS = {"host": makefile_project, "baremetal": makefile_project, "zephyr": zephyr}
_OF_ALL = {"README.md", "model.c", "model.h", "model_data.h", NAME, REPORT, "initial.npz"}
_OF_ALL |= {"model.onnx", "runtime"}
_WITH_PREFIX = re.compile(r"[a-z][a-z0-9_]*_(model\.[ch]|model_data\.h)")  # compile --prefix
# what building and running add to a project
_MADE_LATER = {"build", "run.json", "learned.npz", "flash.bin", "progress.jsonl"}


def generate_project(
    files: Mapping[str, str],
    manifest: Manifest,
    board: Board | str,
    platform: str,
    directory: str | os.PathLike,
    report: Mapping | None = None,
    initial: Mapping[str, np.ndarray] | None = None,
    transport: str | None = None,
    exported: bytes | None = None,
    build: Callable[[Path], dict] = lambda project: {},
) -> Path:
    """Write model, runtime, build files, manifest, report and README into `directory`.

    `files` is {"model.c": text, "model.h": text}; `manifest` is that of the model, to which the
    board and how it runs there are added; `platform` is "host", "baremetal" or "zephyr", one that
    the board has; `report` is the account for report.json; `initial` holds the trained parameters
    as the model had them, for initial.npz; `transport` is how a bare-metal image talks to the host,
    by default the first that the board has; `exported` is model.onnx, what `ondevice-train export`
    merges them into; `build` is called with the project before it takes its place, and gives what
    of the report that changes. An earlier project in `directory` is replaced; a directory that
    holds anything else is refused with OdtError. Returns the path of the project.
    """
    board = find_board(board) if isinstance(board, str) else board
    manifest = _running(manifest, board, platform, transport)
    directory = Path(directory).resolve()
    check_replaceable(directory)
    report = dict(report or {})
    contents = {**files, **_PLATFORMS[platform].contents(files, manifest, report, board)}
    contents[NAME] = to_json(manifest)
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
            (fresh / REPORT).write_text(json.dumps(report, indent=2) + "\n")
    except OSError as error:
        raise OdtError(f"project: cannot write {directory}: {error.strerror}") from error
    return directory


def read_report(directory: str | Path) -> dict:
    """The account of memory and work in a project that `generate_project` wrote."""
    return json.loads(Path(directory, REPORT).read_text())


def _running(manifest: Manifest, board: Board, platform: str, transport: str | None) -> Manifest:
    """The manifest of a project for `board`; OdtError if these do not go together."""
    transport = transport or next(iter(transports(board, platform)), None)
    try:
        return replace(manifest, board=board.name, platform=platform, transport=transport)
    except OdtError as error:
        raise OdtError(f"project: {error}") from None


def check_replaceable(directory: str | Path) -> None:
    """Refuse to replace anything but an absent or empty directory or an earlier project."""
    directory = Path(directory)
    if not directory.exists():
        return
    if not directory.is_dir():
        raise OdtError(f"project: {directory} is a file, not a directory")
    present = {path.name for path in directory.iterdir()}
    ours = _OF_ALL.union(_MADE_LATER, *(platform.NAMES for platform in _PLATFORMS.values()))
    foreign = sorted(name for name in present - ours if not _WITH_PREFIX.fullmatch(name))
    if present and (foreign or not {"model.h", REPORT} <= present):
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
