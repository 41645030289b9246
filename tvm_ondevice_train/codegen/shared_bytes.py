"""Results that take the place of an operand: activations, sums of adjoints, depthwise layers."""

from __future__ import annotations

from dataclasses import dataclass

from relay_passes.memory.order_exact import given_away
from relay_passes.memory.step import Step


@dataclass(frozen=True)
class Place:
    """Byte `offset` in the buffer `buffer`, which is named after the first tensor that it held."""

    buffer: str
    offset: int


def reuse_in_place(step: Step) -> dict[str, Place]:
    """Where each tensor of the arena lies in its buffer; tensors of one buffer share its bytes.

    An operand gives its bytes away at its last reader, to one result, where the kernel allows it
    (`Task.pairs`). A smaller result takes the first bytes; a larger one ends where the operand
    ends, and begins before it.
    """
    live, kept = step.live, set(step.results)
    starts: dict[str, tuple[str, int]] = {}  # -> (buffer, start relative to its first tensor)
    for index, task in enumerate(step.tasks):
        for tensor in task.inputs:
            if tensor.role == "input":
                starts.setdefault(tensor.name, (tensor.name, 0))
        ended = [
            (operand, result, min(operand.size_bytes, result.size_bytes))
            for operand, result in task.pairs
            if live[operand][1] == index and operand not in kept
        ]
        for operand, result, _ in given_away(ended):
            buffer, start = starts[operand.name]
            grown = max(result.size_bytes - operand.size_bytes, 0)
            starts[result.name] = (buffer, start - grown)
        for tensor in task.outputs:
            if tensor.in_arena:
                starts.setdefault(tensor.name, (tensor.name, 0))
    lowest: dict[str, int] = {}
    for buffer, start in starts.values():
        lowest[buffer] = min(start, lowest.get(buffer, 0))
    return {name: Place(b, start - lowest[b]) for name, (b, start) in starts.items()}


def own_places(step: Step) -> dict[str, Place]:
    """Every tensor in a buffer of its own."""
    return {tensor.name: Place(tensor.name, 0) for tensor in step.live}
