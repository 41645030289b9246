"""Samples that lie in files of a folder: images, recordings, tables of measured values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

from ..errors import OdtError
from ..losses import VALUES
from ..manifest import Manifest
from .axes import Axes
from .class_names import class_names, most_classes
from .encoder import Encoder
from .images import ImageReader
from .listing import IMAGES, RECORDINGS, Files, listed
from .reading import Reading
from .recordings import RecordingReader
from .split import Split
from .tables import TableReader
from .value import TRAIN


class Reader(Protocol):
    """What reads files of one kind. Raises OdtError that names the file where it cannot.

    axes : along which its samples move. labels_in : what says classes beside folders.
    described : what becomes of a file, for people.
    """

    axes: Axes
    labels_in: str
    described: str

    def samples(self, path: Path) -> Iterator[tuple[np.ndarray, str | None]]:
        """The samples in `path`, in the model's shape, and their classes where the file tells."""

    def notes(self) -> list[str]:
        """What was done to samples of the files so far, for people."""


def read_files(
    root: Path,
    manifest: Manifest,
    reading: Reading,
    encode: Encoder,
    say: Callable[[str], None],
    with_targets: bool,
) -> tuple[dict[str, Split], Axes]:
    """Split -> samples and the names of their classes, and along which axes samples move.

    Each sample is encoded as it is read: no more than one lies in memory as it was. Without
    `with_targets`, classes may be missing. Raises OdtError that names the file for what cannot be
    read.
    """
    kind, files = listed(root)
    labels = with_targets and manifest.target.kind != VALUES
    known = {name for paths in files.values() for _, name in paths if name is not None}
    if labels and known:  # refused, if at all, before any file is read
        class_names(known, reading.class_names, most_classes(manifest), str(root))
    reader = _reader(kind, files[TRAIN][0][0], manifest, reading)
    say(f"data: {root}: {reader.described}")
    splits = {
        split: _read(_spread(paths, reading.limit), reader, encode, labels, reading.limit)
        for split, paths in files.items()
    }
    for line in reader.notes():
        say(f"data: {line}")
    return splits, reader.axes


def _reader(kind: str, first: Path, manifest: Manifest, reading: Reading) -> Reader:
    shape = manifest.sample_shape
    if kind == IMAGES:
        return ImageReader(shape, manifest.input_layout)
    if kind == RECORDINGS:
        return RecordingReader(shape, reading.front_end, first)
    return TableReader(shape, reading.window, reading.stride)


def _read(files: Files, reader: Reader, encode: Encoder, labels: bool, limit: int | None) -> Split:
    names: list[str] = []

    def samples() -> Iterator[np.ndarray]:
        for path, of_folder in files:
            for sample, own in reader.samples(path):
                name = own if of_folder is None else of_folder
                if labels and name is None:
                    raise OdtError(
                        f"data: {path} has no label: put it in a folder of its class, or give the "
                        f"class in {reader.labels_in}"
                    )
                names.append(name or "")
                yield encode(sample[None], str(path))[0]
                if len(names) == limit:
                    return

    spec = encode.manifest.input
    dtype = np.dtype((spec.dtype, encode.manifest.sample_shape))
    x = np.fromiter(samples(), dtype)
    where = str(files[0][0].parent)
    return Split(x, names if labels else None, where, where)


def _spread(files: Files, limit: int | None) -> Files:
    """At most `limit` of them, of all classes."""
    if limit is None or len(files) <= limit:
        return files
    return [files[at * len(files) // limit] for at in range(limit)]
