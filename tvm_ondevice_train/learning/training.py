"""Training and evaluation of one model on one data set."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import numpy as np

from ..data import Data
from ..device.protocol import DIVERGED, DeviceError
from .health import Values
from .learner import Learner
from .metrics import metrics_of
from .order import order
from .plan import LOWER, STOP, Plan
from .progress import ProgressLog

_LOWERED = 0.5  # the learning rate, by a step that diverged
_LATE = 10  # the last of so many parts of a run is watched for standing still


class Training:
    """A run, as far as it came.

    losses, rates : of the steps that were done, and the learning rate of each. diverged : the
    numbers of those that diverged, and changed nothing. evaluations : their step and values.
    values : (steps of this run before it, trained tensors). stopped : why the run ended early, or
    None. learning_rate : at the full height of the schedule; what the learner has when it ends.

    log, on_progress : told of every step, where there are any.
    interrupted : whether the user wants the run to end.
    """

    def __init__(
        self,
        learner: Learner,
        data: Data,
        plan: Plan,
        *,
        log: ProgressLog | None = None,
        on_progress: Callable[[int, int, float], None] | None = None,
        interrupted: Callable[[], bool] = lambda: False,
    ):
        self.learner, self.data, self.plan = learner, data, plan
        self.log, self.on_progress, self.interrupted = log, on_progress, interrupted
        self.learning_rate = plan.learning_rate
        self.losses: list[float] = []
        self.rates: list[float] = []
        self.diverged: list[int] = []
        self.evaluations: list[dict[str, float]] = []
        self.values: list[tuple[int, Values]] = [(0, learner.parameters())]
        self.stopped: str | None = None
        self._rate: np.float32 | None = None  # which the learner has

    @property
    def steps(self) -> int:
        """Steps that were done or diverged."""
        return len(self.losses) + len(self.diverged)

    def run(self) -> None:
        """Train as planned, and measure; the learner has the full learning rate in the end.

        So what it saves, or learns later by itself, does not depend on where the schedule was.
        """
        plan = self.plan
        if plan.evaluate and not self.evaluations:
            self.evaluate()
        self._train()
        self._use_rate(1.0)
        self.watch()
        if plan.evaluate and not self.interrupted():
            self.evaluate()
        if self.stopped is None and (plan.save or plan.save_every):
            self.learner.save()

    def watch(self) -> None:
        """Remember the trained values as they are now."""
        self.values.append((self.steps, self.learner.parameters()))

    def evaluate(self) -> dict[str, float]:
        """Accuracy or squared error, and loss, as they are now.

        A sample without a finite prediction is not right; it is left out of the other means, and
        counted as "not_finite".
        """
        x, y = self.data.samples_to_evaluate
        found = [self._evaluated(*pair) for pair in zip(x, y, strict=True)]
        losses, outputs = (np.stack(column) for column in zip(*found, strict=True))
        finite = np.isfinite(losses)
        values = {"accuracy": 0.0} if self.learner.manifest.classes is not None else {}
        if finite.any():
            values = metrics_of(self.learner.manifest, outputs[finite], y[finite])
            values["loss"] = float(np.mean(losses[finite]))
        if "accuracy" in values:
            values["accuracy"] *= float(np.mean(finite))
        if not finite.all():
            values["not_finite"] = int(np.sum(~finite))
        step = self.plan.first + self.steps
        self.evaluations.append({"step": step, **values})
        if self.log is not None:
            self.log.evaluation(step, values)
        return values

    def _train(self) -> None:
        """The steps of the plan, or as many of them as are possible."""
        plan = self.plan
        indices = order(len(self.data.x), plan.seed)
        for index in islice(indices, plan.first + self.steps, plan.schedule.steps):
            self._use_rate(plan.schedule.share(plan.first + self.steps))
            try:
                self._step(index)
            except DeviceError as error:
                done = f"step {self.steps + 1} of {plan.steps}"
                self.stopped = f"{done}, sample {index}: {error}"
                return
            if self.interrupted():
                self.stopped = f"interrupted after step {self.steps} of {plan.steps}"
                return
            if self.steps < plan.steps:
                self._in_between()

    def _in_between(self) -> None:
        """What is due between two steps."""
        plan, done = self.plan, self.steps
        if plan.save_every and done % plan.save_every == 0:
            self._save()
        if plan.eval_every and done % plan.eval_every == 0:
            self.evaluate()
        if done == plan.steps - plan.steps // _LATE:
            self.watch()

    def _save(self) -> None:
        """With the full learning rate; the next step has its own again."""
        self._use_rate(1.0)
        self.learner.save()

    def _use_rate(self, share: float) -> None:
        rate = np.float32(self.learning_rate * share)
        if rate != self._rate:
            self.learner.set_learning_rate(float(rate))
            self._rate = rate

    def _evaluated(self, sample: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray]:
        try:
            loss, output = self.learner.evaluate_encoded(sample, target)
            return loss, output.reshape(-1)
        except DeviceError as error:
            if error.code != DIVERGED:
                raise
            shape = self.learner.manifest.output_shape
            return np.nan, np.full(shape, np.nan, np.float32).reshape(-1)

    def _step(self, index: int) -> None:
        assert self._rate is not None, "see _train"
        try:
            loss = self.learner.train_encoded(self.data.x[index], self.data.y[index])
        except DeviceError as error:
            if error.code != DIVERGED or self.plan.on_divergence == STOP:
                raise
            self.diverged.append(self.plan.first + self.steps + 1)
            if self.log is not None:
                self.log.diverged(self.diverged[-1])
            if self.plan.on_divergence == LOWER:
                self.learning_rate *= _LOWERED
            return
        self.losses.append(loss)
        self.rates.append(float(self._rate))
        if self.log is not None:
            self.log.step(self.plan.first + self.steps, loss)
        if self.on_progress is not None:
            self.on_progress(self.steps, self.plan.steps, loss)
