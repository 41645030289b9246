"""Results that take the place of an operand: activations, sums of adjoints, depthwise layers."""

from __future__ import annotations

from dataclasses import dataclass

from .program import Op, Program, Tensor

IN_ARENA = ("temporary", "input")


@dataclass(frozen=True)
class Place:
    """Byte `offset` in the buffer `buffer`, which is named after the first tensor that it held."""

    buffer: str
    offset: int


def reuse_in_place(program: Program) -> dict[str, Place]:
    """Where each tensor of the arena lies in its buffer; tensors of one buffer share its bytes.

    An operand gives its bytes away at its last reader, to one result, where the kernel allows it
    (`CKernel.in_place`). A smaller result takes the first bytes; a larger one ends where the
    operand ends, and begins before it.
    """
    last = last_reads(program)
    starts: dict[
        str, tuple[str, int]
    ] = {}  # tensor -> (buffer, start relative to its first tensor)
    for index, op in enumerate(program.ops):
        for tensor in (*op.inputs, *op.outputs):
            if tensor.role == "input":
                starts.setdefault(tensor.name, (tensor.name, 0))
        for operand, result in _given_away(op, index, last):
            buffer, start = starts[operand.name]
            grown = max(result.size_bytes - operand.size_bytes, 0)
            starts[result.name] = (buffer, start - grown)
        for tensor in op.outputs:
            if tensor.role == "temporary":
                starts.setdefault(tensor.name, (tensor.name, 0))
    lowest: dict[str, int] = {}
    for buffer, start in starts.values():
        lowest[buffer] = min(start, lowest.get(buffer, 0))
    return {name: Place(b, start - lowest[b]) for name, (b, start) in starts.items()}


def own_places(program: Program) -> dict[str, Place]:
    """Every tensor in a buffer of its own."""
    tensors = (t for op in program.ops for t in (*op.inputs, *op.outputs) if t.role in IN_ARENA)
    return {t.name: Place(t.name, 0) for t in tensors}


def _given_away(op: Op, index: int, last) -> list[tuple[Tensor, Tensor]]:
    """(operand, result) that share their bytes; each is in one pair at most."""
    pairs: list[tuple[Tensor, Tensor]] = []
    for position, result in op.kernel.in_place:
        operand, output = op.inputs[position], op.outputs[result]
        taken = {t.name for pair in pairs for t in pair}
        if (
            operand.role in IN_ARENA
            and output.role == "temporary"
            and last[operand.name] == index
            and sum(t.name == operand.name for t in op.inputs) == 1
            and not taken & {operand.name, output.name}
        ):
            pairs.append((operand, output))
    return pairs


def last_reads(program: Program) -> dict[str, int]:
    """Index of the last op that touches each tensor; results outlive every op."""
    last = {t.name: i for i, op in enumerate(program.ops) for t in (*op.inputs, *op.outputs)}
    return {**last, **{t.name: len(program.ops) for t in program.results}}
