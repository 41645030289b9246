"""Training samples that differ from step to step: a function of sample, seed and step alone."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np

from ..device.samples import decode_inputs, encode_inputs
from ..errors import OdtError
from ..manifest import Manifest
from .settings import number, settings_of, shown

FLAG = "--augment"
_MOST = 1e30  # of other amounts: a float32 stays finite
_WHOLE = ("shift", "cutout")  # numbers of pixels, frames or rows


@dataclass(frozen=True)
class Augmentation:
    """What a step does to its sample; every number is drawn evenly but for `noise`.

    Amounts are in the units of the model's real input, after normalization.

    flip : the last axis of an image, in half of the steps.
    shift : up to so many pixels, frames or rows either way along each axis; the edge is repeated.
    scale : factor from 1 - scale to 1 + scale.
    brightness : one number from -brightness to brightness is added.
    cutout : a square, or a span of time, of that side becomes the sample's mean.
    noise : standard deviation of what is added to each value.
    """

    flip: bool = False
    shift: int = 0
    scale: float = 0.0
    brightness: float = 0.0
    cutout: int = 0
    noise: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Augmentation:
        """From "flip,shift=4,noise=0.01"; OdtError for anything else."""
        allowed = [entry.name for entry in fields(cls)]
        values: dict[str, float] = {}
        for name, given in settings_of(text, FLAG, allowed).items():
            if name == "flip":
                if given:
                    raise OdtError(f"{FLAG}: flip has no value, not {shown(given[0])}")
                values[name] = True
            elif name in _WHOLE:
                values[name] = number(given, FLAG, name, 0, 1 << 16, int)
            else:
                values[name] = number(given, FLAG, name, 0, _MOST if name != "scale" else 1)
        return cls(**values)  # type: ignore[arg-type]

    def of(
        self, x: np.ndarray, axes: tuple[int, ...], image: bool, random: np.random.Generator
    ) -> np.ndarray:
        """Of one float32 sample; `axes` are those of space or time. `x` itself is not changed."""
        if self.flip and image and random.random() < 0.5:
            x = np.flip(x, axes[-1])
        if self.shift:
            for axis in axes:
                x = _shifted(x, int(random.integers(-self.shift, self.shift + 1)), axis)
        if self.scale:
            x = x * np.float32(random.uniform(1 - self.scale, 1 + self.scale))
        if self.brightness:
            x = x + np.float32(random.uniform(-self.brightness, self.brightness))
        if self.cutout:
            x = _with_hole(x, self.cutout, axes, random)
        if self.noise:
            x = x + random.normal(0, self.noise, x.shape).astype(np.float32)
        return x


@dataclass(frozen=True)
class Augmenter:
    """(encoded sample, seed, step) -> encoded sample; the same for the same seed and step.

    axes : of a sample that lie in space or time. image : whether they are those of an image.

    Raises OdtError for what such samples cannot have.
    """

    augmentation: Augmentation
    axes: tuple[int, ...]
    image: bool
    manifest: Manifest = field(repr=False)

    def __post_init__(self) -> None:
        wanted, spec, shape = self.augmentation, self.manifest.input, self.manifest.sample_shape
        if spec.dtype == "int8" and spec.scale is None:
            raise OdtError(f"{FLAG}: the model's input are int8 codes without a scale")
        if wanted.flip and not self.image:
            raise OdtError(f"{FLAG}: flip is for images")
        if (wanted.shift or wanted.cutout) and not self.axes:
            raise OdtError(f"{FLAG}: which axis of {shape} to shift is not known")
        for length in (shape[axis] for axis in self.axes):
            for name in _WHOLE:
                value = getattr(wanted, name)
                if value >= length:
                    raise OdtError(
                        f"{FLAG}: {name} is {value}; a sample has {length} along that axis"
                    )

    def __call__(self, sample: np.ndarray, seed: int, step: int) -> np.ndarray:
        random = np.random.default_rng((seed, step))
        real = decode_inputs(sample, self.manifest)
        changed = self.augmentation.of(real, self.axes, self.image, random)
        return encode_inputs(changed[None], self.manifest)[0]


def _shifted(x: np.ndarray, by: int, axis: int) -> np.ndarray:
    places = np.clip(np.arange(x.shape[axis]) - by, 0, x.shape[axis] - 1)
    return np.take(x, places, axis)


def _with_hole(
    x: np.ndarray, side: int, axes: tuple[int, ...], random: np.random.Generator
) -> np.ndarray:
    hole = [slice(None)] * x.ndim
    for axis in axes:
        first = int(random.integers(0, x.shape[axis] - side + 1))
        hole[axis] = slice(first, first + side)
    changed = x.copy()
    changed[tuple(hole)] = x.mean()
    return changed
