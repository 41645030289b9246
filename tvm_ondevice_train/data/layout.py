"""The axes of a sample: as data has them, and as the model takes them."""

from __future__ import annotations

import numpy as np

NCHW, NHWC = "NCHW", "NHWC"
_CHANNELS = (1, 3, 4)  # of an image whose layout nothing tells


def channel_axis(shape: tuple[int, ...], layout: str | None) -> int | None:
    """The channels' axis of a sample of `shape`; None where neither layout nor shape tell it."""
    if len(shape) != 3:
        return 0 if len(shape) == 2 else None
    if layout is not None:
        return 0 if layout == NCHW else 2
    few = [axis for axis in (0, 2) if shape[axis] in _CHANNELS]
    return few[0] if len(few) == 1 else None


def arranged(
    x: np.ndarray, shape: tuple[int, ...], layout: str | None
) -> tuple[np.ndarray, str | None]:
    """Samples (N, ...) with their axes as the model takes them, and the layout that they had.

    Axes of length 1 may lie elsewhere or be missing; channels may come last where the model has
    them first, and first where it has them last. The second result is None where no axis moved;
    samples that fit in no such way are returned as they are.
    """
    found = x.shape[1:]
    if x.ndim == 0 or found == shape:
        return x, None
    if _without_ones(found) == _without_ones(shape):
        return x.reshape(len(x), *shape), None
    if layout != NHWC and x.ndim == 4 and (found[2], *found[:2]) == shape:
        return np.moveaxis(x, 3, 1), NHWC
    if layout != NCHW and x.ndim == 4 and (*found[1:], found[0]) == shape:
        return np.moveaxis(x, 1, 3), NCHW
    return x, None


def fits(found: tuple[int, ...], shape: tuple[int, ...], layout: str | None) -> bool:
    """Whether `arranged` makes samples of `shape` from samples of the shape `found`."""
    return arranged(np.empty((0, *found), np.int8), shape, layout)[0].shape[1:] == shape


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(length for length in shape if length != 1)
