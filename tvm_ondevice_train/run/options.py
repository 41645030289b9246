"""What a run is asked for, each said once: keywords of `run_project`, flags of the command."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from ..errors import OdtError
from ..learning.plan import STOP, WARN, Plan
from ..learning.rehearsal import rehearsals_for
from ..learning.schedule import COSINE
from ..manifest import Manifest
from .length import count_steps, interval, schedule_of

_MAY_CHANGE = ("on_divergence", "on_rising_loss")  # where a run is continued


@dataclass(frozen=True)
class RunOptions:
    """Raises OdtError, in one line, for what has no meaning, once the plan is made.

    steps, epochs : one of them; an epoch is once through the data, and the default is one.
    schedule : how the learning rate goes: "cosine", "step", "constant"; see `Schedule`.
    warmup : epochs in which it rises; None is 5 % of the run, or nothing if it is constant.
    evaluate : measure accuracy before and after on the test set, on the validation set or on `x` if
        there is none; for a model that learns values the mean squared error.
    eval_every : also after so many steps (500) or epochs ("0.5e"), on the validation set if there
        is one; with `save_best` or `early_stop` an epoch, if nothing else is said.
    validation : the share of the training data that is held out for that, of each class alike.
    save_best : keep the parameters of the best of these evaluations, not the last ones.
    early_stop : end after so many evaluations that are not better than the best.
    seed : of the order of the samples, of what is held out, and of the device's rounding.
    save : the device keeps what it learned in its flash. save_every : also after so many steps.
    on_divergence : what follows a step whose loss or a gradient is not finite, which changes
        nothing: "stop" ends the run, and OdtError is raised once what it has is written; "skip"
        goes on with the next sample; "lower" does, with half the learning rate.
    on_rising_loss : what follows a loss that rises, or codes at the end of their range: "warn" says
        so in the end; "stop" ends the run, with what was learned; "lower" halves the learning rate.
    replay : how many old samples are learned again after each new one, where the project keeps
        some; None is 1 there, and 0 elsewhere.
    hyper : values for the optimizer, by name: those that are not given stay.
    """

    steps: int | None = None
    epochs: int | None = None
    schedule: str = COSINE
    warmup: float | None = None
    evaluate: bool = False
    eval_every: int | str | None = None
    validation: float | None = None
    save_best: bool = False
    early_stop: int | None = None
    seed: int = 0
    save: bool = False
    save_every: int | None = None
    on_divergence: str = STOP
    on_rising_loss: str = WARN
    replay: int | None = None
    hyper: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, **values: Any) -> RunOptions:
        """From keywords; those that are no field are hyper-parameters, left out where None."""
        names = {entry.name for entry in fields(cls)}
        own = {name: values.pop(name) for name in list(values) if name in names}
        return cls(**own, hyper={n: value for n, value in values.items() if value is not None})

    def continuing(self, begun: RunOptions) -> RunOptions:
        """Those that a run was begun with, and what may change; OdtError for what is unlike."""
        changed, default, known = {}, RunOptions()._by_name(), begun._by_name()
        for name, now in self._by_name().items():
            then = known.get(name)
            if now in (then, default.get(name)):
                continue
            if name not in _MAY_CHANGE:
                told = f"without {name}, not with" if then is None else f"with {name} {then}, not"
                raise OdtError(
                    f"run: the run that is to be continued was begun {told} {now}; "
                    "leave that out, or begin anew without --continue"
                )
            changed[name] = now
        return replace(begun, **changed)

    def _by_name(self) -> dict[str, Any]:
        """Each option, and each hyper-parameter beside them."""
        own = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return own | own.pop("hyper")

    def of_project(self, manifest: Manifest) -> RunOptions:
        """With what the project gives where nothing was asked; OdtError for what it cannot."""
        return replace(self, replay=rehearsals_for(manifest, self.replay))

    def plan(self, samples: int, first: int = 0, learning_rate: float = 0.0) -> Plan:
        """For so many training samples, after `first` steps that were done before."""
        total = count_steps(samples, self.steps, self.epochs)
        eval_every = interval(self.eval_every, samples, "eval_every")
        if eval_every is None and (self.save_best or self.early_stop is not None):
            eval_every = samples
        return Plan(
            schedule_of(self.schedule, self.warmup, first, total, samples),
            learning_rate,
            first,
            self.seed,
            self.evaluate,
            eval_every,
            self.save,
            self.save_every,
            self.save_best,
            self.early_stop,
            self.on_divergence,
            self.on_rising_loss,
            self.replay or 0,
        )
