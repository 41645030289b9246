"""What a plan places: bytes with a live range, of which not all are needed all the time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from relay_passes.graph import ALIGN


@dataclass(frozen=True)
class Buffer:
    """`size_bytes` that are live from op `first` to op `last`, both included.

    spans: (op, low, high) triples, the first of them at op `first`; from that op on, until the
        next, only bytes low...high - 1 are live. So a smaller result takes the first bytes of its
        operand's place, and a larger one begins before it. Without spans all bytes are live.
        `low` is a multiple of the alignment; the buffer's own offset never changes.
    """

    name: str
    size_bytes: int
    first: int
    last: int
    alignment: int = ALIGN
    spans: tuple[tuple[int, int, int], ...] = ()

    def __post_init__(self) -> None:
        if self.size_bytes <= 0 or self.first > self.last:
            raise ValueError(f"memory plan: {self} needs size_bytes > 0 and first <= last")
        if self.alignment <= 0 or self.alignment & (self.alignment - 1):
            raise ValueError(f"memory plan: the alignment of {self} is not a power of two")
        if self.spans and not self._spans_are_right():
            raise ValueError(
                f"memory plan: {self} needs spans at rising ops from first up to last, each of "
                "bytes inside the buffer that begin at its alignment"
            )

    def _spans_are_right(self) -> bool:
        ops = [op for op, _, _ in self.spans]
        return (
            ops[0] == self.first
            and ops[-1] <= self.last
            and all(one < other for one, other in pairwise(ops))
            and all(0 <= low < high <= self.size_bytes for _, low, high in self.spans)
            and all(low % self.alignment == 0 for _, low, _ in self.spans)
        )

    @property
    def aligned_bytes(self) -> int:
        """What the buffer occupies: its size, rounded up to its alignment."""
        return round_up(self.size_bytes, self.alignment)

    @property
    def phases(self) -> tuple[tuple[int, int, int, int], ...]:
        """(first op, last op, low, high) of each stretch of ops that needs the same bytes.

        `high` is rounded up to the alignment.
        """
        spans = self.spans or ((self.first, 0, self.size_bytes),)
        ends = [*(op - 1 for op, _, _ in spans[1:]), self.last]
        return tuple(
            (op, end, low, round_up(high, self.alignment))
            for (op, low, high), end in zip(spans, ends, strict=True)
        )


def live_bytes(buffers: Sequence[Buffer]) -> dict[int, int]:
    """Op -> bytes occupied there, at every op where something changes (so at the peak too)."""
    change: dict[int, int] = {}
    for first, last, low, high in (phase for buffer in buffers for phase in buffer.phases):
        change[first] = change.get(first, 0) + high - low
        change[last + 1] = change.get(last + 1, 0) - (high - low)
    live, now = {}, 0
    for op in sorted(change):
        now += change[op]
        live[op] = now
    return live


def round_up(value: int, alignment: int) -> int:
    return (value + alignment - 1) // alignment * alignment
