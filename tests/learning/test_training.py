"""A run of a learner in this process: what it does with rates, sets, the best and the worst."""

from dataclasses import replace

import numpy as np
import pytest
from fake_project import MANIFEST, samples

from tvm_ondevice_train.data import Data
from tvm_ondevice_train.device.protocol import DIVERGED, DeviceError
from tvm_ondevice_train.device.snapshot import Snapshot
from tvm_ondevice_train.learning.plan import Plan
from tvm_ondevice_train.learning.schedule import CONSTANT, COSINE, Schedule
from tvm_ondevice_train.learning.training import Training

(X, Y), (X_TEST, Y_TEST), (X_VAL, Y_VAL) = samples(60), samples(20, 1), samples(20, 2)
DATA = Data(X, Y)
HELD_OUT = Data(X, Y, x_val=X_VAL, y_val=Y_VAL)
MANIFEST = replace(MANIFEST, classes=10)


class Linear:
    """Softmax regression in NumPy; `diverges` says of a step's number whether it does."""

    def __init__(self, diverges=lambda step: False):
        self.manifest, self.diverges = MANIFEST, diverges
        self.weight, self.steps, self.learning_rate = np.zeros((10, 64), np.float32), 0, 0.01
        self.rates, self.saved = [], []

    def _loss(self, sample, target):
        logits = self.weight @ (sample / np.float32(128))
        shares = np.exp(logits - logits.max())
        shares /= shares.sum()
        return float(-np.log(shares[target])), logits, shares

    def train_encoded(self, sample, target):
        loss, _, shares = self._loss(sample, target)
        if self.diverges(self.steps):
            self.diverges = lambda step: False
            raise DeviceError(DIVERGED)
        shares[target] -= 1
        self.weight -= np.float32(self.learning_rate) * np.outer(shares, sample / np.float32(128))
        self.steps += 1
        return loss

    def evaluate_encoded(self, sample, target):
        loss, logits, _ = self._loss(sample, target)
        return loss, logits

    def parameters(self):
        return {"weight": self.weight.copy()}

    def set_learning_rate(self, learning_rate):
        self.rates.append(learning_rate)
        self.learning_rate = learning_rate

    def snapshot(self):
        return Snapshot(self.weight.tobytes(), self.learning_rate, 0, self.steps)

    def restore(self, snapshot):
        self.weight = np.frombuffer(snapshot.params, np.float32).reshape(10, 64).copy()
        self.steps, self.learning_rate = snapshot.steps, snapshot.learning_rate

    def save(self):
        self.saved.append((self.steps, self.learning_rate))


def planned(kind=CONSTANT, steps=60, rate=0.1, warmup=0, **options):
    return Plan(Schedule(kind, steps, warmup), rate, **options)


def test_the_rate_is_the_schedules_and_told_only_where_it_changes():
    learner, plan = Linear(), planned(COSINE, warmup=10)
    run = Training(learner, DATA, plan)
    run.run()
    expected = [np.float32(0.1 * plan.schedule.share(step)) for step in range(60)]
    assert run.rates == expected
    assert learner.rates == [*expected[:10], *expected[11:], np.float32(0.1)]  # 9 and 10 are alike
    steady = Linear()
    Training(steady, DATA, planned()).run()
    assert steady.rates == [np.float32(0.1)]


def test_the_schedule_goes_on_behind_the_steps_that_were_done():
    run = Training(Linear(), DATA, planned(COSINE, first=40))
    run.run()
    assert run.rates == [np.float32(0.1 * run.plan.schedule.share(s)) for s in range(40, 60)]


def test_what_is_saved_has_the_full_rate():
    learner = Linear()
    Training(learner, DATA, planned(COSINE, save_every=25)).run()
    assert learner.saved == [(25, np.float32(0.1)), (50, np.float32(0.1)), (60, np.float32(0.1))]


def test_sets_that_are_held_out_are_measured_in_between_and_in_the_end():
    data = replace(HELD_OUT, x_test=X_TEST, y_test=Y_TEST)
    run = Training(Linear(), data, planned(evaluate=True, eval_every=25))
    run.run()
    found = [(entry["step"], entry["of"]) for entry in run.evaluations]
    assert found == [(0, "test"), (25, "validation"), (50, "validation"), (60, "test")]
    assert run.after is run.evaluations[-1] and run.after["accuracy"] > 0.5
    assert np.trace(run.confusion) == round(20 * run.after["accuracy"])


class Forgetful(Linear):
    """Learns, and from step 35 on loses what it learned."""

    def train_encoded(self, sample, target):
        loss = super().train_encoded(sample, target)
        if self.steps > 35:
            self.weight = self.weight * np.float32(-1.01)
        return loss


def test_the_best_is_what_is_left():
    learner = Forgetful()
    plan = planned(eval_every=10, save_best=True, save=True, evaluate=True)
    run = Training(learner, HELD_OUT, plan)
    run.run()
    between = {e["step"]: e["accuracy"] for e in run.evaluations[1:-1]}
    assert run.best.step == 30 and run.best.rank[0] == between[30] == max(between.values())
    assert learner.saved == [(30, np.float32(0.1))]
    there = Linear()
    Training(there, HELD_OUT, planned(steps=30)).run()
    assert (learner.weight == there.weight).all()
    assert (run.values[-1][1]["weight"] == there.weight).all()
    assert run.after["accuracy"] == between[30]


def test_the_best_may_be_the_last_and_is_measured_once():
    run = Training(Linear(), HELD_OUT, planned(eval_every=40, save_best=True, evaluate=True))
    run.run()
    assert [entry["step"] for entry in run.evaluations] == [0, 40, 60]
    assert run.after is run.evaluations[-1]


def test_it_ends_where_nothing_gets_better():
    run = Training(Forgetful(), HELD_OUT, planned(eval_every=5, early_stop=3))
    run.run()
    best = run.best.step
    assert run.steps == best + 15 < 60 and run.stopped is None
    assert run.ended == (
        f"ended after step {run.steps} of 60: the best evaluation was after step {best}, 3 are not "
        "better"
    )


class Worse(Linear):
    """From step 200 on its losses are three times as large."""

    def train_encoded(self, sample, target):
        return super().train_encoded(sample, target) * (3 if self.steps > 200 else 1)


@pytest.mark.parametrize("way", ["warn", "stop", "lower"])
def test_a_loss_that_rises(way):
    plan = planned(steps=400, rate=0.02, on_rising_loss=way)
    learner = Worse()
    run = Training(learner, DATA, plan)
    run.run()
    assert run.stopped is None
    if way == "warn":
        assert (run.steps, run.ended, run.lowered) == (400, None, [])
    elif way == "stop":
        assert run.steps == 220 and "220 of 400: the loss rose from" in run.ended
        assert len(run.values) == 2  # what was learned is kept
    else:
        (lowered,) = run.lowered
        assert lowered["step"] == 220 and lowered["learning_rate"] == 0.01
        assert "the loss rose from" in lowered["why"]
        assert run.rates == [np.float32(0.02)] * 220 + [np.float32(0.01)] * 180


class Saturating(Linear):
    """Has codes, too, all of which go to their end."""

    def parameters(self):
        return {"codes": np.full(10, min(self.steps * 10, 127), np.int8)}


@pytest.mark.parametrize("way", ["stop", "lower"])
def test_codes_that_saturate(way):
    run = Training(Saturating(), HELD_OUT, planned(eval_every=10, on_rising_loss=way))
    run.run()
    why = "100% of the codes of codes are at the end of their range, 0% before the run"
    if way == "stop":
        assert run.ended == f"ended after step 20 of 60: {why}"
    else:
        assert run.lowered == [{"step": 20, "learning_rate": 0.05, "why": why}]


def test_a_step_that_diverged_lowers_the_rate_of_the_whole_schedule():
    learner = Linear(diverges=lambda step: step == 7)
    run = Training(learner, DATA, planned(COSINE, on_divergence="lower"))
    run.run()
    assert run.diverged == [8] and run.steps == 60
    assert run.rates[7:] == [np.float32(0.05 * run.plan.schedule.share(s)) for s in range(8, 60)]
    assert learner.learning_rate == np.float32(0.05) and run.lowered[0]["why"] == "a step diverged"


@pytest.mark.parametrize("cut", [1, 23, 40, 59])
def test_a_run_that_goes_on_elsewhere_is_the_same_run(cut):
    plan = planned(
        COSINE, eval_every=10, evaluate=True, save_best=True, on_rising_loss="lower", seed=3
    )
    found = []

    def between(run):
        if run.steps == cut:
            state = {k: v.copy() if isinstance(v, list) else v for k, v in run.state().items()}
            found.append((run.learner.snapshot(), state))

    learner = Forgetful()
    whole = Training(learner, HELD_OUT, plan, between=between)
    whole.run()
    (snapshot, state), again = found[0], Forgetful()
    rest = Training(again, HELD_OUT, plan)
    again.restore(snapshot)
    rest.go_on_from(state)
    rest.run()
    for name in ("losses", "rates", "evaluations", "lowered", "after"):
        assert getattr(rest, name) == getattr(whole, name), name
    assert (again.weight == learner.weight).all()
