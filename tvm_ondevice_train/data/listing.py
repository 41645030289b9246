"""Which files a folder of samples has, and the split and class of each."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..errors import OdtError, one_line
from ..files.limited_text import limited_text
from .value import SPLITS, TEST, TRAIN, VALIDATION

LABELS = "labels.csv"
IMAGES, RECORDINGS, TABLES = "images", "recordings", "tables"
_KINDS = {
    ".jpg": IMAGES,
    ".jpeg": IMAGES,
    ".png": IMAGES,
    ".bmp": IMAGES,
    ".wav": RECORDINGS,
    ".csv": TABLES,
}
_SPLIT_NAMES = {
    **{name: TRAIN for name in ("train", "training")},
    **{name: VALIDATION for name in ("validation", "valid", "val")},
    **{name: TEST for name in ("test", "testing")},
}
_PATH, _CLASS, _SPLIT = ("path", "file", "filename"), ("class", "label"), ("split",)

Files = list[tuple[Path, str | None]]  # each with the name of its class, where that is known


def listed(root: Path) -> tuple[str, dict[str, Files]]:
    """The kind of files in `root`, and split -> files, in the order of their names.

    `root` is a table; or a folder with labels.csv (columns path, class and, if there are several,
    split); or with a folder for each class; or with train/ and, if there are, validation/ and test/
    that hold these. Files of a folder that has neither have no class.

    Raises OdtError where there are no samples, of several kinds, or of no split to train on.
    """
    if root.is_file():
        return TABLES, {TRAIN: [(root, None)]}
    if not root.exists():
        raise OdtError(f"data: {root} does not exist")
    table = root / LABELS
    found = _by_table(table) if table.is_file() else _by_folder(root)
    kinds = {_KINDS[path.suffix.lower()] for files in found.values() for path, _ in files}
    if len(kinds) > 1:
        raise OdtError(f"data: {root} holds {' and '.join(sorted(kinds))}; give a folder of one")
    if not found.get(TRAIN):
        known = " ".join(_KINDS)
        raise OdtError(f"data: {root} has no samples to train on: files in {known}")
    return kinds.pop(), {split: found[split] for split in SPLITS if split in found}


def _by_folder(root: Path) -> dict[str, Files]:
    names = {path.name.lower() for path in _folders(root)}
    if not any(_SPLIT_NAMES.get(name) == TRAIN for name in names):
        if names & set(_SPLIT_NAMES):
            split = min(names & set(_SPLIT_NAMES))
            raise OdtError(f"data: {root} has {split}/ but no train/")
        return {TRAIN: list(_of_split(root))}
    found: dict[str, Files] = {}
    for folder in _folders(root):
        split = _SPLIT_NAMES.get(folder.name.lower(), "")
        if not split or split in found:
            allowed = ", ".join(_SPLIT_NAMES)
            raise OdtError(f"data: {folder} lies beside train/; one each is allowed of {allowed}")
        found[split] = list(_of_split(folder))
        if not found[split]:
            raise OdtError(f"data: {folder} has no samples: files in {' '.join(_KINDS)}")
    return found


def _of_split(folder: Path) -> Iterator[tuple[Path, str | None]]:
    classes = _folders(folder)
    if not classes:
        yield from ((path, None) for path in _samples(folder.iterdir()))
    for one in classes:
        paths = _samples(one.rglob("*"))
        if not paths:
            raise OdtError(f"data: {one} is a class without files in {' '.join(_KINDS)}")
        yield from ((path, one.name) for path in paths)


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and path.name[0] != ".")


def _samples(paths: Iterator[Path]) -> list[Path]:
    return sorted(
        path
        for path in paths
        if path.suffix.lower() in _KINDS and path.name[0] != "." and path.is_file()
    )


def _by_table(table: Path) -> dict[str, Files]:
    try:
        rows = csv.DictReader(limited_text(table).lstrip("\ufeff").splitlines())
        columns = {name.strip().lower(): name for name in rows.fieldnames or ()}
        path_column, class_column = (_column(columns, n, table) for n in (_PATH, _CLASS))
        split_column = next((columns[name] for name in _SPLIT if name in columns), None)
        found: dict[str, Files] = {}
        for row in rows:
            where = f"{table}, line {rows.line_num}"
            path = _checked_path(table.parent, row[path_column], where)
            name = (row[class_column] or "").strip()
            if not name:
                raise OdtError(f"data: {where}: {path.name} has no class")
            found.setdefault(_split(row, split_column, where), []).append((path, name))
    except (csv.Error, ValueError) as error:
        if isinstance(error, OdtError):
            raise
        raise OdtError(f"data: {table} cannot be read: {one_line(error)}") from None
    return found


def _column(columns: Mapping[str, str], names: tuple[str, ...], table: Path) -> str:
    for name in names:
        if name in columns:
            return columns[name]
    found = ", ".join(columns) or "none"
    raise OdtError(f"data: {table} has no column {names[0]}; its columns are {found}")


def _split(row: Mapping[str, str | None], column: str | None, where: str) -> str:
    if column is None:
        return TRAIN
    name = (row[column] or "").strip().lower()
    if name not in _SPLIT_NAMES:
        allowed = ", ".join(_SPLIT_NAMES)
        raise OdtError(f"data: {where}: the split is {name!r}; allowed are {allowed}")
    return _SPLIT_NAMES[name]


def _checked_path(root: Path, text: str | None, where: str) -> Path:
    """A sample's file; a table of a stranger's leads to none outside of its folder."""
    path = root / (text or "").strip()
    if not path.resolve().is_relative_to(root.resolve()):
        raise OdtError(f"data: {where}: {text} lies outside of {root}")
    if path.suffix.lower() not in _KINDS:
        raise OdtError(f"data: {where}: {text!r} is none of {' '.join(_KINDS)}")
    if not path.is_file():
        raise OdtError(f"data: {where}: {path} does not exist")
    return path
