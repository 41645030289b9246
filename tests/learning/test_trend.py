"""When a loss is said to rise: where it does, and not for noise."""

import numpy as np
import pytest

from tvm_ondevice_train.learning.trend import RisingLoss


def said(losses):
    watch = RisingLoss(len(losses))
    return [(step, line) for step, loss in enumerate(losses, 1) if (line := watch.add(loss))]


def noise(count, size=0.5):
    return np.random.default_rng(1).exponential(size, count)


@pytest.mark.parametrize(
    "losses",
    [
        noise(2000),
        np.linspace(2.3, 0.1, 2000) + noise(2000),
        1e-3 * noise(2000) ** 4,  # heavy tails
        np.linspace(1.0, 1.4, 2000),
        [9.0] * 19,
    ],
    ids=["stays", "falls", "tails", "little", "short"],
)
def test_losses_that_do_not_rise(losses):
    assert said(list(losses)) == []


def test_a_loss_that_rises_is_said_once_until_it_rises_further():
    losses = np.concatenate([noise(1000), 3 + noise(1000)])
    ((step, line),) = said(losses)
    assert step == 1100 and line.startswith("the loss rose from 0.4")
    assert line.endswith("(means of 100 steps)")
    steps = [step for step, _ in said(np.repeat([1.0, 2.0, 8.0], 100))]
    assert steps == [120, 220]
