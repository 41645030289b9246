"""Where the features of a sample lie: in the arena and in bytes of their own."""

from __future__ import annotations

from dataclasses import dataclass

from .planned_step import PlannedStep


@dataclass(frozen=True)
class Features:
    """What a step that is split keeps of a sample.

    prefix : how many tasks make them, those at the beginning of the step.
    pieces : (byte in the features, offset in the arena, bytes), one behind the other.
    """

    prefix: int
    pieces: tuple[tuple[int, int, int], ...]

    @property
    def size_bytes(self) -> int:
        return sum(size for _, _, size in self.pieces)


def features_in(planned: PlannedStep) -> Features | None:
    """Those of `planned`; None where it is not split."""
    if planned.step.changing is None:
        return None
    pieces, begin = [], 0
    for tensor in planned.step.features:
        pieces.append((begin, planned.offsets[tensor.name], tensor.size_bytes))
        begin += tensor.size_bytes
    return Features(planned.step.prefix, tuple(pieces))
