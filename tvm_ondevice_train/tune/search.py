"""MetaSchedule's search, its space ours: what our own schedules ask, and nothing else.

A candidate's trace samples the decisions and notes them at the root block, no more: a schedule that
branches on a decision could not be replayed with another one. From the notes alone the kernel is
made, by the same path as `compile`, for measuring and for the cost model's features.
"""

from __future__ import annotations

import logging
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from types import ModuleType
from typing import TypeAlias

import numpy as np
import tvm
from tvm.ir.utils import derived_object
from tvm.target import Target

from relay_passes.schedule.default_schedule import apply_schedule
from relay_passes.tir import Schedule, Trace, tirx
from relay_passes.tir import meta_schedule as ms

from ..errors import OdtError
from .runners import Measured
from .tasks import Choice, Task

_PREFIX = "odt.decision."
_SIGNATURE, _LIMIT = "odt.signature", "odt.scratch_limit"
_SAMPLE = "SampleCategorical"
# MetaSchedule wants to know the cores of a target; the C target cannot say
_TARGET = {"kind": "llvm", "mtriple": "thumbv7em-none-eabihf", "mcpu": "cortex-m7", "num-cores": 1}
_EVOLUTION = {
    "population_size": 16,
    "init_min_unmeasured": 1,
    "genetic_num_iters": 2,
    "eps_greedy": 0.1,
}
_WARMUP = 32  # measurements before the cost model says anything
_REFUSALS = (RuntimeError, ValueError)  # of schedules, for some decisions
Decisions = Mapping[str, int]
Measure = Callable[[Task, Sequence[Decisions]], list[Measured]]
Candidate: TypeAlias = ms.search_strategy.MeasureCandidate


def search(
    tasks: Sequence[Task],
    weights: Sequence[float],
    measure: Measure,
    *,
    trials: int,
    batch: int,
    seed: int,
) -> None:
    """Measure up to `trials` candidates of each task, those of small spaces all.

    measure : builds and runs candidates of one task, `batch` at most.
    weights : how much of the step each task is.
    """
    with _without_intrinsics():
        contexts = [_context(task, seed + index) for index, task in enumerate(tasks)]
    by_signature = {task.signature: task for task in tasks}
    scheduler = ms.task_scheduler.GradientBased(seed=seed + 1)
    failures: list[OdtError] = []
    builder = _Builder(trials * len(tasks))
    try:
        with _seeded(seed), _quiet():
            scheduler.tune(
                tasks=contexts,
                task_weights=list(weights),
                max_trials_global=builder.left,
                max_trials_per_task=trials,
                num_trials_per_iter=min(batch, trials),
                builder=builder,
                runner=_Runner(by_signature, measure, failures),
                measure_callbacks=[
                    ms.measure_callback.AddToDatabase(),
                    ms.measure_callback.UpdateCostModel(),
                    _Exhausted([task.space for task in tasks], builder),
                ],
                database=ms.database.MemoryDatabase(),
                cost_model=_cost_model(seed),
            )
    except RuntimeError:
        if failures:  # which TVM made another error of
            raise failures[0] from None
        raise


@contextmanager
def _without_intrinsics() -> Iterator[None]:
    """A TuneContext imports the intrinsics of all GPUs, for half a minute; our space has none."""
    name = "tvm.s_tir.tensor_intrin"
    if name in sys.modules:
        yield
        return
    sys.modules[name] = ModuleType(name)
    try:
        yield
    finally:
        del sys.modules[name]


@contextmanager
def _quiet() -> Iterator[None]:
    """MetaSchedule tells of every generation; who tunes shows its own progress."""
    logger = logging.getLogger("tvm.s_tir.meta_schedule")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """The cost model draws from numpy's global generator until it has learned something."""
    state = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(state)


def _cost_model(seed: int) -> ms.CostModel:
    config = ms.cost_model.xgb_model.XGBConfig(seed=seed, nthread=1)
    return ms.cost_model.XGBModel(
        extractor=_Features(), config=config, num_warmup_samples=_WARMUP, verbose_eval=0
    )


def _context(task: Task, seed: int) -> ms.TuneContext:
    return ms.TuneContext(
        mod=tvm.IRModule({"main": _named(task)}),
        target=Target(_TARGET),
        space_generator=ms.space_generator.ScheduleFn(
            partial(_sampled, choices=task.choices),
            sch_rules=[],
            postprocs=[],
            mutator_probs={_Resample(): 1.0},
        ),
        search_strategy=ms.search_strategy.EvolutionarySearch(**_EVOLUTION),
        task_name=task.name,
        rand_state=seed + 1,
        num_threads=1,
    )


def _named(task: Task) -> tirx.PrimFunc:
    """The task's function, knowing what it is."""
    function = task.function.with_attr(_SIGNATURE, task.signature)
    return function if task.limit is None else function.with_attr(_LIMIT, task.limit)


def _sampled(schedule: Schedule, choices: Sequence[Choice]) -> Schedule:
    """Every decision as a sample, noted at the root block; the kernel itself stays as it is."""
    root = schedule.get_sblock("root")
    for choice in choices:
        count = len(choice.candidates)
        value = schedule.sample_categorical(list(choice.candidates), [1 / count] * count)
        schedule.annotate(root, _PREFIX + choice.name, value)
    return schedule


def _decisions(function: tirx.PrimFunc) -> dict[str, int]:
    annotations = function.body.block.annotations
    return {
        str(name).removeprefix(_PREFIX): int(value)
        for name, value in annotations.items()
        if str(name).startswith(_PREFIX)
    }


def _words(function: tirx.PrimFunc) -> str:
    """A candidate as text: its kernel's signature, and its decisions."""
    words = [f"{name}={value}" for name, value in _decisions(function).items()]
    return " ".join([function.attrs[_SIGNATURE], *words])


@derived_object
class _Features(ms.feature_extractor.PyFeatureExtractor):
    """MetaSchedule's features of each store, of the kernel that the decisions make."""

    def __init__(self) -> None:
        super().__init__()
        self.of_stores = ms.feature_extractor.PerStoreFeature()
        self.known: dict[str, tvm.runtime.Tensor] = {}

    def extract_from(
        self, context: ms.TuneContext, candidates: Sequence[Candidate]
    ) -> list[tvm.runtime.Tensor]:
        return [self._features(context, candidate) for candidate in candidates]

    def _features(self, context: ms.TuneContext, candidate: Candidate) -> tvm.runtime.Tensor:
        function = candidate.sch.mod["main"]
        key = _words(function)
        if key not in self.known:
            decisions = _decisions(function)
            schedule = Schedule(tvm.IRModule({"main": function}))
            try:
                apply_schedule(
                    schedule,
                    lambda _schedule, name, _c, default: decisions.get(name, default),
                    function.attrs.get(_LIMIT),
                )
                candidate = ms.search_strategy.MeasureCandidate(schedule, candidate.args_info)
            except _REFUSALS:
                pass  # it will not be measured either
            (self.known[key],) = self.of_stores.extract_from(context, [candidate])
        return self.known[key]


@derived_object
class _Resample(ms.mutator.PyMutator):
    """Takes one of the decisions again, differently."""

    def __init__(self) -> None:
        self.random = random.Random()

    def _initialize_with_tune_context(self, context: ms.TuneContext) -> None:
        self.random = random.Random(int(context.rand_state))

    def apply(self, trace: Trace, _: object) -> Trace | None:
        samples = [i for i in trace.insts if i.kind.name == _SAMPLE and len(i.attrs[0]) > 1]
        if not samples:
            return None
        sample = self.random.choice(samples)
        now = int(trace.get_decision(sample))
        others = [index for index in range(len(sample.attrs[0])) if index != now]
        return trace.with_decision(sample, self.random.choice(others), remove_postproc=True)

    def clone(self) -> _Resample:
        return _Resample()


@derived_object
class _Builder(ms.builder.PyBuilder):
    """Notes which kernel and which decisions; the runner builds all of a batch at once.

    left : of the trials that the search may make.
    """

    def __init__(self, left: int) -> None:
        super().__init__()
        self.left = left

    def build(
        self, build_inputs: Sequence[ms.builder.BuilderInput]
    ) -> list[ms.builder.BuilderResult]:
        self.left -= len(build_inputs)
        return [ms.builder.BuilderResult(_words(one.mod["main"]), None) for one in build_inputs]


@derived_object
class _Future(ms.runner.PyRunnerFuture):
    def __init__(self, measured: Measured) -> None:
        super().__init__()
        self.measured = measured

    def done(self) -> bool:
        return True

    def result(self) -> ms.runner.RunnerResult:
        if self.measured.cost is None:
            return ms.runner.RunnerResult(None, self.measured.error)
        return ms.runner.RunnerResult([self.measured.cost * 1e-9], None)


@derived_object
class _Runner(ms.runner.PyRunner):
    """Hands a batch to `measure`."""

    def __init__(
        self, tasks: Mapping[str, Task], measure: Measure, failures: list[OdtError]
    ) -> None:
        super().__init__()
        self.tasks, self.measure, self.failures = tasks, measure, failures

    def run(self, runner_inputs: Sequence[ms.runner.RunnerInput]) -> list[_Future]:
        if not runner_inputs:
            return []
        candidates = [str(one.artifact_path).split(" ") for one in runner_inputs]
        decisions = [
            {name: int(value) for name, value in (word.split("=") for word in words)}
            for _, *words in candidates
        ]
        task = self.tasks[candidates[0][0]]
        try:
            return [_Future(measured) for measured in self.measure(task, decisions)]
        except OdtError as error:
            self.failures.append(error)
            raise


@derived_object
class _Exhausted(ms.measure_callback.PyMeasureCallback):
    """Ends a task once every candidate of its space was measured.

    Not if no trial is left: then MetaSchedule ends all tasks itself, and would find one ended.
    """

    def __init__(self, spaces: Sequence[int], builder: _Builder) -> None:
        super().__init__()
        self.left, self.builder = list(spaces), builder

    def apply(
        self,
        task_scheduler: ms.TaskScheduler,
        task_id: int,
        measure_candidates: Sequence[Candidate],
        builder_results: Sequence[ms.builder.BuilderResult],
        runner_results: Sequence[ms.runner.RunnerResult],
    ) -> None:
        self.left[task_id] -= len(measure_candidates)
        if self.left[task_id] <= 0 < self.builder.left:
            task_scheduler.terminate_task(task_id)
