"""The mel scale: triangles over the bins of a spectrum."""

from __future__ import annotations

import numpy as np

HTK, SLANEY = "htk", "slaney"
_KNEE_HZ, _KNEE_MEL = 1000.0, 15.0  # of SLANEY: linear below, logarithmic above
_STEP = np.log(6.4) / 27


def mel_filters(scale: str, bands: int, fft: int, rate: int, low: float, high: float) -> np.ndarray:
    """Weights of bins, float32 (bands, fft / 2 + 1); `low` and `high` are in Hz.

    Triangles are straight over Hz. Those of HTK are 1 high; those of SLANEY have an area of 1 over
    Hz.
    """
    ends = _mel(np.array([low, high]), scale).tolist()
    mels = np.linspace(ends[0], ends[1], bands + 2)
    corners = _hertz(mels, scale)
    bins = np.arange(fft // 2 + 1) * rate / fft
    left, middle, right = (corners[i : bands + i, None] for i in range(3))
    rising, falling = (bins - left) / (middle - left), (right - bins) / (right - middle)
    weights = np.maximum(0, np.minimum(rising, falling))
    if scale == SLANEY:
        weights *= 2 / (right - left)
    return weights.astype(np.float32)


def _mel(hertz: np.ndarray, scale: str) -> np.ndarray:
    if scale == HTK:
        return 2595 * np.log10(1 + hertz / 700)
    above = _KNEE_MEL + np.log(np.maximum(hertz, _KNEE_HZ) / _KNEE_HZ) / _STEP
    return np.where(hertz < _KNEE_HZ, hertz * _KNEE_MEL / _KNEE_HZ, above)


def _hertz(mel: np.ndarray, scale: str) -> np.ndarray:
    if scale == HTK:
        return 700 * (10 ** (mel / 2595) - 1)
    above = _KNEE_HZ * np.exp(_STEP * (np.maximum(mel, _KNEE_MEL) - _KNEE_MEL))
    return np.where(mel < _KNEE_MEL, mel * _KNEE_HZ / _KNEE_MEL, above)
