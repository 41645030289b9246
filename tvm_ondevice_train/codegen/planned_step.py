"""A step and where each of its bytes lies in the arena."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from relay_passes.memory.step import Kernel, Step, Tensor

from ..memory_plan import Buffer, MemoryPlan, check_plan, plan
from .c_printer import CKernel, print_kernels
from .shared_bytes import Place, own_places, reuse_in_place

# of a tensor in a buffer: first and last task, first byte and the one behind the last
_Member: TypeAlias = tuple[int, int, int, int]


@dataclass(frozen=True)
class PlannedStep:
    """A step with the arena offset of each of its temporaries and of its input."""

    step: Step
    places: Mapping[str, Place]
    buffers: tuple[Buffer, ...]
    plan: MemoryPlan

    @cached_property
    def kernels(self) -> Mapping[Kernel, CKernel]:
        """Their C."""
        return print_kernels(self.step)

    @cached_property
    def offsets(self) -> Mapping[str, int]:
        """Arena offset in bytes of each tensor that lies there, by its name."""
        starts = self.plan.offsets
        return {name: starts[place.buffer] + place.offset for name, place in self.places.items()}

    def offset(self, tensor: Tensor) -> int | None:
        """Arena offset in bytes; None for a tensor that lies elsewhere."""
        return self.offsets.get(tensor.name)

    def workspace_offset(self, index: int) -> int:
        """Arena offset of the scratch of task `index`."""
        return self.plan.offsets[workspace_name(index)]

    @property
    def backups(self) -> tuple[tuple[int, Tensor, int], ...]:
        """Task that updates it, parameter, and arena offset of the backup."""
        return tuple((i, t, self.plan.offsets[t.backup_name]) for i, t in self.step.backups)

    @property
    def input_offset(self) -> int:
        """Where the sample must lie before the first task; 0 if no task reads it."""
        return next((self.offsets[t.name] for t in self.step.live if t.role == "input"), 0)


def plan_step(step: Step, in_place: bool = True) -> PlannedStep:
    """Live ranges of `step`, and the smallest arena that holds them.

    The most bytes live at once, which no arena can be smaller than, are those that the order search
    counted.

    in_place : let results take the place of an operand that nobody reads again, where they can.
    """
    places = reuse_in_place(step) if in_place else own_places(step)
    buffers = live_ranges(step, places)
    planned = plan(buffers)
    check_plan(buffers, planned)
    if in_place and step.peak_bytes is not None:
        assert planned.lower_bound_bytes == step.peak_bytes, "order and plan count other bytes"
    return PlannedStep(step, places, buffers, planned)


def live_ranges(step: Step, places: Mapping[str, Place]) -> tuple[Buffer, ...]:
    """A buffer for the tensors that share their bytes, one for each workspace and each backup.

    The input lies in the arena too: its bytes are used again once the first layer has read it.
    """
    members: dict[str, list[_Member]] = {}
    for tensor, (first, last) in step.live.items():
        place = places[tensor.name]
        low, high = place.offset, place.offset + tensor.size_bytes
        members.setdefault(place.buffer, []).append((first, last, low, high))
    workspaces = [
        Buffer(workspace_name(index), task.kernel.workspace_bytes, index, index)
        for index, task in enumerate(step.tasks)
        if task.kernel.workspace_bytes
    ]
    end = len(step.tasks) - 1
    backups = [Buffer(t.backup_name, t.size_bytes, index, end) for index, t in step.backups]
    tensors = [_buffer(name, entries) for name, entries in members.items()]
    return (*tensors, *workspaces, *backups)


def _buffer(name: str, members: Sequence[_Member]) -> Buffer:
    """The bytes that one tensor after the other needs, as far as they differ."""
    spans: list[tuple[int, int, int]] = []
    changes = {first for first, *_ in members} | {last + 1 for _, last, *_ in members}
    end = max(last for _, last, *_ in members)
    for op in sorted(changes):
        live = [(low, high) for first, last, low, high in members if first <= op <= last]
        if live:
            span = min(low for low, _ in live), max(high for _, high in live)
            if not spans or spans[-1][1:] != span:
                spans.append((op, *span))
    size = max(high for _, _, high in spans)
    return Buffer(name, size, spans[0][0], end, spans=tuple(spans))


def workspace_name(index: int) -> str:
    return f"workspace of op {index}"
