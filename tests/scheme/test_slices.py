"""What a trained tensor holds of its parameter."""

import numpy as np
import pytest

from tvm_ondevice_train.scheme.slices import Slice

SHAPE = (4, 5, 2, 2)
CASES = [
    (None, None),
    ([3, 1], None),
    (None, [0, 4]),
    ([2, 0, 3], [4, 1]),
    ([3, 2, 1, 0], [0, 1, 2, 3, 4]),
]


def slice_of(rows, columns, shape=SHAPE) -> Slice:
    axes = (None if axis is None else np.array(axis) for axis in (rows, columns))
    return Slice(shape, *axes)


@pytest.mark.parametrize("rows, columns", CASES)
def test_what_is_cut_out_and_put_back_leaves_the_whole_as_it_was(rows, columns):
    whole = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    stored = whole[slice(None) if rows is None else rows]
    stored = stored[:, slice(None) if columns is None else columns]
    part, before = slice_of(rows, columns), whole.copy()
    np.testing.assert_array_equal(part.take(whole), stored)
    np.testing.assert_array_equal(part.put(whole, stored), whole)
    changed = part.put(whole, -1 - stored)
    assert (changed != whole).sum() == stored.size
    np.testing.assert_array_equal(part.put(changed, stored), whole)
    np.testing.assert_array_equal(whole, before)


@pytest.mark.parametrize("rows", [None, [2, 0]])
def test_a_bias_has_rows_alone(rows):
    whole = np.arange(3)
    stored = np.array([7, 8, 9][: 3 if rows is None else 2])
    expected = stored if rows is None else [8, 1, 7]
    part = slice_of(rows, None, (3,))
    np.testing.assert_array_equal(part.put(whole, stored), expected)
    np.testing.assert_array_equal(part.take(expected), stored)


def test_a_tensor_of_another_size_is_refused():
    with pytest.raises(ValueError):
        slice_of([0, 1], [2]).put(np.zeros(SHAPE), np.zeros((3, 1, 2, 2)))
