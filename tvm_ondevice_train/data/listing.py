"""Which files a folder of samples has, and the split and class of each."""

from __future__ import annotations

import csv
from collections.abc import Iterator
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
_PATH, _CLASS, _SPLIT = "path", "class", "split"
_SYNONYMS = {"file": _PATH, "filename": _PATH, "label": _CLASS}
_ORDERS = {2: (_PATH, _CLASS), 3: (_PATH, _SPLIT, _CLASS)}  # of columns without names

Files = list[tuple[Path, str | None]]  # each with the name of its class, where that is known


def listed(root: Path) -> tuple[str, dict[str, Files]]:
    """The kind of files in `root`, and split -> files, in the order of their names.

    `root` is a table; or a folder with labels.csv (path, split, class; or the columns that its
    first line names); or with a folder for each class; or with train/ and, if there are,
    validation/ and test/ that hold these. Files of a folder that has neither have no class.

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
        rows = list(csv.reader(limited_text(table).lstrip("\ufeff").splitlines()))
    except (csv.Error, ValueError) as error:
        raise OdtError(f"data: {table} cannot be read: {one_line(error)}") from None
    columns, first = _columns(rows[0] if rows else [], table)
    found: dict[str, Files] = {}
    for number, row in enumerate(rows[first:], first + 1):
        if not row:
            continue
        where = f"{table}, line {number}"
        if len(row) <= max(columns.values()):
            raise OdtError(f"data: {where} has {len(row)} columns: {', '.join(row)!r}")
        path = _checked_path(table.parent, row[columns[_PATH]].strip(), where)
        name = row[columns[_CLASS]].strip()
        if not name:
            raise OdtError(f"data: {where}: {path.name} has no class")
        split = _split(row[columns[_SPLIT]], where) if _SPLIT in columns else TRAIN
        found.setdefault(split, []).append((path, name))
    return found


def _columns(first: list[str], table: Path) -> tuple[dict[str, int], int]:
    """Place of each column, and how many lines name them; without names their order is fixed."""
    names = [name.strip().lower() for name in first]
    if Path(names[0] if names else "").suffix in _KINDS and len(names) in _ORDERS:
        return {name: at for at, name in enumerate(_ORDERS[len(names)])}, 0
    places = {_SYNONYMS.get(name, name): at for at, name in enumerate(names)}
    for name in (_PATH, _CLASS):
        if name not in places:
            found = ", ".join(names) or "none"
            raise OdtError(f"data: {table} has no column {name}; its columns are {found}")
    return {name: places[name] for name in (_PATH, _CLASS, _SPLIT) if name in places}, 1


def _split(text: str, where: str) -> str:
    name = text.strip().lower()
    if name not in _SPLIT_NAMES:
        allowed = ", ".join(_SPLIT_NAMES)
        raise OdtError(f"data: {where}: the split is {name!r}; allowed are {allowed}")
    return _SPLIT_NAMES[name]


def _checked_path(root: Path, text: str, where: str) -> Path:
    """A sample's file; a table of a stranger's leads to none outside of its folder."""
    path = root / text
    if "\0" in text or not path.resolve().is_relative_to(root.resolve()):
        raise OdtError(f"data: {where}: {text} lies outside of {root}")
    if path.suffix.lower() not in _KINDS:
        raise OdtError(f"data: {where}: {text!r} is none of {' '.join(_KINDS)}")
    if not path.is_file():
        raise OdtError(f"data: {where}: {path} does not exist")
    return path
