"""What a run says of itself: each warning where it is due, and none where all is well."""

import math
import re

import numpy as np
import pytest

from tvm_ondevice_train.learning.health import of_labels, saturation, warnings

CODES = np.arange(-50, 50, dtype=np.int8)
START = {"weight": CODES, "bias": np.zeros(4, np.int32), "head": np.ones(4, np.float32)}
MOVED = {**START, "head": np.zeros(4, np.float32)}
GUESS = math.log(10)
NOISE = np.random.default_rng(0).normal(0, 0.3, 100)


def told(losses=(), evaluations=(), values=None, guess=GUESS):
    return warnings(losses, evaluations, values or [(0, START), (100, MOVED)], guess=guess)


@pytest.mark.parametrize(
    "losses",
    [
        np.linspace(2.3, 0.1, 100) + NOISE,
        np.full(100, 1.0) + NOISE,
        [0.1] * 10 + [9.0] * 9,  # too few to say
        np.linspace(10.8, 3.0, 100) + NOISE,  # falls, if not yet below that of a guess
        np.full(100, 1.0) + 6 * NOISE,
    ],
    ids=["falls", "stays", "short", "from far", "noise"],
)
def test_losses_that_say_nothing_bad(losses):
    assert told(list(losses), [{"loss": 2.0}, {"loss": 2.1}]) == []


@pytest.mark.parametrize(
    ("losses", "guess", "expected"),
    [
        (
            np.linspace(0.5, 2.0, 100),
            math.log(10),
            r"the loss rose from 0\.5682 \(mean of the first 10 steps\) to 1\.932 \(of the last\); "
            "use a smaller learning rate",
        ),
        (
            np.full(100, 8.0),
            math.log(10),
            r"the loss does not fall any more and is 8 in the last 10 steps; guessing has 2\.303",
        ),
        (
            np.r_[np.full(30, 7e8), np.full(70, 22.0)],  # fell from where the rate had thrown it
            math.log(10),
            r"the loss does not fall any more and is 22 in .*",
        ),
        (np.linspace(0.5, 2.0, 100), None, r"the loss rose from .*"),
    ],
)
def test_losses_that_are_warned_of(losses, guess, expected):
    (warning,) = told(list(losses), guess=guess)
    assert re.fullmatch(expected, warning)


def test_evaluations_that_are_warned_of():
    assert told(evaluations=[{"loss": 1.0}, {"loss": 2.0, "not_finite": 3}]) == [
        "the loss over the samples of the evaluation rose from 1 to 2; use a smaller learning rate",
        "3 samples of the last evaluation had no finite prediction",
    ]
    assert told(evaluations=[{"loss": 1.0}, {"accuracy": 0.0, "not_finite": 9}]) == [
        "9 samples of the last evaluation had no finite prediction"
    ]


def test_data_that_cannot_teach_every_class():
    enough, few = np.arange(20) % 4, np.array([1, 2, 2])
    assert of_labels(4, enough, None) == of_labels(4, enough, enough) == []
    assert of_labels(4, few, enough) == [
        "data: 3 samples to learn 4 classes from",
        "data: no sample to learn from of classes 0, 3",
    ]
    assert of_labels(4, enough, enough[:3]) == ["data: no sample to test with of class 3"]
    assert of_labels(40, enough, None)[1] == (
        "data: no sample to learn from of classes 4, 5, 6, 7, 8, 9, 10, 11 and 28 more"
    )


def test_an_evaluation_is_compared_with_one_of_its_own_set():
    first, last = {"loss": 1.0, "of": "test"}, {"loss": 1.05, "of": "test"}
    assert told(evaluations=[first, {"loss": 0.1, "of": "validation"}, last]) == []


def test_a_network_that_stands_still():
    line = (
        "no trained value changed in the last {} steps: every gradient is zero, or the learning "
        "rate too small"
    )
    assert told(values=[(0, START), (90, START), (100, START)]) == [line.format(100)]
    assert told(values=[(0, START), (90, MOVED), (100, MOVED)]) == [line.format(10)]
    assert told(values=[(0, START), (0, START)]) == []


def test_codes_at_the_end_of_their_range():
    after = {
        **START,
        "weight": np.where(CODES < 0, np.int8(-128), np.int8(127)),
        "bias": np.array([0, 1 << 30, -(1 << 30) - 1, 5], np.int32),
    }
    assert saturation(after) == {"weight": 1.0, "bias": 0.5}
    assert told(values=[(0, START), (5, after)]) == [
        f"{share} of the codes of {name} are at the end of their range, 0% before the run; use a "
        "smaller learning rate"
        for share, name in (("100%", "weight"), ("50%", "bias"))
    ]
    assert told(values=[(0, after), (5, {**after, "head": START["head"] * math.pi})]) == []
