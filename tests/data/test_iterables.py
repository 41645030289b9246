"""Samples that Python gives one after the other."""

import itertools

import numpy as np
import pytest
import torch
from manifests import CODES, taking
from torch.utils.data import DataLoader, Dataset, TensorDataset

from tvm_ondevice_train.data import Reading, iterables, load_data, load_inputs
from tvm_ondevice_train.errors import OdtError

X = np.random.default_rng(0).normal(size=(7, 2, 3)).astype(np.float32)
Y = np.arange(7) % 3
PAIRS = list(zip(X, Y, strict=True))
TAKING = taking(2, 3)


class Indexed(Dataset):
    """A set that does not end by itself, as torch's need not."""

    def __len__(self):
        return len(X)

    def __getitem__(self, index):
        return torch.tensor(X[index % 7]), int(Y[index % 7])


class Tensor:
    """What tf.data gives: no array, but it can be one."""

    def __init__(self, value):
        self.value = value

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.value, dtype)


@pytest.mark.parametrize(
    "data",
    [
        PAIRS,
        iter(PAIRS),
        [{"image": x, "label": y} for x, y in PAIRS],
        [(Tensor(x), Tensor(y)) for x, y in PAIRS],
        [(X[:4], Y[:4]), (X[4:], Y[4:])],
        [(X[:4], Y[:4]), (X[4:6], Y[4:6]), (X[6], Y[6:])],
        TensorDataset(torch.tensor(X), torch.tensor(Y)),
        DataLoader(TensorDataset(torch.tensor(X), torch.tensor(Y)), batch_size=3),
        Indexed(),
        {"train": PAIRS},
    ],
    ids=lambda data: type(data).__name__,
)
def test_pairs_and_batches_are_samples(data):
    found = load_data(data, TAKING)
    np.testing.assert_array_equal(found.x, X)
    np.testing.assert_array_equal(found.y, Y)


def test_splits_are_sets_by_their_names():
    found = load_data({"train": PAIRS, "test": PAIRS[:2], "validation": iter(PAIRS[2:5])}, TAKING)
    assert [len(y) for y in (found.y, found.y_test, found.y_val)] == [7, 2, 3]


def test_what_has_no_end_is_taken_as_far_as_asked(monkeypatch):
    found = load_data(itertools.cycle(PAIRS), TAKING, Reading.of(limit=10))
    np.testing.assert_array_equal(found.y, [*Y, *Y[:3]])
    monkeypatch.setattr(iterables, "_MOST_BYTES", 20 * 24)
    with pytest.raises(OdtError, match="train has no length, and more than 20 samples; say how"):
        load_data(itertools.cycle(PAIRS), TAKING)


def test_values_may_be_learned_from_samples_alone():
    found = load_data(list(X), taking(2, 3, classes=None))
    np.testing.assert_array_equal(found.y, X.reshape(7, 6))
    values = load_data([(x, -x) for x in X], taking(2, 3, classes=None))
    np.testing.assert_array_equal(values.y, -X.reshape(7, 6))


def test_inputs_alone_need_no_targets():
    np.testing.assert_array_equal(load_inputs(list(X), TAKING, most=3), X[:3])
    np.testing.assert_array_equal(load_inputs({"x": X}, TAKING, most=9), X)


def test_images_are_read_as_arrays_are():
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    found = load_data([(pixels, 1)], taking(3, 2, 4, codes=CODES, layout="NCHW"))
    np.testing.assert_array_equal(found.x[0], pixels.transpose(2, 0, 1).astype(int) - 128)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([(X[0], 0), (X[0].T, 0)], r"item 1 of train has shape \(3, 2\); the model takes \(2, 3\)"),
        ([(X[0], 0, 0)], r"item 0 of train has 3 parts; it must be a pair"),
        ([(X[:2], Y[:3])], r"has 2 samples and targets of shape \(3,\)"),
        ([{"pixels": X[0], "label": 0}], "has pixels, label; a sample is called x, image"),
        ([X[0]], "samples without targets; give pairs"),
        ([(X[0], 3)], r"targets of train\[0\] is 3; the model has classes 0 to 2"),
        ([(X[0], 0.5)], "targets of train is float64"),
        ([(X[0] * np.nan, 1)], "item 0 of train holds NaN or infinity"),
        ([(torch.tensor(X[0], requires_grad=True), 1)], "item 0 of train is no array: Can't call"),
        ([], "train has no samples"),
        ({"train": 3}, "train is a int, and gives no samples"),
        ({"train": PAIRS, "other": PAIRS}, "'other' is no split; allowed are train, validation"),
    ],
)
def test_what_gives_no_samples_is_one_line(data, message):
    with pytest.raises(OdtError, match=message):
        load_data(data, TAKING)


def test_targets_of_several_shapes_are_one_line():
    with pytest.raises(OdtError, match="targets of train have several shapes"):
        load_data([(X[0], X[0]), (X[1], X[1, 0])], taking(2, 3, classes=None))
