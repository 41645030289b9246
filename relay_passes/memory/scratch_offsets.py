"""Where a kernel's local buffers lie in its scratch: those never live at once share bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import tvm_ffi
from tvm_ffi.structural import StructuralVisitor

from ..tir import tirx


@dataclass
class _Life:
    """A buffer from its allocation to its last use, in steps of a clock that counts allocations."""

    size: int
    depth: int  # loops around the allocation
    first: int
    last: int
    offset: int = 0

    def meets(self, other: _Life) -> bool:
        return self.first <= other.last and other.first <= self.last


def scratch_offsets(
    body: tirx.Stmt, size_of: Callable[[tirx.AllocBuffer], int]
) -> tuple[list[int], int]:
    """Offset of each scratch buffer of a kernel, in the order of the program; bytes of them all.

    A loop that was cut into several allocates again in each: the same bytes.

    size_of : AllocBuffer -> bytes of scratch, 0 for one that is not part of it.
    """
    lives = _Walk(body, size_of).lives
    placed: list[_Life] = []
    for life in sorted(lives.values(), key=lambda life: -life.size):
        for other in sorted(placed, key=lambda other: other.offset):
            overlaps = other.offset < life.offset + life.size
            if other.meets(life) and overlaps and life.offset < other.offset + other.size:
                life.offset = other.offset + other.size
        placed.append(life)
    total = max((life.offset + life.size for life in placed), default=0)
    return [life.offset for life in lives.values()], total


class _Walk:
    def __init__(self, body: tirx.Stmt, size_of: Callable[[tirx.AllocBuffer], int]) -> None:
        self.size_of = size_of
        self.lives: dict[tirx.Var, _Life] = {}  # buffer -> its life, by allocation
        self.loops: list[list[_Life]] = []  # around the node: what each uses from outside
        self.clock = 0
        callbacks = [
            (tirx.For, self._loop),
            (tirx.AllocBuffer, self._allocated),
            (tirx.Var, self._used),
        ]
        tvm_ffi.structural_visit(body, callbacks)

    def _loop(self, loop: tirx.For, visitor: StructuralVisitor) -> None:
        self.loops.append([])
        visitor.default_visit(loop)
        for life in self.loops.pop():
            life.last = self.clock

    def _allocated(self, node: tirx.AllocBuffer, _visitor: StructuralVisitor) -> None:
        if size := self.size_of(node):
            self.clock += 1
            self.lives[node.buffer] = _Life(size, len(self.loops), self.clock, self.clock)

    def _used(self, variable: tirx.Var, _visitor: StructuralVisitor) -> None:
        if life := self.lives.get(variable):
            life.last = self.clock
            if len(self.loops) > life.depth:
                self.loops[life.depth].append(life)
