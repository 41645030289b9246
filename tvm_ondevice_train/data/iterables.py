"""Samples that Python gives one after the other: torch data sets and loaders, tf.data, lists."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np

from ..errors import OdtError, first_line
from ..losses import LABEL, VALUES
from ..manifest import Manifest
from .encoder import Encoder
from .layout import fits
from .split import Split
from .value import SPLITS, TRAIN

_X = ("x", "image", "audio", "input")
_Y = ("y", "label", "target")
_MOST_BYTES = 2 << 30  # of samples from what has no length, and may have no end


def is_iterable(data: Any) -> bool:
    """Whether samples can be taken from it; arrays, text and what has names are no such set."""
    if isinstance(data, (str, bytes, Mapping, np.ndarray, np.generic)):
        return False
    return hasattr(data, "__iter__") or _has_indices(data)


def splits_of_iterables(
    data: Any, manifest: Manifest, encode: Encoder, limit: int | None, with_targets: bool
) -> dict[str, Split]:
    """Of an iterable, or of several by the names of splits.

    Each gives pairs (x, y), or mappings that call them so, of single samples or of batches;
    where a model learns values, or without `with_targets`, x alone will do. An iterable is read
    once, as far as `limit`.
    """
    if not isinstance(data, Mapping):
        data = {TRAIN: data}
    for name, value in data.items():
        if name not in SPLITS:
            raise OdtError(f"data: {name!r} is no split; allowed are {', '.join(SPLITS)}")
        if not is_iterable(value):
            raise OdtError(f"data: {name} is a {type(value).__name__}, and gives no samples")
    needed = with_targets and manifest.target.kind != VALUES
    return {
        name: _read(value, name, manifest, encode, limit, needed) for name, value in data.items()
    }


def _read(
    data: Any, name: str, manifest: Manifest, encode: Encoder, limit: int | None, needed: bool
) -> Split:
    targets: list[np.ndarray] = []
    without = 0

    def samples() -> Iterator[np.ndarray]:
        nonlocal without
        for index, item in enumerate(_items(data)):
            x, y = _pair(item, f"item {index} of {name}")
            for sample, target in _singles(x, y, manifest, f"item {index} of {name}"):
                if target is None:
                    without += 1
                else:
                    targets.append(target)
                yield encode(sample[None], f"item {index} of {name}")[0]

    spec = manifest.input
    dtype = np.dtype((spec.dtype, manifest.sample_shape))
    endless = limit is None and not hasattr(data, "__len__")
    most = _MOST_BYTES // manifest.input_bytes if endless else limit
    x = np.fromiter(islice(samples(), most), dtype)
    if endless and len(x) == most:
        raise OdtError(
            f"data: {name} has no length, and more than {len(x):,} samples; say how many to take: "
            "limit"
        )
    if without and (targets or needed):
        raise OdtError(f"data: {name} has samples without targets; give pairs (x, y)")
    shapes = {target.shape for target in targets}
    if len(shapes) > 1:
        raise OdtError(f"data: targets of {name} have several shapes: {sorted(shapes)}")
    return Split(x, np.stack(targets) if targets else None, name, f"targets of {name}")


def _items(data: Any) -> Iterable[Any]:
    return (data[i] for i in range(len(data))) if _has_indices(data) else data


def _has_indices(data: Any) -> bool:
    """Whether it is a set like torch's, which need not raise IndexError behind its end."""
    indexed = hasattr(data, "__getitem__") and hasattr(data, "__len__")
    return indexed and not hasattr(data, "__iter__")


def _pair(item: Any, where: str) -> tuple[np.ndarray, np.ndarray | None]:
    if isinstance(item, Mapping):
        x, y = (next((item[n] for n in names if n in item), None) for names in (_X, _Y))
        if x is None:
            found = ", ".join(map(str, item))
            raise OdtError(f"data: {where} has {found}; a sample is called {', '.join(_X)}")
    elif isinstance(item, (tuple, list)):
        if len(item) not in (1, 2):
            raise OdtError(f"data: {where} has {len(item)} parts; it must be a pair (x, y)")
        x, y = (*item, None)[:2]
    else:
        x, y = item, None
    try:
        return np.asarray(x), None if y is None else np.asarray(y)
    except (TypeError, ValueError, RuntimeError) as error:
        raise OdtError(f"data: {where} is no array: {first_line(error)}") from None


def _singles(
    x: np.ndarray, y: np.ndarray | None, manifest: Manifest, where: str
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """The sample, or those of a batch, which has one axis more."""
    shape, layout = manifest.sample_shape, manifest.input_layout
    labels = manifest.target.kind == LABEL
    if fits(x.shape, shape, layout):
        yield x, None if y is None else y.reshape(()) if labels and y.size == 1 else y
    elif x.ndim and fits(x.shape[1:], shape, layout):
        if y is not None and (y.ndim == 0 or len(y) != len(x)):
            raise OdtError(f"data: {where} has {len(x)} samples and targets of shape {y.shape}")
        yield from ((x[at], None if y is None else y[at]) for at in range(len(x)))
    else:
        raise OdtError(f"data: {where} has shape {x.shape}; the model takes {shape}")
