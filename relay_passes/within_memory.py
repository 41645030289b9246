"""Lower functions to steps in which no scratch of a kernel raises the peak, if that can be."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import tvm
from tvm_ffi import StructuralKey

from .backward.accumulation import Accumulate, ApplyMean
from .backward.sparse_backward import AnyOptimizer
from .graph import aligned_bytes
from .memory.read_step import read_step
from .memory.step import Step
from .optimizers import SGD
from .pipeline import (
    EVALUATION_ROLES,
    STEP_ROLES,
    differentiation,
    fusion,
    ordering,
    run,
    scheduling,
)
from .schedule.default_schedule import Chooser
from .tir import tirx

AUTO = "auto"  # integers, unless float32 takes less memory
ROUNDS = 4  # in how many kernels may get less scratch
_BACKWARD_SPARE = 1 / 32  # so much more may scratch take than the backward's peak without any


@dataclass(frozen=True)
class _Lowered:
    """A loss function, its kernels before they are scheduled, and the best step of them so far.

    passes : what made the kernels; `order` are those behind the schedules.
    scratch : what the schedules were limited to.
    """

    loss: tvm.IRModule
    roles: tuple[str, ...]
    trained: Collection[str]
    passes: list[tvm.transform.Pass]
    kernels: tvm.IRModule
    scratch: Mapping[str, int] = field(default_factory=dict)
    order: list[tvm.transform.Pass] = field(default_factory=list)
    step: Step = field(default_factory=partial(Step, ()))

    @property
    def peak_bytes(self) -> int:
        return self.step.peak_bytes or 0


class Lowering:
    """Loss functions to steps; of equal kernels one is scheduled, once for each scratch limit.

    fuse : False keeps one kernel for each operator, in the order of the graph, for looking at.
    chooser : what takes the decisions of schedules (see `DefaultSchedule`).
    rounds : how often kernels are scheduled, at most, until no scratch raises the peak; 1 leaves
        every kernel what it wants.
    dump : called with "training", "update" or "evaluation", a pass and the module that it made, for
        those passes that make the step; None for no such call.
    split : names of the parameters that train, if what needs none of them shall run first (see
        `Step.prefix`); None leaves the order free.
    """

    def __init__(
        self,
        fuse: bool = True,
        chooser: Chooser | None = None,
        rounds: int = ROUNDS,
        dump: Callable[[str, str, tvm.IRModule], None] | None = None,
        split: Collection[str] | None = None,
    ) -> None:
        self.fuse, self.chooser, self.rounds, self.dump = fuse, chooser, rounds, dump
        self.split = split
        self.scheduled: dict[tuple[StructuralKey, int | None], tirx.PrimFunc] = {}

    def training(
        self,
        loss: tvm.IRModule,
        trained: Collection[str],
        backward: str,
        rollback: bool,
        optimizer: AnyOptimizer = SGD(),  # noqa: B008 - a frozen value
    ) -> Step:
        """``main(input, target, parameters...) -> loss`` to the step that trains `trained`.

        backward : a format of `differentiation`, or `AUTO`.
        optimizer : see `SparseBackward`.
        rollback : see `ReorderForMemory`. It takes no scratch from a kernel and decides no format.
        """

        def lowered(format: str) -> _Lowered:
            passes = differentiation(list(trained), format, optimizer)
            updated = () if isinstance(optimizer, Accumulate) else trained
            return self._fitted(self._lowered(loss, STEP_ROLES, passes, updated))

        found = lowered("int16" if backward == AUTO else backward)
        if backward == AUTO and self.rounds > 1 and raised_by_scratch(found.step):
            found = min(found, lowered("float32"), key=lambda one: one.peak_bytes)
        if rollback:
            found = self._ordered(found, found.scratch, rollback=True)
        return self._dumped("update" if isinstance(optimizer, ApplyMean) else "training", found)

    def evaluation(self, loss: tvm.IRModule, free_bytes: int = 0, part: str = "evaluation") -> Step:
        """``main(input, target, parameters...) -> (output, loss)`` to the step without gradients.

        free_bytes : of arena that there will be in any case.
        part : what it is called in dumps.
        """
        found = self._lowered(loss, EVALUATION_ROLES)
        return self._dumped(part, self._fitted(found, free_bytes=free_bytes))

    def _lowered(
        self,
        loss: tvm.IRModule,
        roles: tuple[str, ...],
        first: Sequence[tvm.transform.Pass] = (),
        trained: Collection[str] = (),
    ) -> _Lowered:
        passes = [*first, *fusion(self.fuse)]
        return _Lowered(loss, roles, trained, passes, run(passes, loss, trained))

    def _fitted(self, start: _Lowered, free_bytes: int = 0) -> _Lowered:
        """`start` with the step of the lowest peak."""
        scratch: dict[str, int] = {}
        found: list[_Lowered] = []
        for _ in range(self.rounds):
            found.append(self._ordered(start, scratch))
            less = with_less_scratch(found[-1].step, scratch, free_bytes)
            if less == scratch:
                break
            scratch = less
        # of equals the last, which has the least scratch
        return min(reversed(found), key=lambda one: one.peak_bytes)

    def _ordered(
        self, start: _Lowered, scratch: Mapping[str, int], rollback: bool = False
    ) -> _Lowered:
        order = ordering(start.roles, rollback, self._changing(start)) if self.fuse else []
        module = run(order, self._schedule(start.kernels, scratch), start.trained)
        step = read_step(module, start.roles)
        return replace(start, scratch=scratch, order=order, step=step)

    def _changing(self, start: _Lowered) -> set[str] | None:
        """What trains, and what only the step reads: states and numbers of the optimizer."""
        if self.split is None:
            return None
        step, loss = ({v.name for v in m["main"].params} for m in (start.kernels, start.loss))
        return {*self.split, *(step - loss)}

    def _schedule(self, module: tvm.IRModule, scratch: Mapping[str, int]) -> tvm.IRModule:
        """`module` with its kernels scheduled, those that are known from earlier calls as then."""
        functions = dict(module.functions_items())
        kernels = {g: f for g, f in functions.items() if isinstance(f, tirx.PrimFunc)}
        keys = {  # tvm_ffi declares an argument that there is not
            gvar: (StructuralKey(function), scratch.get(gvar.name_hint))  # type: ignore[call-arg]
            for gvar, function in kernels.items()
        }
        missing = {key: gvar for gvar, key in keys.items() if key not in self.scheduled}
        lowered = tvm.IRModule({gvar: kernels[gvar] for gvar in missing.values()})
        lowered = run(scheduling(self.chooser, scratch), lowered)
        self.scheduled |= {key: lowered[gvar] for key, gvar in missing.items()}
        functions |= {gvar: self.scheduled[key] for gvar, key in keys.items()}
        return tvm.IRModule(functions, attrs=module.attrs)

    def _dumped(self, part: str, found: _Lowered) -> Step:
        """The step; with `dump` made again, pass by pass, now that the decisions are taken."""
        if self.dump is None:
            return found.step
        passes = [*found.passes, *scheduling(self.chooser, found.scratch), *found.order]
        module = run(passes, found.loss, found.trained, partial(self.dump, part))
        return read_step(module, found.roles)


def needed_bytes(step: Step) -> list[int]:
    """The bytes live at each task if no kernel had a workspace."""
    live = step.graph.profile(range(len(step.tasks)))
    return [
        total - aligned_bytes(task.kernel.workspace_bytes)
        for total, task in zip(live, step.tasks, strict=True)
    ]


def raised_by_scratch(step: Step) -> bool:
    """Whether the peak of `step` is higher than if no kernel had a workspace."""
    return (step.peak_bytes or 0) > max(needed_bytes(step), default=0)


def with_less_scratch(
    step: Step, scratch: Mapping[str, int], free_bytes: int = 0
) -> dict[str, int]:
    """`scratch`, and less of it for the kernels whose scratch raises the peak of `step`.

    scratch : bytes, as `step` was scheduled with, by kernel (see `DefaultSchedule`). It comes
        back equal if no peak is raised, or by kernels that can have no less.
    free_bytes : as many are there anyway, so that no peak below them counts.
    """
    if step.peak_bytes is None:
        return dict(scratch)  # the order is open
    needed = needed_bytes(step)
    limits = [max([*needed, free_bytes])] * len(needed)
    if step.updates:  # the backward's own peak is kept low too, if not to the byte
        roles = ([tensor.role for tensor in task.inputs] for task in step.tasks)
        loss = next((index for index, read in enumerate(roles) if "target" in read), 0)
        backward = int(max(needed[loss:]) * (1 + _BACKWARD_SPARE))
        limits[loss:] = [min(limits[0], max(backward, free_bytes))] * len(needed[loss:])
    found = dict(scratch)
    for task, bytes_needed, limit in zip(step.tasks, needed, limits, strict=True):
        if bytes_needed + aligned_bytes(task.kernel.workspace_bytes) > limit:
            assert task.call is not None, "the tasks of a lowered step are calls"
            name, room = task.call.value.args[0].name_hint, limit - bytes_needed
            found[name] = min(room, found.get(name, room))
    return found
