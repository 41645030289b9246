"""Scratch: what of a kernel's local buffers lies in the arena, and where in its workspace.

Buffers that are never live at once share bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import tvm_ffi
from tvm_ffi.structural import StructuralVisitor

from ..graph import aligned_bytes, tensor_bytes
from ..kernel_attributes import OFFSETS, WORKSPACE
from ..tir import tirx

ELEMENTS = "odt.elements"  # of a local buffer, where a microkernel wants more than its type says
STACK_SCRATCH_BYTES = 64  # larger scratch is the memory plan's


def with_workspace(function: tirx.PrimFunc) -> tirx.PrimFunc:
    """`function` with its scratch laid out (again)."""
    offsets, total = scratch_offsets(function.body, scratch_bytes)
    return function.with_attrs({WORKSPACE: total, OFFSETS: offsets})


def elements_of(allocation: tirx.AllocBuffer) -> int:
    """Elements of a local buffer: as its type says, or more where a microkernel wants more."""
    return int(allocation.annotations.get(ELEMENTS, math.prod(allocation.buffer.ty.shape)))


def scratch_bytes(allocation: tirx.AllocBuffer) -> int:
    """Bytes of a local buffer, if it is too large for the stack; else 0."""
    return allocated_bytes(tensor_bytes([elements_of(allocation)], str(allocation.buffer.ty.dtype)))


def allocated_bytes(size: int) -> int:
    """Bytes of scratch that a local buffer of `size` bytes takes: none on the stack."""
    return aligned_bytes(size) if size > STACK_SCRATCH_BYTES else 0


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
