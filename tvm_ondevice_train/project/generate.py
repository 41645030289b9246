"""Write a project directory: all of it or nothing, beside what the user put there."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..boards import Board
from ..boards import board as find_board
from ..errors import OdtError
from ..files.generated import FOLDER, GeneratedFiles, named
from ..files.npz import npz_bytes
from ..manifest import NAME, Manifest, to_json, transports
from . import makefile_project, zephyr

REPORT = "report.json"
BUILD = "build"
# Each module has `contents(files, manifest, report, board)`, path -> text of what the platform
# adds.
_PLATFORMS = {"host": makefile_project, "baremetal": makefile_project, "zephyr": zephyr}


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
    force: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Path:
    """Write model, runtime, build files, manifest, report and README into `directory`.

    `files` is {"model.c": text, "model.h": text}; `manifest` is that of the model, to which the
    board and how it runs there are added; `platform` is "host", "baremetal" or "zephyr", one that
    the board has; `report` is the account for report.json; `initial` holds the trained parameters
    as the model had them, for initial.npz; `transport` is how a bare-metal image talks to the host,
    by default the first that the board has; `exported` is model.onnx, what `ondevice-train export`
    merges them into; `build` is called with the project before it takes its place, and gives what
    of the report that changes.

    Of an earlier project in `directory`, what was generated is replaced, build/ too; all else
    stays. Generated files that were edited since, and files of the user where one must go, are
    refused with OdtError; with `force` they are replaced, and `say` is called with a line that
    names them. A directory that holds other things than a project is refused, too. Returns the
    path of the project.
    """
    board = find_board(board) if isinstance(board, str) else board
    manifest = _running(manifest, board, platform, transport)
    directory = Path(directory).resolve()
    report = dict(report or {})
    contents = {**files, **_PLATFORMS[platform].contents(files, manifest, report, board)}
    contents[NAME] = to_json(manifest)
    contents = {name: text.encode() for name, text in contents.items()}
    contents["initial.npz"] = npz_bytes(initial or {})
    if exported is not None:
        contents["model.onnx"] = exported
    try:
        present = _checked(directory)
        _give_up(present, [*present.edited(), *present.in_the_way(contents)], force, say)
        if present.is_half_written:
            say(
                f"An earlier compile was interrupted and left {directory} half written: it is "
                "written anew"
            )
        with present.replacing() as fresh:
            for name, content in contents.items():
                path = fresh / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
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


def check_replaceable(directory: str | Path, force: bool = False) -> None:
    """Refuse to replace anything but an absent or empty directory or an earlier project.

    Without `force` also a project of which generated files were edited.
    """
    present = _checked(Path(directory))
    _give_up(present, present.edited(), force, lambda line: None)


def _checked(directory: Path) -> GeneratedFiles:
    """What was generated in `directory`, which is absent, empty or a project."""
    if directory.exists() and not directory.is_dir():
        raise OdtError(f"project: {directory} is a file, not a directory")
    present = GeneratedFiles(directory, "project", BUILD)
    names = {path.name for path in directory.iterdir()} if directory.exists() else set()
    foreign = sorted(names - {FOLDER})
    if foreign and not present.is_listed and not {"model.h", REPORT} <= names:
        raise OdtError(
            f"project: {directory} holds {foreign[0]}, which is not part of a project; choose an "
            "empty or new directory"
        )
    return present


def _give_up(
    present: GeneratedFiles, lost: list[str], force: bool, say: Callable[[str], None]
) -> None:
    """Refuse to replace the files `lost`, which are the user's work, or say that they go."""
    if not lost:
        return
    if force:
        say(f"Replaced, with your changes: {', '.join(lost)}")
        return
    raise OdtError(
        f"project: {present.directory} holds work of yours where files are generated: "
        f"{named(lost)}; move it to files of your own, or give it up with --force"
    )
