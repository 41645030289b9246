"""`take_channels` and `merge_channels` against numpy."""

import numpy as np
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from relay_passes.ops.channels import indices_of, merge_channels, ranges_of, take_channels

DTYPES = st.sampled_from(["float32", "int8", "int32"])


@st.composite
def subsets(draw, whole: bool):
    """(shape, axis, ascending indices along it); all of them only if `whole`."""
    shape = draw(st.lists(st.integers(1, 3), min_size=2, max_size=4))
    axis = draw(st.integers(0, min(1, len(shape) - 1)))
    shape[axis] = draw(st.integers(1 if whole else 2, 9))
    most = shape[axis] - (not whole)
    chosen = draw(st.sets(st.integers(0, shape[axis] - 1), min_size=1, max_size=most))
    return shape, axis, sorted(chosen)


def random_codes(shape, dtype, seed=0):
    return np.random.default_rng(seed).integers(-128, 128, shape).astype(dtype)


@given(st.sets(st.integers(0, 40)))
def test_ranges_are_as_few_as_can_be_and_stand_for_their_indices(chosen):
    ranges = ranges_of(sorted(chosen))
    assert indices_of(ranges) == sorted(chosen)
    assert ranges == sorted(set(ranges))  # no empty range, none that begins where another ends


@settings(max_examples=15, deadline=None, derandomize=True)
@given(subsets(whole=True), DTYPES)
def test_take(subset, dtype):
    shape, axis, chosen = subset
    data = random_codes(shape, dtype)
    module = tiny.module(
        {"x": (shape, dtype)}, lambda emit, x: emit(take_channels(x, ranges_of(chosen), axis))
    )
    (found,) = tiny.run(module, x=data)
    np.testing.assert_array_equal(found, np.take(data, chosen, axis))


@settings(max_examples=15, deadline=None, derandomize=True)
@given(subsets(whole=False), DTYPES)
def test_merge(subset, dtype):
    shape, axis, chosen = subset
    whole = random_codes(shape, dtype)
    parts = {"t": np.take(whole, chosen, axis), "f": np.delete(whole, chosen, axis)}
    module = tiny.module(
        {name: (part.shape, dtype) for name, part in parts.items()},
        lambda emit, t, f: emit(merge_channels(t, f, ranges_of(chosen), axis)),
    )
    (found,) = tiny.run(module, **parts)
    np.testing.assert_array_equal(found, whole)


@pytest.mark.parametrize("ranges, axis", [([0, 2], 1), ([1, 2, 3, 4], 1), ([2, 3], 0)])
def test_taking_what_was_merged_gives_it_back(ranges, axis):
    whole = random_codes((4, 5, 1, 1), "float32")
    chosen = indices_of(ranges)
    parts = {"t": np.take(whole, chosen, axis), "f": np.delete(whole, chosen, axis)}

    def body(emit, t, f):
        return emit(take_channels(emit(merge_channels(t, f, ranges, axis)), ranges, axis))

    types = {name: (part.shape, "float32") for name, part in parts.items()}
    for fuse in (False, True):
        (found,) = tiny.run(tiny.module(types, body), fuse, **parts)
        np.testing.assert_array_equal(found, parts["t"])
