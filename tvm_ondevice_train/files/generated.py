"""A directory that holds generated files beside a user's own: what may be replaced, and how.

A list in the directory has the SHA-256 of every file that was generated. What is not on it, or no
longer what the list says, is the user's.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import OdtError
from . import checked_json as checked
from .limited_text import limited_text
from .whole_file import write_whole

FOLDER = ".odt"
_LIST, _NEXT, _FRESH = "generated.json", "next.json", "fresh"
_FORMAT = "ondevice-train generated files"
_SHOWN = 4  # files that a message names


class GeneratedFiles:
    """Those of `directory`; whatever is written there takes its place whole.

    what : what errors begin with.
    made_again : a folder that is replaced with each set, whoever wrote there: products of builds.

    Raises OdtError for a list that is damaged or names files outside of the directory.
    """

    def __init__(self, directory: Path, what: str, made_again: str) -> None:
        self.directory, self.what, self.made_again = directory, what, made_again
        self._home = directory / FOLDER
        if self._home.is_symlink():
            raise OdtError(f"{what}: {self._home} is a link; remove it")
        lists = [self._read(self._home / name) for name in (_LIST, _NEXT)]
        self.is_listed = any(found is not None for found in lists)
        self._hashes: dict[str, set[str]] = {}  # of an interrupted set there are two
        for name, digest in (item for found in lists for item in (found or {}).items()):
            self._hashes.setdefault(name, set()).add(digest)

    @property
    def is_half_written(self) -> bool:
        """Whether the last set was interrupted while it took its place."""
        return is_half_written(self.directory)

    def edited(self) -> list[str]:
        """Generated files that are there and no longer as they were generated."""
        return [name for name in sorted(self._hashes) if self._is_edited(name)]

    def in_the_way(self, contents: Mapping[str, bytes]) -> list[str]:
        """Files of the user where `contents`, path -> bytes, has others; none without a list."""
        if not self.is_listed:
            return []
        found = ((name, self._digest(name)) for name in contents if name not in self._hashes)
        return [n for n, digest in found if digest not in (None, _digest(contents[n]))]

    @contextmanager
    def replacing(self) -> Iterator[Path]:
        """A folder for a whole new set, which takes its place at the end.

        If that is interrupted, the directory is half written until the next set is whole; if
        anything fails before, it is as it was.
        """
        is_new, fresh = not self.directory.exists(), self._home / _FRESH
        try:
            self._home.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir()
            yield fresh
            self._install(fresh)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
            with suppress(OSError):  # not empty: there was or is a list
                self._home.rmdir()
                if is_new:
                    self.directory.rmdir()

    def _install(self, fresh: Path) -> None:
        """Every file of `fresh` into its place, whole; the list of the new set is the mark."""
        built = fresh / self.made_again
        paths = [path for path in fresh.rglob("*") if path.is_file() and built not in path.parents]
        digests = {path.relative_to(fresh).as_posix(): _digest(path.read_bytes()) for path in paths}
        stale = [name for name in self._hashes if name not in digests]
        for name in (*digests, *stale):
            self._check_place(self.directory / name)
        content = {"format": _FORMAT, "version": 1, "files": dict(sorted(digests.items()))}
        write_whole(self._home / _NEXT, (json.dumps(content, indent=1) + "\n").encode(), self.what)
        for name in digests:
            place = self.directory / name
            place.parent.mkdir(parents=True, exist_ok=True)
            os.replace(fresh / name, place)
        for name in stale:
            self._remove(self.directory / name)
        made_before = self.directory / self.made_again
        if made_before.is_symlink():
            made_before.unlink()
        shutil.rmtree(made_before, ignore_errors=True)
        if built.exists():
            os.rename(built, made_before)
        os.replace(self._home / _NEXT, self._home / _LIST)

    def _remove(self, path: Path) -> None:
        """A file, and the folders that are empty then."""
        path.unlink(missing_ok=True)
        with suppress(OSError):
            while (path := path.parent) != self.directory:
                path.rmdir()

    def _check_place(self, path: Path) -> None:
        """Refuse what no file can be written to, and what a link leads out of the directory."""
        if path.is_dir():
            raise OdtError(f"{self.what}: {path} is a folder; a file must go there")
        parent = path.parent.resolve()
        if not parent.is_relative_to(self.directory.resolve()):
            raise OdtError(f"{self.what}: {path} lies outside, at {parent}; remove the link")
        above = next(folder for folder in path.parents if folder.exists())
        if not above.is_dir():
            raise OdtError(f"{self.what}: {above} is a file; a folder must go there")

    def _is_edited(self, name: str) -> bool:
        digest = self._digest(name)
        return digest is not None and digest not in self._hashes[name]

    def _digest(self, name: str) -> str | None:
        """Of the file there; None if there is none."""
        try:
            return _digest((self.directory / name).read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except IsADirectoryError:
            return "a folder"

    def _read(self, path: Path) -> dict[str, str] | None:
        if not path.exists():
            return None
        try:
            return _LISTED(checked.parsed(limited_text(path)), "")
        except ValueError as error:  # an OdtError is one
            raise OdtError(
                f"{self.what}: {path} cannot be used: {error}. Remove it, and all files of a "
                f"project are taken for generated ones"
            ) from None


def is_half_written(directory: Path) -> bool:
    """Whether a set of generated files was interrupted there while it took its place."""
    return (directory / FOLDER / _NEXT).exists()


def named(names: list[str]) -> str:
    """Some of these files, and how many more there are."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _inside(files: dict[str, str]) -> dict[str, str]:
    for name in files:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\0" in name or not path.parts:
            raise OdtError(f"it names {checked.shown(name)}, which is no file of the directory")
    return files


def _record(format: str, version: int, files: Any) -> dict[str, str]:
    return _inside(files)


_LISTED = checked.record(
    _record,
    {
        "format": checked.one_of(_FORMAT),
        "version": checked.integer(1, 1),
        "files": checked.named(checked.text),
    },
)
