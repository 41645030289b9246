"""What a front end for sound computes, as a value, and the tables that it computes with."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

import numpy as np

from ...errors import OdtError
from ..settings import number, settings_of, shown
from .mel import HTK, SLANEY, mel_filters

FLAG = "--audio"
LOG_MEL, MFCC = "log-mel", "mfcc"
POWER, MAGNITUDE = "power", "magnitude"
_CHOICES = {"mel": (HTK, SLANEY), "spectrum": (POWER, MAGNITUDE)}
_LIMITS = {
    "rate": (1000, 192_000, int),
    "window": (1, 1000, float),
    "hop": (0.1, 1000, float),
    "bands": (1, 256, int),
    "coefficients": (1, 256, int),
    "low": (0, 96_000, float),
    "high": (1, 96_000, float),
    "offset": (1e-30, 1, float),
}
_LARGEST_FFT = 8192


@dataclass(frozen=True)
class FrontEnd:
    """Log-mel energies of frames of sound, or their first cepstral coefficients.

    kind : LOG_MEL or MFCC.
    rate : samples a second; None until recordings tell it.
    window, hop : of a frame, and from one frame to the next, in milliseconds.
    bands : of the mel scale, from `low` to `high` Hz; None is half the rate.
    coefficients : of MFCC.
    mel : HTK, triangles of height 1 as torchaudio has them by default; SLANEY, of area 1, as
        librosa has.
    spectrum : what of it is weighted, POWER or MAGNITUDE.
    offset : is added to each band before the natural logarithm.
    """

    kind: str = LOG_MEL
    rate: int | None = None
    window: float = 32.0
    hop: float = 16.0
    bands: int = 40
    coefficients: int = 13
    low: float = 20.0
    high: float | None = None
    mel: str = HTK
    spectrum: str = POWER
    offset: float = 1e-6

    def __post_init__(self) -> None:
        if self.kind == MFCC and self.coefficients > self.bands:
            raise OdtError(
                f"{FLAG}: coefficients is {self.coefficients}; there are {self.bands} bands"
            )
        if self.rate is None:
            return
        assert self.highest is not None, "the rate is known"
        if not self.low < self.highest <= self.rate / 2:
            raise OdtError(
                f"{FLAG}: bands lie from {self.low:g} to {self.highest:g} Hz; at {self.rate:,} Hz "
                f"they end at {self.rate / 2:g} at most"
            )
        if self.window_samples > _LARGEST_FFT or self.window_samples < 4 or self.hop_samples < 1:
            raise OdtError(
                f"{FLAG}: at {self.rate:,} Hz the window has {self.window_samples} samples and the "
                f"hop {self.hop_samples}; allowed are 4 to {_LARGEST_FFT}, and 1 up"
            )
        empty = np.flatnonzero(self.filters().max(axis=1) == 0)
        if empty.size:
            raise OdtError(
                f"{FLAG}: band {empty[0]} of {self.bands} lies between two of the {self.fft // 2} "
                "bins of the spectrum; take fewer bands, or a longer window"
            )

    @classmethod
    def parse(cls, text: str) -> FrontEnd:
        """From "mfcc,rate=16000,window=30,hop=20"; OdtError for anything else."""
        names = [entry.name for entry in fields(cls) if entry.name != "kind"]
        values: dict[str, object] = {}
        for name, given in settings_of(text, FLAG, (LOG_MEL, MFCC, *names)).items():
            if name in (LOG_MEL, MFCC):
                if given or "kind" in values:
                    raise OdtError(f"{FLAG}: give {LOG_MEL} or {MFCC}, once and without a value")
                values["kind"] = name
            elif name in _CHOICES:
                if len(given) != 1 or given[0] not in _CHOICES[name]:
                    found, allowed = shown(",".join(given)), " or ".join(_CHOICES[name])
                    raise OdtError(f"{FLAG}: {name} is {found}; allowed: {allowed}")
                values[name] = given[0]
            else:
                values[name] = number(given, FLAG, name, *_LIMITS[name])
        if "coefficients" in values and values.get("kind") != MFCC:
            raise OdtError(f"{FLAG}: coefficients are of {MFCC}")
        return cls(**values)  # type: ignore[arg-type]

    def __str__(self) -> str:
        """As `parse` reads it, everything said."""
        shown_fields = [entry.name for entry in fields(self) if entry.name != "kind"]
        if self.kind != MFCC:
            shown_fields.remove("coefficients")
        values = {name: getattr(self, name) for name in shown_fields} | {"high": self.highest}
        texts = (
            f"{name}={value if isinstance(value, str) else format(value, 'g')}"
            for name, value in values.items()
            if value is not None
        )
        return ",".join([self.kind, *texts])

    def at(self, rate: int) -> FrontEnd:
        """That for recordings of `rate`, if it has none of its own."""
        return self if self.rate is not None else replace(self, rate=rate)

    @property
    def features(self) -> int:
        """Of one frame."""
        return self.coefficients if self.kind == MFCC else self.bands

    @property
    def highest(self) -> float | None:
        """Where the last band ends, in Hz."""
        return self.rate / 2 if self.high is None and self.rate is not None else self.high

    @property
    def window_samples(self) -> int:
        return self._samples(self.window)

    @property
    def hop_samples(self) -> int:
        return self._samples(self.hop)

    @property
    def fft(self) -> int:
        """The power of two from the window's length up."""
        return 1 << (self.window_samples - 1).bit_length()

    def samples_of(self, frames: int) -> int:
        """That `frames` frames need."""
        return self.window_samples + (frames - 1) * self.hop_samples

    def filters(self) -> np.ndarray:
        """Weight of each bin in each band, float32 (bands, fft / 2 + 1)."""
        assert self.rate is not None and self.highest is not None
        return mel_filters(self.mel, self.bands, self.fft, self.rate, self.low, self.highest)

    def shape(self) -> np.ndarray:
        """The periodic Hann window, float32."""
        places = np.arange(self.window_samples) / self.window_samples
        return (0.5 - 0.5 * np.cos(2 * np.pi * places)).astype(np.float32)

    def turns(self) -> np.ndarray:
        """Cosine and sine of 2 pi k / fft, float32 (fft / 2, 2)."""
        angles = 2 * np.pi * np.arange(self.fft // 2) / self.fft
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)

    def cosines(self) -> np.ndarray:
        """The orthonormal DCT-II, float32 (coefficients, bands); no rows for LOG_MEL."""
        count = self.coefficients if self.kind == MFCC else 0
        rows, places = np.arange(count)[:, None], np.arange(self.bands) + 0.5
        table = np.cos(np.pi * rows * places / self.bands) * math.sqrt(2 / self.bands)
        table[:1] /= math.sqrt(2)
        return table.astype(np.float32)

    def _samples(self, milliseconds: float) -> int:
        assert self.rate is not None, "see at"
        return round(self.rate * milliseconds / 1000)
