"""32-bit sums of two codes against the 64-bit definition, over all pairs of codes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay_passes.ops.sum_in_32_bits import sum_in_32_bits

A, B = np.meshgrid(np.arange(-128, 128), np.arange(-128, 128))
zero_points = st.integers(-128, 127)
factors = st.floats(2.0**-6, 2.0**3)


def definition(left, right, shift, zero_points):
    """Codes, clamped to one beyond int8, and the sums that are rounded to them."""
    total = (A - zero_points[0]) * left + (B - zero_points[1]) * right
    whole, rest = total >> shift, total & ((1 << shift) - 1)
    half = 1 << (shift - 1)
    up = (rest > half) | ((rest == half) & (whole % 2 == 1))
    return np.clip(whole + up + zero_points[2], -129, 128), total


def check(form, left, right, shift, zero_points, bounds=None):
    """The form gives every code, in int32 throughout."""
    codes, total = definition(left, right, shift, zero_points)
    partial = form.offset + A * form.left
    sums = partial + B * form.right
    for value in (A * form.left, B * form.right, partial, sums):
        assert np.abs(value).max() < 2**31
    np.testing.assert_array_equal(np.clip(sums >> form.shift, -129, 128), codes)
    if bounds is not None:
        passed = (total >= bounds[0]) & (total <= bounds[1])
        np.testing.assert_array_equal((sums >= form.low) & (sums <= form.high), passed)


@settings(max_examples=30, deadline=None)
@given(factors, factors, st.tuples(*[zero_points] * 3))
def test_a_form_gives_every_code(left, right, zero_points):
    numbers = round(left * 2**25), round(right * 2**25), 25, zero_points
    form = sum_in_32_bits(*numbers)
    if form is not None:
        check(form, *numbers)


@settings(max_examples=30, deadline=None)
@given(factors, factors, st.tuples(*[zero_points] * 3), st.integers(0, 2**31))
def test_a_form_keeps_the_bounds_of_an_activation(left, right, zero_points, width):
    numbers = round(left * 2**25), round(right * 2**25), 25, zero_points, (1, 1 + width)
    form = sum_in_32_bits(*numbers)
    if form is not None:
        check(form, *numbers)


@pytest.mark.parametrize(
    "left, right, zero_points",
    [
        (144954516, 270550899, (0, 14, 12)),  # the first of a published network
        (525815466, 449056377, (0, 22, 3)),
        (2**28, 2**28, (5, -7, 0)),  # no fraction at all
        (300_000_000, 7, (1, 2, 127)),
    ],
)
def test_there_is_a_form(left, right, zero_points):
    numbers = left, right, 28, zero_points
    for bounds in (None, (1, 2**62), (0, 20 << 28)):
        check(sum_in_32_bits(*numbers, bounds), *numbers, bounds)


def test_ties_both_up_and_down_have_none():
    """Halves are rounded to even: no constant can do that."""
    assert sum_in_32_bits(2**27, 2**28, 28, (0, 0, 0)) is None
