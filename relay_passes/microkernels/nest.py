"""Loop nests and their indices as sums, which the arguments of microkernels are read from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TypeAlias, TypeVar

from tvm import sym
from tvm.ir import TensorLoad

from ..loops import extent_of
from ..tir import tirx
from .form import Form, form_of, uncast

Access: TypeAlias = TensorLoad | tirx.BufferStore
T = TypeVar("T")


class Unfit(Exception):
    """Why a microkernel cannot compute a nest."""


def check(condition: object, why: str) -> None:
    """Raise `Unfit` with `why` unless `condition` holds."""
    if not condition:
        raise Unfit(why)


class Linear:
    """An index as a sum: a coefficient for each loop, and the rest."""

    def __init__(self, index: tirx.Expr, loops: Sequence[tirx.For]) -> None:
        parts = sym.detect_linear_equation(index, [loop.loop_var for loop in loops])
        found = bool(parts) and all(isinstance(c, tirx.IntImm) for c in parts[:-1])
        check(found, "an operand is not read in equal steps")
        self.base = parts[-1]
        self.of = {loop: int(c) for loop, c in zip(loops, parts, strict=False)}

    @property
    def constant(self) -> int | None:
        return int(self.base) if isinstance(self.base, tirx.IntImm) else None


class Scratch:
    """The local buffers of a kernel: how large they are, and what microkernels keep in them."""

    def __init__(self) -> None:
        self.elements: dict[tirx.Var, int] = {}  # buffer -> how many
        self.arrangements: dict[
            tirx.Var, object
        ] = {}  # by buffer, where it is private to microkernels
        self.filled: dict[tirx.Var, list[Nest]] = {}  # buffer -> the nests that fill it

    def __contains__(self, buffer: tirx.Var) -> bool:
        return buffer in self.elements

    def keep(self, buffer: tirx.Var, arrangement: object) -> None:
        """Let the buffer have that arrangement, and no other."""
        known = self.arrangements.setdefault(buffer, arrangement)
        check(known == arrangement, "its scratch is arranged in another way for another nest")


class Nest:
    """Loops, outermost first, and the stores in the last of them.

    scratch : of the kernel.
    around : the loops that the nest itself is in.
    inner : loops that only a part of the stores is in.
    """

    def __init__(
        self,
        loops: Sequence[tirx.For],
        stores: Sequence[tirx.BufferStore],
        scratch: Scratch,
        around: Sequence[tirx.For] = (),
        inner: Sequence[tirx.For] = (),
    ) -> None:
        self.loops, self.stores = tuple(loops), tuple(stores)
        self.around, self.inner = tuple(around), tuple(inner)
        self.scratch = scratch

    @cached_property
    def form(self) -> Form:
        return form_of(self.stores)

    @property
    def store(self) -> tirx.BufferStore:
        """The last one: of results."""
        return self.stores[-1]

    def linear(self, access: Access) -> Linear:
        """The index of a load or a store."""
        return Linear(access.indices[0], (*self.loops, *self.inner))

    def index(self, expr: tirx.Expr) -> Linear:
        """A number as a sum of the loops."""
        return Linear(uncast(expr), self.loops)

    def filled_as(self, kind: type[T]) -> T:
        """The arrangement of what it fills, which is of that kind."""
        arrangement = self.scratch.arrangements.get(self.store.buffer)
        if not isinstance(arrangement, kind):
            raise Unfit("no microkernel reads what it fills")
        return arrangement

    def is_whole(self) -> bool:
        """Whether it fills all of its scratch."""
        filled = extent_of(self.loops) == self.scratch.elements.get(self.store.buffer)
        return filled and self.linear(self.store).constant == 0

    def with_store(self, store: tirx.Stmt) -> tirx.Stmt:
        """Its loops around another store."""
        for loop in reversed(self.loops):
            store = tirx.For(loop.loop_var, loop.min, loop.extent, loop.kind, store)
        return store

    def is_still(self, expr: tirx.Expr) -> bool:
        """Whether no loop of the nest changes it."""
        used = set(tirx.analysis.undefined_vars(expr))
        return not used & {loop.loop_var for loop in self.loops}


def nests_in(
    node: tirx.Stmt, around: Sequence[tirx.For], scratch: Scratch, loops: Sequence[tirx.For] = ()
) -> list[Nest]:
    """The nest in `node`, or where loops of it were cut, each of them."""
    if isinstance(node, tirx.For):
        return nests_in(node.body, around, scratch, (*loops, node))
    statements = list(getattr(node, "seq", [node]))
    local = isinstance(statements[0], tirx.AllocBuffer)  # of one element of the results
    if not local and len(statements) > 1:
        return [nest for each in statements for nest in nests_in(each, around, scratch, loops)]
    stores, inner = [], []
    for statement in statements[local:]:
        while isinstance(statement, tirx.For):
            inner.append(statement)
            statement = statement.body
        check(isinstance(statement, tirx.BufferStore), "a nest holds more than stores")
        stores.append(statement)
    return [Nest(loops, stores, scratch, around, inner)]


def is_dense(loops: Iterable[tirx.For], *linears: Linear, step: int = 1) -> bool:
    """Whether the loops, the last one fastest, walk each index in equal steps."""
    stride = step
    for loop in reversed([*loops]):
        if any(linear.of[loop] != stride for linear in linears):
            return False
        stride *= int(loop.extent)
    return True


def address(buffer: tirx.Var, base: tirx.Expr | int = 0) -> tirx.Expr:
    """Of an element of a flat buffer."""
    return tirx.address_of(buffer[base])


def buffer_of(access: Access) -> tirx.Var:
    """Of a load or a store."""
    return access.buffer if isinstance(access, tirx.BufferStore) else access.source
