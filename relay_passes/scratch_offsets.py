"""Where a kernel's local buffers lie in its scratch: those never live at once share bytes."""

from __future__ import annotations

from dataclasses import dataclass

from .graph import operands


@dataclass
class _Life:
    """A buffer from its allocation to its last use, in steps of a clock."""

    size: int
    depth: int  # loops around the allocation
    first: int
    last: int
    offset: int = 0

    def meets(self, other: _Life) -> bool:
        return self.first <= other.last and other.first <= self.last


def scratch_offsets(body, size_of) -> tuple[list[int], int]:
    """Offset of each scratch buffer of a kernel, in the order of the program; bytes of them all.

    A loop that was cut into several allocates again in each: the same bytes.

    size_of : AllocBuffer -> bytes of scratch, 0 for one that is not part of it.
    """
    walk = _Walk(size_of)
    walk.visit(body)
    placed: list[_Life] = []
    for life in sorted(walk.lives.values(), key=lambda life: -life.size):
        for other in sorted(placed, key=lambda other: other.offset):
            overlaps = other.offset < life.offset + life.size
            if other.meets(life) and overlaps and life.offset < other.offset + other.size:
                life.offset = other.offset + other.size
        placed.append(life)
    total = max((life.offset + life.size for life in placed), default=0)
    return [life.offset for life in walk.lives.values()], total


class _Walk:
    def __init__(self, size_of):
        self.size_of = size_of
        self.lives: dict = {}  # buffer -> its life, by allocation
        self.loops: list[list[_Life]] = []  # around the node: what each uses from outside
        self.clock = 0

    def visit(self, node):
        kind = type(node).__name__
        self.clock += 1
        if kind == "SeqStmt":
            for child in node.seq:
                self.visit(child)
        elif kind == "For":
            self.loops.append([])
            self.visit(node.body)
            self.clock += 1
            for life in self.loops.pop():
                life.last = self.clock
        elif kind == "AllocBuffer":
            if size := self.size_of(node):
                self.lives[node.buffer] = _Life(size, len(self.loops), self.clock, self.clock)
        elif kind == "IfThenElse":
            self._read(node.condition)
            for case in filter(None, (node.then_case, node.else_case)):
                self.visit(case)
        elif kind == "AttrStmt":
            self.visit(node.body)
        elif kind == "BufferStore":
            self._used(node.buffer)
            for expr in (*node.indices, node.value):
                self._read(expr)
        elif kind in ("Bind", "Evaluate"):
            self._read(node.value)

    def _read(self, expr):
        if type(expr).__name__ == "TensorLoad":
            self._used(expr.source)
        for operand in operands(expr):
            self._read(operand)

    def _used(self, buffer):
        life = self.lives.get(buffer)
        if life is None:
            return
        life.last = self.clock
        if len(self.loops) > life.depth:
            self.loops[life.depth].append(life)
