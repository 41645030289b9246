"""Where everything of a compiled model lies: arena plans, trained parameters, constants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count

import numpy as np

from relay_passes.memory.step import Kernel, Step, Tensor

from ..memory_plan import Buffer, MemoryPlan, check_plan, plan
from .c_printer import CKernel, print_kernels
from .shared_bytes import Place, own_places, reuse_in_place

# what a parameter or a kernel must not be called in C: keywords of C and C++, names that the
# generated code uses itself, and library functions that compilers know without a header
_RESERVED = frozenset(
    """
    alignas alignof and asm auto bitand bitor bool break case catch char class compl const constexpr
    continue decltype default delete do double else enum explicit export extern false float for
    friend goto if inline int long mutable namespace new noexcept not nullptr operator or private
    protected public register restrict return short signed sizeof static static_assert struct switch
    template this throw true try typedef typeid typename union unsigned using virtual void volatile
    wchar_t while xor
    arena arena_bytes destination forward input learning_rate loss not_finite odt output params
    place_input seed target
    abs ceil cos erf exp floor index labs log main memcpy memmove memset pow printf round sin sqrt
    tan tanh
    """.split()
)
_RESERVED_PREFIXES = ("odt_", "ODT_", "initial_", "INT", "UINT")


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

    def offset(self, tensor: Tensor) -> int | None:
        """Arena offset in bytes; None for a tensor that lies elsewhere."""
        place = self.places.get(tensor.name)
        return None if place is None else self.plan.offsets[place.buffer] + place.offset

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
        return next((self.offset(t) for t in self.step.live if t.role == "input"), 0)


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
    members: dict[str, list] = {}
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


def _buffer(name: str, members) -> Buffer:
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


@dataclass(frozen=True)
class ParameterSlot:
    """A trained parameter in ``odt_params_t``: byte offset, C field, value at the start."""

    name: str
    field: str
    offset: int
    value: np.ndarray


def parameter_slots(values: dict[str, np.ndarray], trained) -> tuple[ParameterSlot, ...]:
    """Trained parameters, four-byte elements first so that nothing is padded."""
    ordered = sorted(trained, key=lambda name: -values[name].itemsize)
    slots, offset, fields = [], 0, set()
    for name in ordered:
        slots.append(ParameterSlot(name, identifier(name, fields), offset, values[name]))
        offset += values[name].nbytes
    return tuple(slots)


def identifier(name: str, taken: set[str]) -> str:
    """A C identifier for `name` that is not in `taken`, which it joins."""
    base = "".join(c if c.isalnum() and c.isascii() else "_" for c in name)
    if not base[:1].isalpha() or base in _RESERVED or base.startswith(_RESERVED_PREFIXES):
        base = f"p_{base}"
    candidate, count = base, 1
    while candidate in taken:
        count += 1
        candidate = f"{base}_{count}"
    taken.add(candidate)
    return candidate


def merge_constants(*steps: Step, taken=()) -> tuple[tuple[Step, ...], dict[str, np.ndarray]]:
    """The steps with constants of equal bytes under one name, and those constants.

    taken : names that none of them may get.
    """
    free = filter(lambda name: name not in taken, (f"constant_{n}" for n in count()))
    merged: dict[tuple, tuple[str, np.ndarray]] = {}
    renamed = []
    for step in steps:
        names = {}
        for name, value in step.constants.items():
            key = (str(value.dtype), value.tobytes())
            if key not in merged:
                merged[key] = (next(free), value)
            names[name] = merged[key][0]
        renamed.append(_rename_constants(step, names))
    return tuple(renamed), dict(merged.values())


def _rename_constants(step: Step, names: Mapping[str, str]) -> Step:
    def renamed(tensor: Tensor) -> Tensor:
        return replace(tensor, name=names[tensor.name]) if tensor.role == "constant" else tensor

    tasks = tuple(replace(task, inputs=tuple(map(renamed, task.inputs))) for task in step.tasks)
    constants = {names[name]: value for name, value in step.constants.items()}
    return replace(step, tasks=tasks, constants=constants)
