"""Images in files, as Pillow reads them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..errors import OdtError, first_line
from .axes import Axes
from .layout import NCHW, channel_axis

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP")  # that a name may hide; no EPS, which is a program
_DEEP = ("I", "F")  # begin the modes of pixels of more than 8 bits


class ImageReader:
    """Reads images as uint8 of `shape`: scaled until both sides are covered, the middle cut out.

    layout : of the model's input, if it is known.
    """

    labels_in = "labels.csv"

    def __init__(self, shape: tuple[int, ...], layout: str | None) -> None:
        channels = channel_axis(shape, layout) if len(shape) == 3 else None
        if channels is None or shape[channels] not in _MODES:
            raise OdtError(
                f"data: images become samples of 1, 3 or 4 channels; the model takes {shape}"
            )
        self._mode, self._layout = _MODES[shape[channels]], NCHW if channels == 0 else None
        moving = tuple(axis for axis in range(3) if axis != channels)
        self._height, self._width = (shape[axis] for axis in moving)
        self.axes = Axes(moving, image=True)
        self.described = f"images, cut to {self._width}x{self._height} {self._mode}"
        try:
            import PIL.Image  # noqa: F401 - its absence is said before files are listed
        except ImportError:
            raise OdtError(
                'data: images need Pillow; install it: pip install "tvm-ondevice-train[images]"'
            ) from None

    def samples(self, path: Path) -> Iterator[tuple[np.ndarray, None]]:
        """The image in `path`, which says no class itself."""
        from PIL import Image, ImageOps

        size = (self._width, self._height)
        try:
            with Image.open(path, formats=_FORMATS) as image:
                if image.mode.startswith(_DEEP):
                    raise OdtError(
                        f"data: {path} has pixels of more than 8 bits ({image.mode}); convert it"
                    )
                turned = ImageOps.exif_transpose(image).convert(self._mode)
                pixels = np.asarray(ImageOps.fit(turned, size, Image.Resampling.BILINEAR))
        except OdtError:
            raise
        except Exception as error:  # each decoder has exceptions of its own
            raise OdtError(f"data: {path} is no readable image: {first_line(error)}") from None
        pixels = pixels.reshape(self._height, self._width, -1)
        yield (pixels.transpose(2, 0, 1) if self._layout == NCHW else pixels), None

    def notes(self) -> list[str]:
        return []
