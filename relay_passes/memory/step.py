"""A step as one value: tasks, the tensors that they read and write, and what must run before what.

Data flows one way: a lowered module is read once as a `Step` (`read_step`); the order search, the
memory plan, the C and the report read that.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from tvm import relax

from ..graph import Shape, aligned_bytes, tensor_bytes
from ..tir import tirx
from .frozen_prefix import features_of, frozen_prefix
from .order_exact import Graph
from .order_exact import Task as Node


@dataclass(frozen=True)
class Tensor:
    """What lies in one place from its writer, or the start, to its last reader.

    role : input, target, learning_rate, seed, parameter, constant or temporary.
    version : 0, or 1 of the value that an update stores over a parameter: two tensors, one place.
    """

    name: str
    shape: Shape
    dtype: str
    role: str
    version: int = 0

    @property
    def size_bytes(self) -> int:
        return tensor_bytes(self.shape, self.dtype)

    @property
    def in_arena(self) -> bool:
        return self.role in ("input", "temporary")

    @property
    def before(self) -> Tensor:
        """The version that this one is stored over."""
        return replace(self, version=self.version - 1)

    @property
    def backup_name(self) -> str:
        """Of the copy of it that lets a step be taken back."""
        return f"backup of {self.name}"


@dataclass(frozen=True)
class Kernel:
    """A lowered PrimFunc, and what a caller must know of it.

    function : its first `inputs` parameters are operands, the others are results.
    reads : the operands that it loads, which are its arguments; of others only the shape matters.
    in_place : (argument, result) pairs that may be the same bytes.
    updates : whether a result is stored over another version; then what is not finite is left out.
    plain_loops : why no microkernel makes its multiply-accumulates, if none does.
    operators : that it is made of, where the passes said so.
    operands : what they are to these: ``data``, ``weight`` ...
    """

    reads: tuple[int, ...]
    in_place: tuple[tuple[int, int], ...] = ()
    workspace_bytes: int = 0
    macs: int = 0
    inputs: int = 0
    updates: bool = False
    plain_loops: str | None = None
    operators: tuple[str, ...] = ()
    operands: tuple[str, ...] = ()
    function: tirx.PrimFunc | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Task:
    """One call of a kernel: ``layer:kind``, the operands that it loads, its results."""

    name: str
    kind: str
    kernel: Kernel
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    call: relax.VarBinding | None = field(default=None, repr=False, compare=False)

    @property
    def layer(self) -> str:
        """The layer that it belongs to."""
        return self.name.partition(":")[0]

    @property
    def updates(self) -> tuple[Tensor, ...]:
        """The results that are stored over another version."""
        return tuple(tensor for tensor in self.outputs if tensor.version)

    @property
    def pairs(self) -> tuple[tuple[Tensor, Tensor], ...]:
        """(operand, result) of the arena that may be the same bytes, if nobody else needs those."""
        pairs = ((self.inputs[i], self.outputs[o]) for i, o in self.kernel.in_place)
        return tuple(
            (operand, result)
            for operand, result in pairs
            if operand.in_arena and result.in_arena and self.inputs.count(operand) == 1
        )


@dataclass(frozen=True)
class Step:
    """Tasks in the order to run them, which must be valid (see `in_valid_order`).

    constants : their values by name.
    results : stay to the end; the loss first, or of an evaluation the output.
    rollback : whether an update keeps what it writes over until the end.
    peak_bytes : the most bytes of the arena that are live at once, as `ReorderForMemory` proved
        them; None where it did not run.
    backward : the format of adjoints that the passes settled on.
    changing : names of the parameters that are not the same in every step, of a step that is split:
        the tasks that compute with the sample and nothing of them come first. None: not split.
    """

    tasks: tuple[Task, ...]
    constants: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False, compare=False)
    results: tuple[Tensor, ...] = ()
    rollback: bool = False
    peak_bytes: int | None = None
    backward: str = "float32"
    changing: frozenset[str] | None = None

    @cached_property
    def prefix(self) -> int:
        """How many tasks at the beginning need the sample alone; 0 of a step that is not split."""
        return len(_prefix(self.tasks, self.results, self.changing))

    @property
    def features(self) -> tuple[Tensor, ...]:
        """What the tasks behind the prefix read of the sample: with it a step goes on there."""
        return features_of(self.tasks, range(self.prefix))

    @property
    def macs(self) -> int:
        return sum(task.kernel.macs for task in self.tasks)

    @property
    def updates(self) -> tuple[tuple[int, Tensor], ...]:
        """Index of each task that updates a parameter, and the new version."""
        return tuple((i, new) for i, task in enumerate(self.tasks) for new in task.updates)

    @property
    def backups(self) -> tuple[tuple[int, Tensor], ...]:
        """Index of the task before which a version is copied, and that version; kept to the end."""
        return tuple((i, new.before) for i, new in self.updates if self.rollback)

    @cached_property
    def live(self) -> dict[Tensor, tuple[int, int]]:
        """First and last task at which each tensor of the arena is live; backups are not in it."""
        live: dict[Tensor, tuple[int, int]] = {}
        for index, task in enumerate(self.tasks):
            for tensor in (*task.inputs, *task.outputs):
                if tensor.in_arena:
                    first = 0 if tensor.role == "input" else index
                    live[tensor] = live.get(tensor, (first,))[0], index
        end = len(self.tasks) - 1
        return live | {t: (live[t][0], end) for t in self.results if t in live}

    @cached_property
    def graph(self) -> Graph:
        """The tasks as the order search sees them: names, aligned bytes, what waits for what."""
        waits = _waits(self.tasks, self.results, self.changing)
        sizes = {_key(tensor): aligned_bytes(tensor.size_bytes) for tensor in self.live}
        copied: list[list[str]] = [[] for _ in self.tasks]
        for index, tensor in self.backups:
            copied[index].append(tensor.backup_name)
            sizes[tensor.backup_name] = aligned_bytes(tensor.size_bytes)
        nodes = tuple(
            Node(
                tuple(map(_key, task.inputs)),
                (*map(_key, task.outputs), *copied[index]),
                aligned_bytes(task.kernel.workspace_bytes),
                tuple((_key(operand), _key(result)) for operand, result in task.pairs),
                tuple(sorted(waits[index])),
            )
            for index, task in enumerate(self.tasks)
        )
        kept = {*map(_key, self.results), *(tensor.backup_name for _, tensor in self.backups)}
        return Graph(nodes, sizes, frozenset(kept))


def _key(tensor: Tensor) -> str:
    return f"{tensor.name}.{tensor.version}"


def in_valid_order(
    tasks: Sequence[Task], results: Sequence[Tensor], changing: Collection[str] | None = None
) -> tuple[Task, ...]:
    """`tasks` in the order given, but each behind what it reads and what it must wait for.

    * What reads the old version of a parameter runs before its update.
    * The loss is known before the first update.
    * Where there is a target and no update, what the first result does not need runs behind it: a
      prediction ends there.
    * With `changing` (see `Step`), what needs more than the sample runs behind what does not.
    """
    writer = {tensor: index for index, task in enumerate(tasks) for tensor in task.outputs}
    waits = _waits(tasks, results, changing)
    for index, task in enumerate(tasks):
        waits[index] |= {writer[tensor] for tensor in task.inputs if tensor in writer}
    needed_by = defaultdict(list)
    for index, others in enumerate(waits):
        for other in others:
            needed_by[other].append(index)
    ready, ordered = [index for index, others in enumerate(waits) if not others], []
    while ready:
        ordered.append(heapq.heappop(ready))
        for index in needed_by[ordered[-1]]:
            waits[index].discard(ordered[-1])
            if not waits[index]:
                heapq.heappush(ready, index)
    assert len(ordered) == len(tasks), "an update waits for itself: a task reads both versions"
    return tuple(tasks[index] for index in ordered)


def _waits(
    tasks: Sequence[Task], results: Sequence[Tensor], changing: Collection[str] | None
) -> list[set[int]]:
    """For each task those that it must wait for, besides the writers of what it reads."""
    readers = defaultdict(set)
    for index, task in enumerate(tasks):
        for tensor in task.inputs:
            readers[tensor].add(index)
    waits = [{i for new in task.updates for i in readers[new.before]} for task in tasks]
    first = {index for index, task in enumerate(tasks) if set(results[:1]) & {*task.outputs}}
    behind = _behind(tasks, results)
    prefix = _prefix(tasks, results, changing)
    return [
        others - {i} | (first if i in behind else set()) | (set() if i in prefix else prefix)
        for i, others in enumerate(waits)
    ]


def _behind(tasks: Sequence[Task], results: Sequence[Tensor]) -> set[int]:
    """The tasks that wait for the first result."""
    if any(task.updates for task in tasks):
        return {index for index, task in enumerate(tasks) if task.updates}
    if any(tensor.role == "target" for task in tasks for tensor in task.inputs):
        return set(range(len(tasks))) - set(_needed(tasks, results[:1]))
    return set()


def _prefix(
    tasks: Sequence[Task], results: Sequence[Tensor], changing: Collection[str] | None
) -> frozenset[int]:
    """The tasks that all others wait for."""
    if changing is None:
        return frozenset()
    return frozen_prefix(tasks, changing) - _behind(tasks, results)


def _needed(tasks: Sequence[Task], results: Sequence[Tensor]) -> list[int]:
    """Indices of the tasks that `results` are computed by."""
    writer = {tensor: index for index, task in enumerate(tasks) for tensor in task.outputs}
    needed, frontier = set(), list(results)
    while frontier:
        index = writer.get(frontier.pop())
        if index is not None and index not in needed:
            needed.add(index)
            frontier += tasks[index].inputs
    return sorted(needed)


def prediction(evaluation: Step) -> Step:
    """The tasks of `evaluation`, whose results are output and loss, that the output needs."""
    results = evaluation.results[:1]
    tasks = tuple(evaluation.tasks[index] for index in _needed(evaluation.tasks, results))
    return Step(tasks, evaluation.constants, results, changing=evaluation.changing)
