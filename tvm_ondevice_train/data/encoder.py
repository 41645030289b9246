"""Samples as people have them, in the model's own dtype and layout."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..device.samples import encode_inputs
from ..errors import OdtError
from ..manifest import Manifest
from ..tensor_spec import TensorSpec
from .layout import arranged, channel_axis
from .normalization import ALLOWED, FLAG, NAMED, NONE, Normalization

_PART_ELEMENTS = 1 << 20  # are float32 at a time: a large set never lies in memory as floats
_RANGES = (NAMED["0..1"], NAMED["-1..1"], NONE)  # that the codes of a model may stand for
_A_CODE, _HALF_A_CODE = 1.01, 0.51  # and what float32 rounds


class Encoder:
    """Samples (N, ...) -> samples (N, ...) as the device reads them.

    Pixels of 8 bits become reals by `normalization`; without one they become the model's codes,
    p - 128, where those stand for 0..1, -1..1 or 0..255, and are refused elsewhere. `say` is told
    once what was not asked for.
    """

    def __init__(
        self,
        manifest: Manifest,
        normalization: Normalization | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.manifest, self.normalization = manifest, normalization
        self.channel_axis = channel_axis(manifest.sample_shape, manifest.input_layout)
        self._say, self._said = say, set[str]()

    def __call__(self, x: np.ndarray, name: str) -> np.ndarray:
        """OdtError calls the samples `name`."""
        x, layout = arranged(x, self.manifest.sample_shape, self.manifest.input_layout)
        if layout is not None:
            self._once(f"data: samples are {layout} and become the model's own layout")
        if x.shape[1:] != self.manifest.sample_shape:
            return encode_inputs(x, self.manifest, name)  # which refuses it
        if x.dtype == np.uint8:
            return self._pixels(x, name)
        floats = np.issubdtype(x.dtype, np.floating)
        if self.normalization in (None, NONE):
            if floats and self.manifest.input.dtype == "int8":
                return self._in_parts(x, name, lambda part: part)
            return encode_inputs(x, self.manifest, name)
        if not floats:
            raise OdtError(f"data: {name} is {x.dtype}; {FLAG} takes uint8 or floats")
        return self._in_parts(x, name, self._normalized)

    def _pixels(self, x: np.ndarray, name: str) -> np.ndarray:
        spec, chosen = self.manifest.input, self.normalization
        if chosen is None:
            low, high = _range_of_codes(spec, name)
            self._once(f"data: a pixel p becomes the code p - 128: 0 to 255 are {low} to {high}")
        elif not _has_same_range(spec, chosen, _HALF_A_CODE):
            return self._in_parts(x, name, self._normalized)
        return np.ascontiguousarray(x ^ np.uint8(0x80)).view(np.int8)

    def _normalized(self, x: np.ndarray) -> np.ndarray:
        axis = None if self.channel_axis is None else self.channel_axis + 1
        assert self.normalization is not None
        make = self.normalization
        return make.of_pixels(x, axis) if x.dtype == np.uint8 else make.of_values(x, axis)

    def _in_parts(
        self, x: np.ndarray, name: str, reals: Callable[[np.ndarray], np.ndarray]
    ) -> np.ndarray:
        """Encoded `reals` of `x`."""
        manifest = self.manifest
        count = max(1, _PART_ELEMENTS // math.prod(manifest.sample_shape))
        if len(x) <= count:
            return encode_inputs(reals(x), manifest, name)
        encoded = np.empty((len(x), *manifest.sample_shape), manifest.input.dtype)
        for first in range(0, len(x), count):
            part = slice(first, min(first + count, len(x)))
            named = f"{name}[{part.start}:{part.stop}]"
            encoded[part] = encode_inputs(reals(x[part]), manifest, named)
        return encoded

    def _once(self, line: str) -> None:
        if line not in self._said:
            self._said.add(line)
            self._say(line)


def _has_same_range(spec: TensorSpec, normalization: Normalization, apart: float) -> bool:
    """Whether pixels 0 and 255 are codes -128 and 127, but for `apart` codes."""
    if spec.dtype != "int8" or spec.scale is None or len(normalization.mean) > 1:
        return False
    assert spec.zero_point is not None
    ends = normalization.of_pixels(np.array([0, 255], np.uint8), None)
    codes = ends / np.float32(spec.scale) + np.float32(spec.zero_point)
    return bool(np.all(np.abs(codes - np.array([-128, 127])) <= apart))


def _range_of_codes(spec: TensorSpec, name: str) -> tuple[str, str]:
    """The reals that the model's codes stand for, if pixels can only be meant as those."""
    if spec.dtype == "int8" and spec.scale is None:
        return "codes -128", "127"
    if any(_has_same_range(spec, one, _A_CODE) for one in _RANGES):
        return _ends(spec)
    takes = "float32"
    if spec.dtype == "int8":
        takes = "int8 codes of {} to {}".format(*_ends(spec))
    raise OdtError(
        f"data: {name} is uint8, and the model takes {takes}; say how a pixel becomes a number: "
        f"{FLAG} {ALLOWED}"
    )


def _ends(spec: TensorSpec) -> tuple[str, str]:
    assert spec.scale is not None and spec.zero_point is not None
    low, high = ((code - spec.zero_point) * spec.scale for code in (-128, 127))
    return f"{low:.3g}", f"{high:.3g}"
