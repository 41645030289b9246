"""The kernels of a training step that have something to tune."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import tvm

from relay_passes.memory import step
from relay_passes.memory.read_step import kernel_of
from relay_passes.pipeline import scheduling
from relay_passes.schedule.tiled import Choose
from relay_passes.tir import Schedule, tirx

from ..codegen.c_printer import CKernel, print_kernel
from ..codegen.planned_step import PlannedStep
from ..compiler import CompiledModel
from ..tuning import Tuning
from ..tuning.signature import signature


@dataclass(frozen=True)
class Choice:
    """What a schedule asks: one of `candidates`."""

    name: str
    candidates: tuple[int, ...]
    default: int


@dataclass(frozen=True)
class Task:
    """A kernel that schedules differ for.

    name : of the first op that calls it.
    limit : the bytes of scratch that its default schedule kept to, None for no limit.
    inputs : how many of the function's parameters it reads.
    op, values : that op, and the values of its operands that are constants or parameters.
    macs : of one call. train_calls, predict_calls : in a training step and in a prediction.
    scratch_bytes : what it may take in the arena without raising the peak of either.
    """

    signature: str
    name: str
    function: tirx.PrimFunc
    limit: int | None
    choices: tuple[Choice, ...]
    inputs: int
    op: step.Task
    values: Mapping[str, np.ndarray]
    macs: int
    train_calls: int
    predict_calls: int
    scratch_bytes: int

    @property
    def space(self) -> int:
        """How many candidates there are."""
        return int(np.prod([len(choice.candidates) for choice in self.choices]))

    def allows(self, decisions: Mapping[str, int]) -> bool:
        """Whether these are decisions that the schedule asks for, each one of its candidates."""
        candidates = {choice.name: choice.candidates for choice in self.choices}
        return candidates.keys() == decisions.keys() and all(
            value in candidates[name] for name, value in decisions.items()
        )

    @cached_property
    def default(self) -> CKernel:
        return self.kernel({choice.name: choice.default for choice in self.choices})

    def kernel(self, decisions: Mapping[str, int]) -> CKernel:
        """The C of this kernel under `decisions`."""
        return _kernel(self.function, self.limit, self.inputs, decisions)


@dataclass(frozen=True)
class Recorder(Tuning):
    """A tuning that leaves all as it is, and remembers what it was asked."""

    asked: list[tuple[tirx.PrimFunc, int | None, list[Choice]]] = field(default_factory=list)

    def chooser(self, function: tirx.PrimFunc, limit: int | None) -> Choose:
        choices: list[Choice] = []
        self.asked.append((function, limit, choices))

        def choose(_schedule: Schedule, name: str, candidates: list[int], default: int) -> int:
            choices.append(Choice(name, tuple(candidates), default))
            return default

        return choose


def tasks_of(compiled: CompiledModel, recorder: Recorder) -> list[Task]:
    """One task for each different kernel that `recorder` saw while `compiled` was made."""
    source = compiled.planned
    values = {**source.frozen, **source.constants, **{s.name: s.value for s in source.slots}}
    uses = [
        (planned.kernels[op.kernel].text, op, room, planned is source.train)
        for planned in (source.train, source.evaluate)
        for op, room in _uses(planned, source.arena_bytes)
    ]
    found: dict[str, Task] = {}
    for function, limit, choices in recorder.asked:
        if all(len(choice.candidates) == 1 for choice in choices):
            continue
        key, inputs = signature(function, limit), _inputs(function)
        text = _kernel(function, limit, inputs, {}).text
        for _, op, room, trains in [use for use in uses if use[0] == text]:
            room = room if limit is None else min(room, limit)
            if key not in found:
                known = {t.name: values[t.name] for t in op.inputs if t.name in values}
                numbers = (op.kernel.macs, 0, 0, room)
                found[key] = Task(
                    key, op.name, function, limit, tuple(choices), inputs, op, known, *numbers
                )
            task = found[key]
            found[key] = replace(
                task,
                train_calls=task.train_calls + trains,
                predict_calls=task.predict_calls + (not trains),
                scratch_bytes=min(task.scratch_bytes, room),
            )
        uses = [use for use in uses if use[0] != text]
    return list(found.values())


def _uses(planned: PlannedStep, arena_bytes: int) -> list[tuple[step.Task, int]]:
    """Each task, and the scratch that it could have in an arena of `arena_bytes`."""
    live: Counter[int] = Counter()
    for first, last, low, high in (phase for b in planned.buffers for phase in b.phases):
        for index in range(first, last + 1):
            live[index] += high - low
    return [
        (op, arena_bytes - live[index] + op.kernel.workspace_bytes)
        for index, op in enumerate(planned.step.tasks)
    ]


def _kernel(
    function: tirx.PrimFunc, limit: int | None, inputs: int, decisions: Mapping[str, int]
) -> CKernel:
    def choose(_schedule: Schedule, name: str, _candidates: list[int], default: int) -> int:
        return decisions.get(name, default)

    scratch = {} if limit is None else {"main": limit}
    passes = tvm.transform.Sequential(scheduling(lambda *_: choose, scratch))
    return print_kernel(kernel_of(passes(tvm.IRModule({"main": function}))["main"], inputs))


def _inputs(function: tirx.PrimFunc) -> int:
    """Parameters that are not written; they come first."""
    schedule = Schedule(tvm.IRModule({"main": function}))
    blocks = schedule.get_output_blocks(schedule.get_sblock("root"))
    written = {write.source for block in blocks for write in schedule.get(block).writes}
    return sum(parameter not in written for parameter in function.params)
