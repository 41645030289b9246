"""Features are computed once a sample, and are never those of another."""

import numpy as np

from tvm_ondevice_train.simulator.feature_cache import FeatureCache


def cache(most_bytes=1000):
    asked = []

    def compute(sample):
        asked.append(sample.copy())
        return bytes([int(sample.sum()) % 251])

    return FeatureCache(compute, most_bytes), asked


def test_a_row_is_computed_once():
    features, asked = cache()
    x = np.arange(12, dtype=np.int8).reshape(3, 4)
    expected = [bytes([int(row.sum())]) for row in x]
    for _ in range(3):
        assert [features(row) for row in x] == expected
    assert len(asked) == 3 and not features.full


def test_what_changed_in_its_place_is_computed_again():
    features, asked = cache()
    x = np.zeros((1, 4), np.int8)
    assert features(x[0]) == b"\0"
    x[0] = 5
    assert features(x[0]) == bytes([20]) == features(x[0])
    assert len(asked) == 2


def test_no_more_is_kept_than_allowed():
    features, asked = cache(most_bytes=12)
    x = np.arange(12, dtype=np.int8).reshape(3, 4)
    for _ in range(2):
        assert [features(row) for row in x] == [bytes([int(row.sum())]) for row in x]
    assert features.full and len(asked) == 4
