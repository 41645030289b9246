"""The sum of two scaled int8 codes in 32 bits, with every code that 64 bits would give.

There are only 65,536 pairs of codes. So close multipliers of fewer bits are tried on all of them,
until some give the same code for every pair.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .masks import INT8_MAX, INT8_MIN

_REACH = 16  # how many units a multiplier is moved, either way
_CLOSE = 2.0**-8  # in codes; larger than what moving the multipliers can add


@dataclass(frozen=True)
class SumIn32Bits:
    """``code = (offset + a * left + b * right) >> shift``, zero points included; all int32.

    `low` and `high` are the least and the greatest sum before the shift that the activation
    passes, None where nothing asks.
    """

    left: int
    right: int
    offset: int
    shift: int
    low: int | None = None
    high: int | None = None


@lru_cache
def sum_in_32_bits(
    left: int,
    right: int,
    shift: int,
    zero_points: tuple[int, int, int],
    bounds: tuple[int, int] | None = None,
) -> SumIn32Bits | None:
    """A form of ``round(((a - za) * left + (b - zb) * right) / 2**shift) + zero_point``.

    Rounded half to even, and equal where the code lies in int8; beyond, beyond on the same side.

    zero_points : za, zb and that of the result.
    bounds : least and greatest 64-bit sum that an activation passes, if a mask is wanted.

    None if there is no such form near the multipliers.
    """
    za, zb, zero_point = zero_points
    a, b = (n.ravel() for n in np.meshgrid(*[np.arange(INT8_MIN, INT8_MAX + 1)] * 2))
    total = (a - za) * left + (b - zb) * right
    real = np.ldexp(total.astype(np.float64), -shift) + zero_point
    codes = np.clip(_half_to_even(total, shift) + zero_point, INT8_MIN - 1, INT8_MAX + 1)
    bits = 30 - int(np.frexp(np.abs(real).max() + 1)[1])
    if bits < 1:
        return None
    multipliers = [round(m * 2.0 ** (bits - shift)) for m in (left, right)]
    near = (np.abs(real - np.floor(real) - 0.5) < _CLOSE) & (np.abs(real) < 130)
    steps = np.arange(-_REACH, _REACH + 1)
    found = []
    for step in steps:
        one, others = multipliers[0] + step, multipliers[1] + steps
        base = a[near] * one + others[:, None] * b[near]
        first, last = _offsets(base, codes[near], bits)
        found += [(last[i] - first[i], one, others[i]) for i in np.flatnonzero(first <= last)]
    for _, one, other in sorted(found, reverse=True):
        base = a * one + b * other
        first, last = _offsets(base, codes, bits)
        if first > last:
            continue
        offset = (first + last) // 2
        passed = _limits(base + offset, total, bounds)
        if passed is not None:
            return SumIn32Bits(int(one), int(other), int(offset), bits, *passed)
    return None


def _half_to_even(total: np.ndarray, shift: int) -> np.ndarray:
    biased = total + (1 << (shift - 1))
    rounded = biased >> shift
    return np.where(biased & ((1 << shift) - 1), rounded, rounded & ~1)


def _offsets(base: np.ndarray, codes: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest offset that gives all `codes`; the least is larger where none does."""
    least = np.where(codes >= INT8_MIN, (codes << bits) - base, -(2**31))
    greatest = np.where(codes <= INT8_MAX, ((codes + 1) << bits) - 1 - base, 2**31)
    first, last = least.max(-1, initial=-(2**31)), greatest.min(-1, initial=2**31)
    return np.asarray(first), np.asarray(last)


def _limits(
    sums: np.ndarray, total: np.ndarray, bounds: tuple[int, int] | None
) -> tuple[int, int] | tuple[()] | None:
    """Ends of the `sums` whose `total` lies in `bounds`, None if others lie between them."""
    if bounds is None:
        return ()
    inside = (total >= bounds[0]) & (total <= bounds[1])
    if not inside.any():
        return None
    low, high = sums[inside].min(), sums[inside].max()
    between = (sums >= low) & (sums <= high)
    return (int(low), int(high)) if (between == inside).all() else None
