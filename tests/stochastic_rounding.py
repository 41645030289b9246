"""What odt_update_code() does, in NumPy."""

from __future__ import annotations

import numpy as np

STEP_STRIDE = np.uint32(0x9E3779B9)  # of the seeds of a run's steps


def random_numbers(seed: int, index: np.ndarray) -> np.ndarray:
    """odt_random: uint32, of a seed and the index of an element."""
    with np.errstate(over="ignore"):
        x = np.uint32(seed) + index.astype(np.uint32) * np.uint32(0x9E3779B9)
        x ^= x >> np.uint32(16)
        x *= np.uint32(0x7FEB352D)
        x ^= x >> np.uint32(15)
        x *= np.uint32(0x846CA68B)
        return x ^ x >> np.uint32(16)


def updated_codes(
    codes: np.ndarray, step: np.ndarray, limit: int, seed: int, index: np.ndarray | None = None
) -> np.ndarray:
    """``codes - step``, stochastically rounded and saturated; `step` is float32 of their shape."""
    index = np.arange(codes.size).reshape(codes.shape) if index is None else index
    magnitude = np.abs(step.astype(np.float64))
    whole = np.floor(magnitude)
    fraction = np.floor((magnitude - whole) * 2.0**32)
    rounded = np.sign(step) * (whole + (random_numbers(seed, index) < fraction))
    return np.clip(codes - rounded, -limit - 1, limit).astype(codes.dtype)
