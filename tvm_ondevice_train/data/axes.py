"""Along which axes a sample may be shifted."""

from __future__ import annotations

from dataclasses import dataclass

from ..manifest import Manifest
from .layout import channel_axis


@dataclass(frozen=True)
class Axes:
    """moving : axes of a sample that lie in space or time. image : whether it is an image."""

    moving: tuple[int, ...]
    image: bool


def axes_of_arrays(manifest: Manifest) -> Axes:
    """As the shape tells: two axes beside the channels are an image, one of them is time."""
    shape = manifest.sample_shape
    channels = channel_axis(shape, manifest.input_layout)
    image = len(shape) == 3 and channels is not None
    if image or len(shape) == 2:
        return Axes(tuple(axis for axis in range(len(shape)) if axis != channels), image)
    return Axes((), image=False)
