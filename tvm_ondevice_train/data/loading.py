"""Data in any of its forms, read, checked and encoded for one model."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ..device.samples import decode_inputs, encode_targets
from ..errors import OdtError
from ..losses import LABEL
from ..manifest import Manifest
from .arrays import as_arrays, read_archive, splits_of_arrays
from .augmentation import Augmenter
from .axes import Axes, axes_of_arrays
from .class_names import class_names, most_classes
from .encoder import Encoder
from .files import read_files
from .iterables import is_iterable, splits_of_iterables
from .reading import Reading
from .split import Split
from .value import SPLITS, TRAIN, Data

Source: TypeAlias = str | os.PathLike[str] | Mapping[str, Any] | tuple[Any, Any] | Any
Say: TypeAlias = Callable[[str], None]


def load_data(
    data: Source,
    manifest: Manifest,
    reading: Reading | None = None,
    *,
    say: Say = lambda line: None,
) -> Data:
    """Samples and targets for the model of `manifest`.

    data : a path of an .npz file with arrays `x`, `y`, optional `x_test`, `y_test`,
        `x_val`, `y_val`; of a folder of images, recordings or tables; of a .csv
        table. In Python also the arrays by name, the pair (x, y), an iterable of pairs or batches,
        or iterables by the names of `SPLITS`. See docs/data.md.
    say : is told what was assumed, a line each.

    A model that learns values, not labels, may leave out `y`: it then learns to reproduce `x`.
    Raises OdtError for a file, shape, dtype, label or value that the model cannot use.
    """
    reading = reading or Reading()
    found = _read(data, manifest, reading, say, with_targets=True)
    for split in found.splits.values():
        _some(split)
    names = _class_names(found, manifest, reading, say)
    targets = {split: _targets(one, names, manifest) for split, one in found.splits.items()}
    pairs = [(found.splits[s].x, targets[s]) if s in targets else (None, None) for s in SPLITS]
    (x, y), (x_val, y_val), (x_test, y_test) = pairs
    assert x is not None and y is not None, "every source has a training split"
    augment = None
    if reading.augmentation is not None:
        axes = found.axes
        augment = Augmenter(reading.augmentation, axes.moving, axes.image, manifest)
    return Data(x, y, x_test, y_test, x_val, y_val, names, augment)


def load_inputs(
    data: Source,
    manifest: Manifest,
    reading: Reading | None = None,
    *,
    most: int,
    say: Say = lambda line: None,
) -> np.ndarray:
    """At most `most` training samples (N, ...) as the device reads them; targets may be missing."""
    found = _read(data, manifest, replace(reading or Reading(), limit=most), say, False)
    return _some(found.splits[TRAIN])


@dataclass(frozen=True)
class _Found:
    """What was read. where : what to call it in messages."""

    splits: Mapping[str, Split]
    axes: Axes
    where: str


def _read(
    data: Source, manifest: Manifest, reading: Reading, say: Say, with_targets: bool
) -> _Found:
    encode = Encoder(manifest, reading.normalization, say)
    if isinstance(data, (str, os.PathLike)):
        path = Path(data)
        if path.is_dir() or path.suffix.lower() == ".csv":
            found = read_files(path, manifest, reading, encode, say, with_targets)
            return _Found(*found, str(path))
        arrays, where = read_archive(path), str(path)
    else:
        where = "what was given"
        if _holds_iterables(data):
            splits = splits_of_iterables(data, manifest, encode, reading.limit, with_targets)
            return _Found(splits, axes_of_arrays(manifest), where)
        arrays = as_arrays(_by_name(data))
    splits = splits_of_arrays(arrays, where, manifest, encode, reading.limit, with_targets)
    return _Found(splits, axes_of_arrays(manifest), where)


def _holds_iterables(data: Any) -> bool:
    """Whether it is a set of samples, or several by the names of splits; and no arrays."""
    if isinstance(data, Mapping):
        return TRAIN in data and "x" not in data
    return not isinstance(data, tuple) and is_iterable(data)


def _by_name(data: Any) -> Mapping[str, Any]:
    if isinstance(data, tuple) and len(data) == 2:
        return dict(zip("xy", data, strict=True))
    if not isinstance(data, Mapping):
        raise OdtError(
            f"data: it is a {type(data).__name__}; it must be an .npz file, arrays by name, or the "
            "pair (x, y), a folder, a .csv file, or an iterable of samples with targets"
        )
    return data


def _class_names(found: _Found, manifest: Manifest, reading: Reading, say: Say) -> tuple[str, ...]:
    """Of the labels; `reading`'s own where data has numbers."""
    given, classes = reading.class_names, most_classes(manifest)
    if len(given) > classes:
        raise OdtError(f"data: class_names has {len(given)} names; the model has {classes} classes")
    named = {s: one.y for s, one in found.splits.items() if isinstance(one.y, list)}
    if not named:
        return given
    present = {name for names in named.values() for name in names}
    names = class_names(present, given, classes, found.where)
    learned = set(named.get(TRAIN, present))
    for name in sorted(present - learned):
        raise OdtError(f"data: {found.where} has the class {name!r} but no training samples of it")
    absent = [name for name in names if name not in learned]
    if absent or len(names) < classes:
        missing = f", and none of {', '.join(absent)}" if absent else ""
        say(
            f"data: {found.where} has samples of {len(learned)} classes{missing}; the model has "
            f"{classes}"
        )
    return names


def _targets(split: Split, names: tuple[str, ...], manifest: Manifest) -> np.ndarray:
    """Encoded, one for each sample."""
    y = split.y
    if isinstance(y, list):
        y = _of_classes(y, names, manifest)
    if y is None:
        y = encode_targets(decode_inputs(split.x, manifest), manifest, split.x_name)
    else:
        y = encode_targets(y, manifest, split.y_name)
    if len(split.x) != len(y):
        raise OdtError(
            f"data: {split.x_name} has {len(split.x)} samples and {split.y_name} {len(y)}"
        )
    return y


def _of_classes(found: list[str], names: tuple[str, ...], manifest: Manifest) -> np.ndarray:
    """Labels (N,); where the model learns probabilities those, 1 for the class, of each output."""
    numbers = {name: label for label, name in enumerate(names)}
    labels = np.array([numbers[name] for name in found], np.int32)
    if manifest.target.kind == LABEL:
        return labels
    if manifest.classes is not None:
        raise OdtError("data: the model learns a label for each pixel; files have one each")
    outputs = math.prod(manifest.target.shape)
    first = 1 if outputs == 1 else 0  # one output alone is the probability of the second class
    return (labels[:, None] == np.arange(first, first + outputs)).astype(np.float32)


def _some(split: Split) -> np.ndarray:
    if not len(split.x):
        raise OdtError(f"data: {split.x_name} has no samples")
    return split.x
