"""Lengths as people give them."""

import pytest

from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.learning.plan import Plan
from tvm_ondevice_train.learning.schedule import CONSTANT, COSINE, Schedule
from tvm_ondevice_train.run.length import interval, schedule_of


@pytest.mark.parametrize(
    ("given", "steps"),
    [(None, None), (7, 7), ("500", 500), ("1e", 40), ("0.5e", 20), (".01e", 1), (" 2e ", 80)],
)
def test_intervals_are_steps_or_epochs(given, steps):
    assert interval(given, 40, "eval_every") == steps


@pytest.mark.parametrize(
    "given", ["", "e", "1f", "-1", "1.5", "0", "0e", "1e3", "٣", "9" * 5000, "9" * 400 + "e"]
)
def test_what_is_neither_is_refused(given):
    with pytest.raises(OdtError, match=r"eval_every is .*; it is a number of steps, or of epochs"):
        interval(given, 40, "eval_every")


@pytest.mark.parametrize(
    ("kind", "warmup", "expected"),
    [
        (COSINE, None, Schedule(COSINE, 1000, 50)),
        (CONSTANT, None, Schedule(CONSTANT, 1000, 0)),
        (CONSTANT, 0.5, Schedule(CONSTANT, 1000, 20)),
        (COSINE, 0.0, Schedule(COSINE, 1000, 0)),
    ],
)
def test_the_warm_up_is_a_part_of_the_whole(kind, warmup, expected):
    assert schedule_of(kind, warmup, 200, 800, 40) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("linear", None, 0, 9, 3), "schedule is 'linear'; allowed are constant, cosine, step"),
        ((COSINE, 3.0, 0, 9, 3), "a warm-up of 3 epochs is 9 steps; it must end before the 9"),
        ((COSINE, -1.0, 0, 9, 3), "a warm-up of -1 epochs"),
        ((COSINE, float("nan"), 0, 9, 3), "a warm-up of nan epochs"),
    ],
)
def test_schedules_without_meaning_are_refused(arguments, message):
    with pytest.raises(OdtError, match=message):
        schedule_of(*arguments)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"eval_every": 0}, "eval_every must be at least 1, not 0"),
        ({"early_stop": 0}, "early_stop must be at least 1, not 0"),
        ({"on_rising_loss": "cry"}, "on_rising_loss is 'cry'; allowed are warn, stop, lower"),
    ],
)
def test_plans_without_meaning_are_refused(option, message):
    with pytest.raises(OdtError, match=message):
        Plan(Schedule(COSINE, 9), 0.1, **option)
