"""What a microkernel computes, as text with the indices of its operands.

``acc[o*P + p] = (own + (float32 a[k*stride + p] * float32 b{k*O + o}))`` is the form of a store
(see `form_of`) with a name and an index for what is stored and for each operand. Small letters are
axes, outermost first, capital letters their extents, and other words numbers that a nest decides.
An index in braces is one of scratch, from its first element.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ..loops import extent_of
from ..tir import tirx
from .nest import Linear, Nest, address, buffer_of, check, is_dense

_INDEX = r"(?:([\[{])([^\]}]*)[\]}])?"
_OPERAND, _TARGET = re.compile(r"(\w+) (\w+)" + _INDEX), re.compile(r"(\w+)" + _INDEX)
_FUSED = "iko"  # axes that several loops may make

Number: TypeAlias = tirx.Expr | int


@dataclass(frozen=True)
class Walk:
    """Steps of an index along axes: "1", or the name of an extent or of a number."""

    steps: dict[str, str]
    is_scratch: bool


class Formula:
    """A parsed formula: its form, the names of stores and operands in order, and their walks."""

    def __init__(self, text: str) -> None:
        self.targets: list[str] = []
        self.operands: list[str] = []
        self.walks: dict[str, Walk] = {}
        forms = []
        for statement in text.split("; "):
            target, value = statement.split(" = ")
            stored = _TARGET.match(target)
            assert stored, f"{text}: nothing is stored"
            targets = [stored.groups()]
            operands = [found[1:] for found in _OPERAND.findall(value)]
            self.targets += [name for name, *_ in targets]
            self.operands += [name for name, *_ in operands]
            indices = [found for found in (*targets, *operands) if found[1]]
            self.walks |= {name: Walk(_steps(at), left == "{") for name, left, at in indices}
            forms.append(_OPERAND.sub(r"\1", value))
        self.form = "; ".join(forms)
        self.axes = list(dict.fromkeys(axis for w in self.walks.values() for axis in w.steps))


def _steps(index: str) -> dict[str, str]:
    terms = (term.split("*") for term in index.split(" + "))
    return {axis: step[0] if step else "1" for axis, *step in terms}


class Solution:
    """What the words of a formula are for a nest; Unfit where it walks otherwise.

    numbers : by their words; ``zero_point`` is what is subtracted from codes.
    read : operands as they are read. accesses : stores, and loads of operands; linears : their
    indices. loops : of each axis, innermost first.
    """

    def __init__(self, formula: Formula, nest: Nest, known: dict[str, int]) -> None:
        self.formula, self.nest = formula, nest
        found = dict(zip(formula.operands, nest.form.operands, strict=True))
        self.numbers: dict[str, Number] = {
            "zero_point": -sum(each.addend for each in found.values()),
            **known,
        }
        self.read = {name: operand.expr for name, operand in found.items()}
        self.accesses = {name: each.load for name, each in found.items() if each.load is not None}
        for name, store in zip(formula.targets, nest.stores, strict=True):
            same = buffer_of(self.accesses.setdefault(name, store)).same_as(store.buffer)
            check(same, f"it has more than one {name}")
        self.linears = {name: nest.linear(self.accesses[name]) for name in formula.walks}
        self.loops = self._assigned((*nest.loops, *nest.inner))
        for axis, loops in self.loops.items():
            extent = extent_of(loops)
            check(self._number(axis.upper(), extent) == extent, f"its axis {axis} is cut")
        for name, walk in formula.walks.items():
            self._solve(walk, self.linears[name], name)

    def _assigned(self, loops: Sequence[tirx.For]) -> dict[str, list[tirx.For]]:
        """Each loop, the innermost first, goes to an axis that may have it."""
        found: dict[str, list[tirx.For]] = {axis: [] for axis in self.formula.axes}
        waiting = list(reversed(self.formula.axes))
        for loop in reversed(loops):
            while waiting and not self._may_have(waiting[0], [*found[waiting[0]], loop]):
                waiting.pop(0)
            check(waiting, f"its loop {loop.loop_var.name} is along no axis")
            found[waiting[0]].append(loop)
        return found

    def _may_have(self, axis: str, loops: Sequence[tirx.For]) -> bool:
        full = extent_of(loops[:-1]) == self.numbers.get(axis.upper())
        if full or (len(loops) > 1 and axis not in _FUSED):
            return False
        walks = self.formula.walks.items()
        steps = ((walk.steps.get(axis, "0"), self.linears[name]) for name, walk in walks)
        return all(_is_along(step, linear, loops) for step, linear in steps)

    def _solve(self, walk: Walk, linear: Linear, name: str) -> None:
        for axis, step in walk.steps.items():
            if self.loops[axis]:
                found = linear.of[self.loops[axis][0]]
                check(self._number(step, found) == found, f"its {name} is walked otherwise")
            else:  # nothing is multiplied with it
                others = [extent_of(self.loops[other]) for other in walk.steps if other != axis]
                self._number(step, max(others, default=0))
        whole = linear.constant == 0 and buffer_of(self.accesses[name]) in self.nest.scratch
        check(whole or not walk.is_scratch, f"its {name} is no scratch")

    def _number(self, word: str, found: int) -> int:
        return int(word) if word.isdigit() else self.numbers.setdefault(word, found)

    def arguments(self, words: Iterable[str]) -> list[Number]:
        """For words: addresses of operands, of bits the first and where they begin; numbers."""
        return [argument for word in words for argument in self._argument(word)]

    def _argument(self, word: str) -> list[Number]:
        if word in self.numbers:
            return [self.numbers[word]]
        if word not in self.linears:
            return [self.read[word]]
        base, buffer = self.linears[word].base, buffer_of(self.accesses[word])
        is_bits = str(buffer.ty.dtype) == "bool"
        return [address(buffer), base] if is_bits else [address(buffer, base)]


def _is_along(step: str, linear: Linear, loops: Sequence[tirx.For]) -> bool:
    """Whether an index has that step along loops, innermost first, so far as it is known."""
    if step == "0":
        return linear.of[loops[-1]] == 0
    first = 1 if step == "1" else linear.of[loops[0]]
    return is_dense(reversed(loops), linear, step=first)
