"""What a run is to do, as a value: the same plan, data and learner give the same bits."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import OdtError
from .schedule import Schedule

WARN, STOP, SKIP, LOWER = "warn", "stop", "skip", "lower"
ON_DIVERGENCE = (STOP, SKIP, LOWER)
ON_RISING_LOSS = (WARN, STOP, LOWER)


@dataclass(frozen=True)
class Plan:
    """A run of one sample a step. Raises OdtError for what has no meaning.

    schedule : of the whole training, `first` steps of it before this run.
    learning_rate : at the full height of the schedule.
    first : training steps that the learner has done before.
    seed : of the order of the samples.
    evaluate : measure before and after.
    save : have the learner keep what it learned, at the end.
    eval_every, save_every : measure, or save, also after every so many steps of the run.
    save_best : at the end, go back to where the best evaluation was.
    early_stop : end after so many evaluations without a better one; None is never.
    on_divergence : what follows a step whose loss or gradient is not finite, of `ON_DIVERGENCE`:
        the run ends, or goes on with the next sample; `LOWER` also halves the learning rate.
    on_rising_loss : what follows a loss that rises, or codes that saturate: of `ON_RISING_LOSS`.
    rehearsals : how many old samples are learned again after each new one.
    """

    schedule: Schedule
    learning_rate: float
    first: int = 0
    seed: int = 0
    evaluate: bool = False
    eval_every: int | None = None
    save: bool = False
    save_every: int | None = None
    save_best: bool = False
    early_stop: int | None = None
    on_divergence: str = STOP
    on_rising_loss: str = WARN
    rehearsals: int = 0

    def __post_init__(self) -> None:
        for name in ("eval_every", "save_every", "early_stop"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise OdtError(f"run: {name} must be at least 1, not {value}")
        for name, allowed in (("divergence", ON_DIVERGENCE), ("rising_loss", ON_RISING_LOSS)):
            value = getattr(self, f"on_{name}")
            if value not in allowed:
                raise OdtError(f"run: on_{name} is {value!r}; allowed are {', '.join(allowed)}")

    @property
    def steps(self) -> int:
        """Of this run."""
        return self.schedule.steps - self.first
