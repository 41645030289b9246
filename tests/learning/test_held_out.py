"""What is held out: of each class alike, the same for the same seed, and never too much."""

from dataclasses import replace

import numpy as np
import pytest
from fake_project import MANIFEST

from tvm_ondevice_train.data import Data
from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.learning.held_out import with_validation
from tvm_ondevice_train.manifest import Target

COUNTS = (100, 50, 7, 2, 1)
Y = np.repeat(np.arange(len(COUNTS), dtype=np.int32), COUNTS)
X = np.arange(len(Y))[:, None]


def test_each_class_gives_its_share():
    data = with_validation(Data(X, Y), 0.2, 3, MANIFEST)
    held = np.bincount(data.y_val, minlength=len(COUNTS)).tolist()
    assert held == [20, 10, 1, 1, 0]  # one of two, none of one
    assert sorted([*data.x[:, 0], *data.x_val[:, 0]]) == list(range(len(Y)))
    assert (Y[data.x_val[:, 0]] == data.y_val).all() and (Y[data.x[:, 0]] == data.y).all()


def test_the_seed_chooses():
    first, again, other = (with_validation(Data(X, Y), 0.3, s, MANIFEST) for s in (1, 1, 2))
    assert (first.x_val == again.x_val).all() and not (first.x_val == other.x_val).all()


def test_values_have_no_classes():
    values = replace(MANIFEST, loss="mse", classes=None, target=Target("values", (10,)))
    data = with_validation(Data(X, np.zeros((len(X), 10), np.float32)), 0.25, 0, values)
    assert len(data.x_val) == len(X) // 4


@pytest.mark.parametrize(
    ("data", "share", "message"),
    [
        (Data(X, Y), 0.0, "a share between 0 and 1"),
        (Data(X, Y), 1.0, "a share between 0 and 1"),
        (Data(X[-1:], Y[-1:]), 0.5, "of 1 samples, 0.5 for validation leaves no other set"),
        (Data(X, Y, x_val=X, y_val=Y), 0.5, "x_val already"),
    ],
)
def test_what_cannot_be_held_out(data, share, message):
    with pytest.raises(OdtError, match=message):
        with_validation(data, share, 0, MANIFEST)
    assert with_validation(data, None, 0, MANIFEST) is data
