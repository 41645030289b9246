"""Where everything of a compiled model lies: arena plans, trained parameters, constants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count

import numpy as np

from ..memory_plan import Buffer, MemoryPlan, check_plan, plan
from .in_place import IN_ARENA, Place, own_places, reuse_in_place
from .program import Program, Tensor, rename_constants

ARENA_ALIGN = 16
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
class PlannedProgram:
    """A program with the arena offset of each of its temporaries and of its input.

    rollback : whether there is a backup of each parameter, from its update to the end.
    """

    program: Program
    places: Mapping[str, Place]
    buffers: tuple[Buffer, ...]
    plan: MemoryPlan
    rollback: bool = False

    def offset(self, tensor: Tensor) -> int | None:
        """Arena offset in bytes; None for a tensor that lies elsewhere."""
        place = self.places.get(tensor.name)
        return None if place is None else self.plan.offsets[place.buffer] + place.offset

    def workspace_offset(self, index: int) -> int:
        """Arena offset of the scratch of op `index`."""
        return self.plan.offsets[workspace_name(index)]

    @property
    def backups(self) -> tuple[tuple[int, Tensor, int], ...]:
        """Op that updates it, parameter, and arena offset of the backup."""
        updates = self.program.updates if self.rollback else ()
        return tuple((i, t, self.plan.offsets[backup_name(t)]) for i, t in updates)

    @property
    def input_offset(self) -> int:
        """Where the sample must lie before the first op; 0 if no op reads it."""
        tensors = (t for op in self.program.ops for t in op.inputs if t.role == "input")
        return next((self.offset(t) for t in tensors), 0)

    @property
    def live(self) -> dict[Tensor, tuple[int, int]]:
        """First and last op at which each tensor of the arena is live."""
        return live_tensors(self.program)


def plan_program(program: Program, in_place: bool = True, rollback: bool = False) -> PlannedProgram:
    """Live ranges of `program`, and the smallest arena that holds them.

    in_place : let results take the place of an operand that nobody reads again, where they can.
    rollback : keep what each update writes over, so that a step can be taken back.
    """
    places = reuse_in_place(program) if in_place else own_places(program)
    buffers = live_ranges(program, places)
    if rollback:
        buffers += _backups(program)
    planned = plan(buffers)
    check_plan(buffers, planned)
    return PlannedProgram(program, places, buffers, planned, rollback)


def live_tensors(program: Program) -> dict[Tensor, tuple[int, int]]:
    """First and last op of each temporary and of the input; results live to the end."""
    live: dict[Tensor, list[int]] = {}
    results = {t.name for t in program.results}
    for index, op in enumerate(program.ops):
        for tensor in (*op.inputs, *op.outputs):
            if tensor.role in IN_ARENA:
                live.setdefault(tensor, [0 if tensor.role == "input" else index, index])[1] = index
    end = len(program.ops) - 1
    return {t: (first, end if t.name in results else last) for t, (first, last) in live.items()}


def live_ranges(program: Program, places: Mapping[str, Place]) -> tuple[Buffer, ...]:
    """One buffer for the tensors that share their bytes, and one for each op's workspace.

    The input lies in the arena too: its bytes are used again once the first layer has read it.
    """
    members: dict[str, list] = {}
    for tensor, (first, last) in live_tensors(program).items():
        place = places[tensor.name]
        low, high = place.offset, place.offset + tensor.size_bytes
        members.setdefault(place.buffer, []).append((first, last, low, high))
    buffers = [_buffer(name, entries) for name, entries in members.items()]
    for index, op in enumerate(program.ops):
        if op.kernel.workspace_bytes:
            size = op.kernel.workspace_bytes
            buffers.append(Buffer(workspace_name(index), size, index, index, ARENA_ALIGN))
    return tuple(buffers)


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
    return Buffer(name, size, spans[0][0], end, ARENA_ALIGN, tuple(spans))


def workspace_name(index: int) -> str:
    return f"workspace of op {index}"


def _backups(program: Program) -> tuple[Buffer, ...]:
    end = len(program.ops) - 1
    return tuple(
        Buffer(backup_name(tensor), tensor.size_bytes, index, end, ARENA_ALIGN)
        for index, tensor in program.updates
    )


def backup_name(parameter: Tensor) -> str:
    return f"backup of {parameter.name}"


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


def merge_constants(
    *programs: Program, taken=()
) -> tuple[tuple[Program, ...], dict[str, np.ndarray]]:
    """The programs with constants of equal bytes under one name, and those constants.

    taken : names that none of them may get.
    """
    free = filter(lambda name: name not in taken, (f"constant_{n}" for n in count()))
    merged: dict[tuple, tuple[str, np.ndarray]] = {}
    renamed = []
    for program in programs:
        names = {}
        for name, value in program.constants.items():
            key = (str(value.dtype), value.tobytes())
            if key not in merged:
                merged[key] = (next(free), value)
            names[name] = merged[key][0]
        renamed.append(rename_constants(program, names))
    return tuple(renamed), dict(merged.values())
