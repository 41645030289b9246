"""Tune the kernels of a model: the front door, read from top to bottom."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..boards import DEFAULT_BOARD
from ..boards import board as find_board
from ..codegen.c_printer import CKernel
from ..compiler import compile as compile_model
from ..errors import OdtError
from ..model import Model
from ..tuning import Tuned, Tuning, load_tuning, target_of
from .extra import check_extra
from .firmware import batch_of
from .runners import EmulatorRunner, Measured, Runner
from .search import search
from .tasks import Recorder, Task, tasks_of

TRIALS = 24
BATCH = 12  # candidates of one program: more of them share the work, fewer are found sooner
FLASH_GROWTH = 512  # bytes


@dataclass(frozen=True)
class TunedKernel:
    """A line of what tuning a model gave; costs are those of one call."""

    name: str
    train_calls: int
    predict_calls: int
    default_cost: int
    cost: int


@dataclass(frozen=True)
class TuningResult:
    """The tuning, and what it gives each kernel of the model that was tuned."""

    tuning: Tuning
    kernels: tuple[TunedKernel, ...]

    def step(self, cost: str) -> int:
        """Sum of "cost" or "default_cost" over a training step's calls of tuned kernels."""
        return sum(kernel.train_calls * getattr(kernel, cost) for kernel in self.kernels)


def tune(
    model: Model | str | os.PathLike[str],
    *,
    board: str = DEFAULT_BOARD,
    output: str | os.PathLike[str] | None = None,
    trials: int = TRIALS,
    runner: Runner | None = None,
    seed: int = 0,
    jobs: int = 1,
    flash_growth: int = FLASH_GROWTH,
    made_by: str = "",
    only: Callable[[Task], bool] = lambda task: True,
    on_progress: Callable[[int, int, str], None] | None = None,
    **options: Any,
) -> TuningResult:
    """Search the schedules of a model's training step and prediction for `board`.

    Parameters
    ----------
    model, options : as for `compile`.
    output : a tune.json; what it holds already is not tuned again unless `trials` is larger, and
        it is written whenever something was measured, and at the end.
    trials : candidates of each kernel; smaller spaces are searched whole.
    runner : where candidates run; by default in the emulator.
    seed : the same one gives the same tuning, if the runner's costs are exact.
    jobs : programs that are built and run at the same time.
    flash_growth : bytes of code by which a kernel may grow. Its scratch may grow as far as the
        arena of this model does not.
    made_by : the command, for the file.
    only : which tasks to tune.
    on_progress : called with trials done, trials wanted and a kernel's name.
    """
    check_extra()
    target = find_board(board)
    runner = runner or EmulatorRunner()
    recorder = Recorder(target_of(target))
    compiled = compile_model(model, board=board, tuning=recorder, **options)
    tasks = [task for task in tasks_of(compiled, recorder) if only(task)]
    tuning = _started(output, Tuning(target_of(target), runner.unit, seed, made_by))
    waiting = [task for task in tasks if not _is_done(task, tuning, trials)]
    total = sum(min(trials, task.space) for task in waiting)
    tuner = _Tuner(tuning, output, runner, target.name, jobs, flash_growth, on_progress, total)
    if waiting:
        weights = [task.macs * (task.train_calls + task.predict_calls) for task in waiting]
        search(
            waiting, weights, tuner.measure, trials=trials, batch=BATCH * max(1, jobs), seed=seed
        )
    result = TuningResult(tuner.tuning, tuple(_line(task, tuner.tuning) for task in tasks))
    step = {cost: result.step(cost) for cost in ("default_cost", "cost")}
    result = replace(result, tuning=replace(tuner.tuning, step=step))
    if output is not None and result.tuning != tuning:
        result.tuning.save(output)
    return result


def _started(output: str | os.PathLike[str] | None, fresh: Tuning) -> Tuning:
    """What the file `output` holds; `fresh` if there is none."""
    if output is None or not Path(output).exists():
        return fresh
    found = load_tuning(output)
    for what in ("target", "unit"):
        if getattr(found, what) != getattr(fresh, what):
            raise OdtError(
                f"tuning: {output} has the {what} {getattr(found, what)}, "
                f"not {getattr(fresh, what)}; choose another file"
            )
    return replace(fresh, step=found.step, kernels=found.kernels)


def _is_done(task: Task, tuning: Tuning, trials: int) -> bool:
    known = tuning.kernels.get(task.signature)
    return (
        known is not None
        and known.trials >= min(trials, task.space)
        and task.allows(known.decisions)
    )


def _line(task: Task, tuning: Tuning) -> TunedKernel:
    known = tuning.kernels[task.signature]
    calls = task.train_calls, task.predict_calls
    return TunedKernel(task.name, *calls, known.default_cost, known.cost)


@dataclass
class _Tuner:
    """Measures candidates, and keeps the best of each kernel."""

    tuning: Tuning
    output: str | os.PathLike[str] | None
    runner: Runner
    board: str
    jobs: int
    flash_growth: int
    on_progress: Callable[[int, int, str], None] | None = None
    total: int = 0
    done: int = 0
    trials: dict[str, int] = field(default_factory=dict)

    def measure(self, task: Task, candidates: Sequence[Mapping[str, int]]) -> list[Measured]:
        """What `search` asks: builds and runs the candidates that may run at all."""
        kernels = [_lowered(task, decisions) for decisions in candidates]
        refused = [_refusal(task, kernel) for kernel in kernels]
        distinct: dict[str, CKernel] = {}
        for kernel, why in zip(kernels, refused, strict=True):
            if kernel is not None and why is None:
                distinct.setdefault(kernel.text, kernel)
        reference, measured = self._run(task, list(distinct.values()))
        found = dict(zip(distinct, measured, strict=True))
        results = [
            found[kernel.text] if kernel is not None and why is None else Measured(error=why)
            for kernel, why in zip(kernels, refused, strict=True)
        ]
        self._keep(task, reference, zip(candidates, kernels, results, strict=True))
        return results

    def _run(self, task: Task, kernels: list[CKernel]) -> tuple[Measured, list[Measured]]:
        """The default, and each of `kernels`, in as many programs as may run at once."""
        count = max(1, min(self.jobs, len(kernels)))
        parts = [kernels[index::count] for index in range(count)]
        with ThreadPoolExecutor(count) as pool:
            results = list(pool.map(lambda part: self._run_program(task, part), parts))
        measured = {
            kernel.text: one
            for part, (_, *rest) in zip(parts, results, strict=True)
            for kernel, one in zip(part, rest, strict=True)
        }
        return results[0][0], [measured[kernel.text] for kernel in kernels]

    def _run_program(self, task: Task, kernels: list[CKernel]) -> list[Measured]:
        results = self.runner.measure(batch_of(task, kernels, self.board), self.flash_growth)
        if results[0].error is None or len(kernels) <= 1:
            return results
        # one of them keeps the program from being built or run
        each = [self._run_program(task, [kernel]) for kernel in kernels]
        return [each[0][0], *(one for _, one in each)]

    def _keep(
        self,
        task: Task,
        reference: Measured,
        measured: Iterable[tuple[Mapping[str, int], CKernel | None, Measured]],
    ) -> None:
        key = task.signature
        if reference.error is not None:
            raise OdtError(f"tuning: {task.name} does not run: {reference.error}")
        defaults = {choice.name: choice.default for choice in task.choices}
        best = _tuned(task, defaults, task.default, reference, reference)
        known = self.tuning.kernels.get(key)
        if (
            known is not None
            and known.default_cost == best.cost
            and known.cost < best.cost
            and task.allows(known.decisions)
        ):
            best = known  # of this search, or of an earlier one of the same code
        for decisions, kernel, one in measured:
            self.trials[key] = self.trials.get(key, 0) + 1
            self.done += 1
            if kernel is not None and one.cost is not None and one.cost < best.cost:
                best = _tuned(task, decisions, kernel, one, reference)
        best = replace(best, trials=self.trials[key])
        kernels = {**self.tuning.kernels, key: best}
        self.tuning = replace(self.tuning, step=None, kernels=kernels)
        if self.output is not None:
            self.tuning.save(self.output)
        if self.on_progress is not None:
            self.on_progress(self.done, self.total, task.name)


def _lowered(task: Task, decisions: Mapping[str, int]) -> CKernel | None:
    """The kernel; None where the decisions do not go together."""
    try:
        return task.kernel(decisions)
    except (RuntimeError, ValueError):
        return None


def _refusal(task: Task, kernel: CKernel | None) -> str | None:
    """Why a candidate must not be used, whatever it costs."""
    default = task.default
    if kernel is None:
        return "these decisions do not go together"
    if kernel.parameters != default.parameters or kernel.reads != default.reads:
        return "it reads other operands than the default schedule"
    if not set(default.in_place) <= set(kernel.in_place):
        return "its result cannot take an operand's place any more"
    if kernel.workspace_bytes > max(task.scratch_bytes, default.workspace_bytes):
        return "its scratch would enlarge the arena"
    return None


def _tuned(
    task: Task,
    decisions: Mapping[str, int],
    kernel: CKernel,
    measured: Measured,
    reference: Measured,
) -> Tuned:
    assert measured.cost is not None and reference.cost is not None, "what ran has a cost"
    return Tuned(
        name=task.name,
        decisions=dict(decisions),
        cost=measured.cost,
        default_cost=reference.cost,
        flash_bytes=measured.flash_bytes or 0,
        scratch_bytes=kernel.workspace_bytes,
        trials=0,
    )
