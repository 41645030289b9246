"""Training and evaluation of one model on one data set."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from ..data import Data
from ..device.protocol import DIVERGED, DeviceError
from ..errors import OdtError
from ..losses import LABEL
from ..manifest import Manifest
from .health import Values
from .learner import Learner
from .progress import ProgressLog

STOP, SKIP, LOWER = "stop", "skip", "lower"
ON_DIVERGENCE = (STOP, SKIP, LOWER)
_LOWERED = 0.5  # the learning rate, by a step that diverged
_LATE = 10  # the last of so many parts of a run is watched for standing still


class Training:
    """A run, as far as it came.

    losses : of the steps that were done. diverged : the numbers of those that diverged, and
    changed nothing. evaluations : their step and values. values : (steps of this run before it,
    trained tensors). stopped : why the run ended early, or None.

    on_divergence : of `ON_DIVERGENCE`, what a step does whose loss or gradient is not finite: the
        run ends, or goes on with the next sample; `LOWER` also halves the `learning_rate`.
    interrupted : whether the user wants the run to end. seed : of augmentation.
    """

    def __init__(
        self,
        device: Learner,
        data: Data,
        log: ProgressLog,
        on_progress: Callable[[int, int, float], None] | None,
        on_divergence: str,
        learning_rate: float | None,
        interrupted: Callable[[], bool],
        seed: int = 0,
    ):
        self.device, self.data = device, data
        self.log, self.on_progress = log, on_progress
        self.on_divergence, self.learning_rate = on_divergence, learning_rate
        self.interrupted, self.seed = interrupted, seed
        self.losses: list[float] = []
        self.diverged: list[int] = []
        self.evaluations: list[dict[str, float]] = []
        self.values: list[tuple[int, Values]] = [(0, device.parameters())]
        self.stopped: str | None = None

    @property
    def steps(self) -> int:
        """Steps that were done or diverged."""
        return len(self.losses) + len(self.diverged)

    def train(
        self,
        order: Iterator[int],
        first: int,
        total: int,
        eval_every: int | None,
        save_every: int | None,
    ) -> None:
        """`total` steps on the samples that `order` names, or as many as are possible."""
        for done, index in zip(range(1, total + 1), order, strict=False):
            try:
                self._step(first, done, total, index)
            except DeviceError as error:
                self.stopped = f"step {done} of {total}, sample {index}: {error}"
                return
            if self.interrupted():
                self.stopped = f"interrupted after step {done} of {total}"
                return
            if save_every and done % save_every == 0 and done < total:
                self.device.save()
            if eval_every and done % eval_every == 0 and done < total:
                self.evaluate(first + done)
            if done == total - total // _LATE and done < total:
                self.watch()

    def watch(self) -> None:
        """Remember the trained values as they are now."""
        self.values.append((self.steps, self.device.parameters()))

    def evaluate(self, step: int) -> dict[str, float]:
        """Accuracy or squared error, and loss, after `step` steps.

        A sample without a finite prediction is not right; it is left out of the other means, and
        counted as "not_finite".
        """
        x, y = self.data.samples_to_evaluate
        found = [self._evaluated(*pair) for pair in zip(x, y, strict=True)]
        losses, outputs = zip(*found, strict=True)
        finite = np.isfinite(losses)
        outputs = np.stack([output.reshape(-1) for output in outputs])
        values: dict[str, float] = {}
        if self.device.manifest.target.kind == LABEL:
            values["accuracy"] = float(np.mean(finite & (outputs.argmax(axis=1) == y)))
        elif finite.any():
            values["error"] = float(np.mean((outputs - y.reshape(outputs.shape))[finite] ** 2))
        if finite.any():
            values["loss"] = float(np.mean(np.array(losses)[finite]))
        if not finite.all():
            values["not_finite"] = int(np.sum(~finite))
        self.evaluations.append({"step": step, **values})
        self.log.evaluation(step, values)
        return values

    def _evaluated(self, sample: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray]:
        try:
            return self.device.evaluate_encoded(sample, target)
        except DeviceError as error:
            if error.code != DIVERGED:
                raise
            return np.nan, np.full(self.device.manifest.output_shape, np.nan, np.float32)

    def _step(self, first: int, done: int, total: int, index: int) -> None:
        try:
            sample = self.data.training_sample(index, self.seed, first + done - 1)
            loss = self.device.train_encoded(*sample)
        except DeviceError as error:
            if error.code != DIVERGED or self.on_divergence == STOP:
                raise
            self.diverged.append(first + done)
            self.log.diverged(first + done)
            if self.learning_rate is not None:
                self.learning_rate *= _LOWERED
                self.device.set_learning_rate(self.learning_rate)
            return
        self.losses.append(loss)
        self.log.step(first + done, loss)
        if self.on_progress is not None:
            self.on_progress(done, total, loss)


def rate_to_lower(
    on_divergence: str, given: float | None, manifest: Manifest, resume: bool
) -> float | None:
    """The learning rate that `LOWER` begins with, None for the other ways; OdtError for no way.

    given : what the run was told. A device that goes on has its own, which may be another than that
        of the project.
    """
    if on_divergence not in ON_DIVERGENCE:
        allowed = ", ".join(ON_DIVERGENCE)
        raise OdtError(f"run: on_divergence is {on_divergence!r}; allowed are {allowed}")
    if on_divergence != LOWER or given is not None:
        return given if on_divergence == LOWER else None
    if resume or manifest.made_from is None:
        raise OdtError(
            "run: which learning rate is to be lowered is not known here; give it (--lr)"
        )
    return manifest.made_from.options.optimizer.learning_rate
