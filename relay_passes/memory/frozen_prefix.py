"""Which tasks of a step depend on the sample alone: their results can be kept and used again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .step import Task, Tensor


def frozen_prefix(tasks: Sequence[Task], changing: Collection[str]) -> frozenset[int]:
    """Indices of the tasks that compute with the sample and what training leaves as it is.

    What only copies or widens (no multiply-accumulates) is left to the rest where that keeps fewer
    bytes: its operands' instead of its results'. It depends on no order of the tasks.

    tasks : each behind the writers of what it reads.
    changing : names of the parameters that are not the same in every step.
    """
    writer = {tensor: index for index, task in enumerate(tasks) for tensor in task.outputs}
    readers = defaultdict(set)
    frozen: set[int] = set()
    for index, task in enumerate(tasks):
        for tensor in task.inputs:
            readers[tensor].add(index)
        if all(_is_frozen(t, writer.get(t), frozen, changing) for t in task.inputs):
            frozen.add(index)
    left = set(frozen)
    for index in sorted(frozen, reverse=True):
        task = tasks[index]
        read = {i for tensor in task.outputs for i in readers[tensor]}
        if not task.kernel.macs and read.isdisjoint(left):
            kept_else = {t for t in task.inputs if t.in_arena and readers[t] <= frozen}
            if _bytes(kept_else) <= _bytes(task.outputs):
                left.remove(index)
    return frozenset(left)


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.size_bytes for tensor in tensors)


def _is_frozen(
    tensor: Tensor, writer: int | None, frozen: Collection[int], changing: Collection[str]
) -> bool:
    if writer is not None:
        return writer in frozen and not tensor.version
    return tensor.role in ("input", "constant") or (
        tensor.role == "parameter" and tensor.name not in changing
    )


def features_of(tasks: Sequence[Task], frozen: Collection[int]) -> tuple[Tensor, ...]:
    """What the other tasks read of the sample and of what the `frozen` ones wrote, in their order.

    Nothing else of the arena is needed to go on behind the prefix.
    """
    written = {tensor for index in frozen for tensor in tasks[index].outputs}
    rest = (task for index, task in enumerate(tasks) if index not in frozen)
    read = (t for task in rest for t in task.inputs if t in written or t.role == "input")
    return tuple(dict.fromkeys(read))
