"""How pixels and measured values become the numbers that a model was trained on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..errors import OdtError
from .settings import settings_of, shown

FLAG = "--normalize"
ALLOWED = "0..1, -1..1, imagenet, mean=..,std=.. or none"
_PIXELS = 255  # the highest of a pixel of 8 bits


@dataclass(frozen=True)
class Normalization:
    """``real = (value - mean) / std``, after a pixel was divided by `unit`.

    text : as the user has it. mean, std : one number, or one for each channel.
    unit : 255 where `mean` and `std` are of pixels from 0 to 1; 1 where of values as they are.
    only_pixels : it is a range, which measured values do not have.
    """

    text: str
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    unit: float = _PIXELS
    only_pixels: bool = True

    @classmethod
    def parse(cls, text: str) -> Normalization:
        """One of `ALLOWED`, as `--normalize` takes it; OdtError for anything else."""
        if text in NAMED:
            return NAMED[text]
        if "=" not in text:
            raise OdtError(f"{FLAG}: {shown(text)} is unknown; allowed are {ALLOWED}")
        found = settings_of(text, FLAG, ("mean", "std"))
        mean, std = (_numbers(found.get(key, []), key) for key in ("mean", "std"))
        if len(mean) != len(std):
            raise OdtError(f"{FLAG}: mean has {len(mean)} numbers and std {len(std)}")
        if min(std) <= 0:
            raise OdtError(f"{FLAG}: std is {min(std):g}; it must be above 0")
        return cls(text, mean, std, only_pixels=False)

    def of_pixels(self, pixels: np.ndarray, channel_axis: int | None) -> np.ndarray:
        """uint8 (N, ...) as float32; `channel_axis` is that of the array."""
        return self._of(pixels.astype(np.float32) / np.float32(self.unit), channel_axis)

    def of_values(self, values: np.ndarray, channel_axis: int | None) -> np.ndarray:
        """Measured values (N, ...) as float32."""
        if self.only_pixels:
            raise OdtError(
                f"data: {FLAG} {self.text} is for pixels of 8 bits, and this data is "
                f"{values.dtype}; it takes mean=..,std=.. or none"
            )
        return self._of(values.astype(np.float32), channel_axis)

    def _of(self, x: np.ndarray, channel_axis: int | None) -> np.ndarray:
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):  # infinity is refused
            return self._scaled(x, channel_axis)

    def _scaled(self, x: np.ndarray, channel_axis: int | None) -> np.ndarray:
        mean, std = (np.array(numbers, np.float32) for numbers in (self.mean, self.std))
        if mean.size > 1:
            if channel_axis is None or x.shape[channel_axis] != mean.size:
                channels = "unknown" if channel_axis is None else x.shape[channel_axis]
                raise OdtError(
                    f"data: {FLAG} {self.text} is for {mean.size} channels; a sample has {channels}"
                )
            shape = [1] * x.ndim
            shape[channel_axis] = mean.size
            mean, std = mean.reshape(shape), std.reshape(shape)
        return (x - mean) / std


NONE = Normalization("none", unit=1, only_pixels=False)
NAMED = {
    "0..1": Normalization("0..1"),
    "-1..1": Normalization("-1..1", (0.5,), (0.5,)),
    "imagenet": Normalization("imagenet", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "none": NONE,
}


def _numbers(texts: list[str], key: str) -> tuple[float, ...]:
    try:
        values = tuple(map(float, texts))
    except ValueError:
        values = ()
    if not values or not all(map(math.isfinite, values)):
        raise OdtError(f"{FLAG}: {key} must be a number, or one for each channel")
    return values
