"""The learning rate of a run that was told none: short runs in this process find it."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..data import Data
from ..errors import OdtError
from ..learning.classes import use_classes
from ..learning.held_out import with_validation
from ..learning.plan import Plan
from ..learning.schedule import Schedule
from ..learning.training import Training
from ..manifest import Manifest
from .host_model import HostModel, host_model
from .simulation import Simulation

if TYPE_CHECKING:
    from ..compiler import CompiledModel

_FIRST, _FACTOR, _LEAST, _MOST = 2.0**-8, 2.0, 2.0**-20, 4.0  # rates that are tried
_BESIDE = 2  # so many on each side of the best are tried, too
_DOWN = 4  # by so many the rate is lowered where a run diverges
_MACS = 2.5e10  # of one short run, and of the features of its samples: seconds on a computer
_STEPS = 200, 4000  # of a short run, at least and at most
_HELD_OUT, _MOST_HELD_OUT = 0.2, 250  # of the samples
_LENGTH = 0.25  # a run that is 2**n times as long wants a rate that is 2**(n * _LENGTH) times lower


@dataclass(frozen=True)
class Trial:
    """A short run: its learning rate, and the mean loss of the held-out samples behind it.

    loss : infinity where the run diverged. accuracy : None where no labels are learned.
    """

    learning_rate: float
    loss: float
    accuracy: float | None


@dataclass(frozen=True)
class RateSearch:
    """trials : by rate. steps : of each. learning_rate : the choice, for the whole run."""

    trials: tuple[Trial, ...]
    steps: int
    learning_rate: float

    @property
    def best(self) -> Trial:
        """The least loss; of equal ones the lowest rate."""
        return min(self.trials, key=lambda trial: trial.loss)


def find_rate(
    source: CompiledModel | HostModel | str | os.PathLike[str],
    data: Data,
    schedule: Schedule,
    seed: int = 0,
    rehearsals: int = 0,
) -> float:
    """The learning rate at the full height of `schedule`; see `search_rate`."""
    return search_rate(source, data, schedule, seed, rehearsals).learning_rate


def search_rate(
    source: CompiledModel | HostModel | str | os.PathLike[str],
    data: Data,
    schedule: Schedule,
    seed: int = 0,
    rehearsals: int = 0,
) -> RateSearch:
    """Train for a short time at several rates, and choose by samples that are not trained on.

    The short runs are as `schedule`, with fewer steps; the best of their rates is lowered as the
    whole run is longer. The same arguments give the same rate. OdtError where all of them diverge.

    source : what a `Simulation` is made of. data : test samples are not looked at; validation
    samples where there are some, else some of the training samples, are held out. Those that train
    are not augmented. rehearsals : old samples that are learned again after each new one.
    """
    model = source if isinstance(source, HostModel) else host_model(source)
    least, most = _STEPS
    macs = max(1, model.train_macs) * (1 + rehearsals)
    steps = min(schedule.steps, int(max(least, min(most, _MACS / macs))))
    short = replace(schedule, steps=steps, warmup=schedule.warmup * steps // schedule.steps)
    samples = int(max(least, _MACS / max(1, model.prefix_macs)))
    some = _some_of(data, samples, seed, model.manifest)
    simulation, trials = Simulation(model), dict[float, Trial]()

    def tried(rate: float) -> Trial:
        if rate not in trials:
            plan = Plan(short, rate, seed=seed, rehearsals=rehearsals)
            trials[rate] = _trial(simulation, some, plan)
        return trials[rate]

    best = tried(_FIRST)
    while math.isinf(best.loss):
        if best.learning_rate <= _LEAST:
            raise OdtError(
                f"lr-find: no run has a finite loss, at rates from {_LEAST:.1g} to {_FIRST:.1g}; "
                "look at the samples and targets"
            )
        best = tried(best.learning_rate / _FACTOR**_DOWN)
    found = None
    while found is not best:
        best = found or best
        near = [best.learning_rate * _FACTOR**n for n in range(-_BESIDE, _BESIDE + 1)]
        found = min(
            (tried(rate) for rate in near if _LEAST <= rate <= _MOST), key=lambda one: one.loss
        )
    chosen = best.learning_rate * (steps / schedule.steps) ** _LENGTH
    return RateSearch(tuple(trials[rate] for rate in sorted(trials)), steps, _rounded(chosen))


def _some_of(data: Data, samples: int, seed: int, manifest: Manifest) -> Data:
    """At most so many samples to train on, and some that are held out."""
    if data.x_val is None:
        data = with_validation(data, _HELD_OUT, seed, manifest)
    assert data.x_val is not None and data.y_val is not None, "see with_validation"
    generator = np.random.default_rng((seed, 2))  # another stream than the order's
    train = generator.permutation(len(data.x))[:samples]
    held = generator.permutation(len(data.x_val))[:_MOST_HELD_OUT]
    return Data(data.x[train], data.y[train], x_val=data.x_val[held], y_val=data.y_val[held])


def _trial(simulation: Simulation, data: Data, plan: Plan) -> Trial:
    simulation.reset()
    simulation.set_seed(plan.seed)
    use_classes(simulation, data)
    run = Training(simulation, data, plan)
    run.run()
    found = {} if run.stopped else run.evaluate("validation")
    loss = math.inf if "not_finite" in found else found.get("loss", math.inf)
    return Trial(plan.learning_rate, loss, found.get("accuracy"))


def _rounded(rate: float) -> float:
    """To two digits."""
    return float(f"{rate:.1e}")
