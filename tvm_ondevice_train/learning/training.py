"""Training and evaluation of one model on one data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from ..data import Data
from ..device.protocol import DIVERGED, DeviceError
from ..device.snapshot import Snapshot
from ..losses.metrics import METRICS
from .health import Values, saturated
from .learner import Learner
from .metrics import confusion_of
from .order import order
from .plan import LOWER, STOP, WARN, Plan
from .progress import ProgressLog
from .rehearsal import Rehearsal
from .trend import RisingLoss

_LOWERED = 0.5  # the learning rate
_LATE = 10  # the last of so many parts of a run is watched for standing still
_STATE = (
    *("losses", "rates", "diverged", "evaluations", "values", "learning_rate", "lowered"),
    *("best", "waited", "saturated"),
)


@dataclass(frozen=True)
class Best:
    """The best evaluation so far: after which step of the learner, how good, the learner then."""

    step: int
    rank: tuple[float, float]
    snapshot: Snapshot | None


class Training:
    """A run, as far as it came.

    losses, rates : of the steps that were done, and the learning rate of each. diverged : the
    numbers of those that diverged, and changed nothing. evaluations : step, set and values of
    each. confusion : of the last one, where labels are learned. values : (steps of this run before
    it, trained tensors). learning_rate : at the full height of the schedule. lowered : when and
    why that was. best : see there. waited : evaluations since. saturated : tensors that were seen
    to be. stopped : why the run cannot go on, or None. ended : why it ended before its last step,
    as it was asked to, or None. rehearsal : what became of samples that were to be kept.

    after : the evaluation at the end, where the plan has one.

    log, on_progress : told of every step, where there are any.
    between : called with the run between two steps, and where it cannot go on.
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
        between: Callable[[Training], None] = lambda run: None,
        interrupted: Callable[[], bool] = lambda: False,
    ):
        self.learner, self.data, self.plan = learner, data, plan
        self.log, self.on_progress = log, on_progress
        self.between, self.interrupted = between, interrupted
        self.losses: list[float] = []
        self.rates: list[float] = []
        self.diverged: list[int] = []
        self.evaluations: list[dict[str, Any]] = []
        self.confusion: np.ndarray | None = None
        self.values: list[tuple[int, Values]] = [(0, learner.parameters())]
        self.learning_rate = plan.learning_rate
        self.lowered: list[dict[str, Any]] = []
        self.best: Best | None = None
        self.waited = 0
        self.saturated: list[str] = []
        self.stopped: str | None = None
        self.ended: str | None = None
        self.after: dict[str, Any] | None = None
        self.rehearsal = Rehearsal(learner, plan.rehearsals)
        self._rate: np.float32 | None = None  # which the learner has
        self._rising = RisingLoss(plan.steps)

    @property
    def steps(self) -> int:
        """Steps that were done or diverged."""
        return len(self.losses) + len(self.diverged)

    @property
    def step(self) -> int:
        """Steps of the learner, those before the run among them."""
        return self.plan.first + self.steps

    @property
    def classes(self) -> int | None:
        """How many are in use; None where no labels are learned."""
        _, values = self.values[0]
        return self.learner.manifest.classes_in_use(values)

    def state(self) -> dict[str, Any]:
        """What `go_on_from` needs, besides the learner's snapshot, for the bits of a whole run."""
        return {name: getattr(self, name) for name in _STATE}

    def go_on_from(self, state: Mapping[str, Any]) -> None:
        """Be a run that came as far; its learner is as it was then."""
        vars(self).update(state)
        for loss in self.losses:
            self._rising.add(loss)

    def run(self) -> None:
        """Train as planned, and measure; the learner has the full learning rate in the end.

        So what it saves, or learns later by itself, does not depend on where the schedule was.
        """
        plan = self.plan
        if plan.evaluate and not self.steps:
            self.evaluate("test", "validation")
        self._train()
        if self.stopped is None:
            self._finish()
        if self.stopped is not None:
            self.between(self)
        gone_back = plan.save_best and self._go_back_to_the_best()
        self._use_rate(1.0)
        self.watch()
        if plan.evaluate and not self.interrupted():
            is_known = not gone_back and self._is_measured("test", "validation")
            self.after = self.evaluations[-1] if is_known else self.evaluate("test", "validation")
        if self.stopped is None and (plan.save or plan.save_every):
            self.learner.save()

    def _finish(self) -> None:
        """Update with the last samples, where they are no whole batch.

        Where the learner keeps what it learned, it goes on with that batch in the next run.
        """
        plan = self.plan
        if self.learner.manifest.batches is None or plan.save or plan.save_every:
            return
        try:
            self.learner.apply()
        except DeviceError as error:
            if error.code != DIVERGED or plan.on_divergence == STOP:
                self.stopped = f"the last batch, after step {self.steps}: {error}"

    def watch(self) -> None:
        """Remember the trained values as they are now."""
        self.values.append((self.steps, self.learner.parameters()))

    def evaluate(self, *wanted: str) -> dict[str, Any]:
        """Accuracy or squared error, and loss, as they are now, over a set; see `Data.samples`.

        A sample without a finite prediction is not right; it is left out of the other means, and
        counted as "not_finite".
        """
        of, x, y = self.data.samples(*wanted)
        found = [self._evaluated(*pair) for pair in zip(x, y, strict=True)]
        losses, outputs = (np.stack(column) for column in zip(*found, strict=True))
        finite = np.isfinite(losses)
        manifest = self.learner.manifest
        values = METRICS[manifest.target.kind](outputs, y)
        if finite.any():
            values["loss"] = float(np.mean(losses[finite]))
        if manifest.classes is not None:
            self.confusion = confusion_of(manifest.classes, outputs, y)
        if not finite.all():
            values["not_finite"] = int(np.sum(~finite))
        self.evaluations.append({"step": self.step, "of": of, **values})
        if self.log is not None:
            self.log.evaluation(self.step, {"of": of, **values})
        return self.evaluations[-1]

    def _is_measured(self, *wanted: str) -> bool:
        """Whether the last evaluation was of this step and set."""
        last = self.evaluations[-1] if self.evaluations else {}
        return (last.get("step"), last.get("of")) == (self.step, self.data.samples(*wanted)[0])

    def _train(self) -> None:
        """The steps of the plan, or as many of them as are possible, or wanted."""
        plan = self.plan
        indices = order(len(self.data.x), plan.seed)
        for index in islice(indices, self.step, plan.schedule.steps):
            self._use_rate(plan.schedule.share(self.step))
            try:
                self._step(index)
            except DeviceError as error:
                done = f"step {self.steps + 1} of {plan.steps}"
                self.stopped = f"{done}, sample {index}: {error}"
                return
            if self.interrupted():
                self.stopped = f"interrupted after step {self.steps} of {plan.steps}"
                return
            if self.steps < plan.steps and self.ended is None:
                self._in_between()
            if self.ended is not None:
                return

    def _in_between(self) -> None:
        """What is due between two steps."""
        plan, done = self.plan, self.steps
        if plan.save_every and done % plan.save_every == 0:
            self._use_rate(1.0)  # which is what the device keeps; the next step has its own again
            self.learner.save()
        if plan.eval_every and done % plan.eval_every == 0:
            self._judge()
        if done == plan.steps - plan.steps // _LATE:
            self.watch()
        self.between(self)

    def _step(self, index: int) -> None:
        try:
            sample = self.data.training_sample(index, self.plan.seed, self.step)
            loss = self.learner.train_encoded(*sample)
            self.rehearsal.after(*sample)
        except DeviceError as error:
            if error.code != DIVERGED or self.plan.on_divergence == STOP:
                raise
            self.diverged.append(self.step + 1)
            if self.log is not None:
                self.log.diverged(self.diverged[-1])
            if self.plan.on_divergence == LOWER:
                self._lower("a step diverged")
            return
        assert self._rate is not None, "see _train"
        self.losses.append(loss)
        self.rates.append(float(self._rate))
        if self.log is not None:
            self.log.step(self.step, loss)
        if self.on_progress is not None:
            self.on_progress(self.steps, self.plan.steps, loss)
        if self.plan.on_rising_loss != WARN and (why := self._rising.add(loss)):
            self._calm_down(why)

    def _judge(self) -> None:
        """Measure in between; whether it is the best so far, and whether to go on."""
        self._note_best(self.evaluate("validation", "test"))
        if self.plan.early_stop is not None and self.waited >= self.plan.early_stop:
            assert self.best is not None, "the first evaluation is one"
            self.ended = (
                f"ended after step {self.steps} of {self.plan.steps}: the best evaluation was "
                f"after step {self.best.step}, {self.waited} are not better"
            )
        if self.plan.on_rising_loss != WARN:
            for name, why in saturated(self.values[0][1], self.learner.parameters()).items():
                if name not in self.saturated:
                    self.saturated.append(name)
                    self._calm_down(why)

    def _note_best(self, found: Mapping[str, Any]) -> None:
        rank = found.get("accuracy", 0.0), -found.get("loss", np.inf)
        self.waited += 1
        if self.best is None or rank > self.best.rank:
            snapshot = self.learner.snapshot() if self.plan.save_best else None
            self.best, self.waited = Best(found["step"], rank, snapshot), 0

    def _go_back_to_the_best(self) -> bool:
        """The learner is as if the run had ended there; whether that was not now."""
        wanted = "validation", "test"
        if self.stopped is None and not self._is_measured(*wanted):
            self._note_best(self.evaluate(*wanted))
        if self.best is None or self.best.snapshot is None or self.best.step == self.step:
            return False
        self.learner.restore(self.best.snapshot)
        self._rate = None
        return True

    def _calm_down(self, why: str) -> None:
        """As the plan asks for where training does harm."""
        if self.plan.on_rising_loss == LOWER:
            self._lower(why)
        else:
            self.ended = f"ended after step {self.steps} of {self.plan.steps}: {why}"

    def _lower(self, why: str) -> None:
        self.learning_rate *= _LOWERED
        self.lowered.append({"step": self.step, "learning_rate": self.learning_rate, "why": why})

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
