"""What a microkernel computes, as text with the indices of its operands.

``acc[o*P + p] = (own + (float32 a[k*stride + p] * float32 b{k*O + o}))`` is the form of a store
(see `form_of`) with a name and an index for what is stored and for each operand. Small letters are
axes, outermost first, capital letters their extents, and other words numbers that a nest decides.
An index in braces is one of scratch, from its first element.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .nest import Nest, address, check

_INDEX = r"(?:([\[{])([^\]}]*)[\]}])?"
_OPERAND, _TARGET = re.compile(r"(\w+) (\w+)" + _INDEX), re.compile(r"(\w+)" + _INDEX)
_FUSED = "ik"  # axes that several loops may make


@dataclass(frozen=True)
class Walk:
    """Steps of an index along axes: "1", or the name of an extent or of a number."""

    steps: dict[str, str]
    is_scratch: bool


class Formula:
    """A parsed formula: its form, the names of stores and operands in order, and their walks."""

    def __init__(self, text: str):
        self.text = text
        self.targets, self.operands, self.walks, values = [], [], {}, []
        for statement in text.split("; "):
            target, value = statement.split(" = ")
            name, *index = _TARGET.match(target).groups()
            found = _OPERAND.findall(value)
            self.targets.append(name)
            self.operands += [operand for _, operand, *_ in found]
            values.append(_OPERAND.sub(r"\1", value))
            for name, bracket, index in [(name, *index), *(each[1:] for each in found)]:
                if bracket:
                    self.walks[name] = Walk(_steps(index), bracket == "{")
        self.form = "; ".join(values)
        self.axes = list(dict.fromkeys(axis for w in self.walks.values() for axis in w.steps))


def _steps(index: str) -> dict[str, str]:
    terms = (term.split("*") for term in index.split(" + "))
    return {axis: step[0] if step else "1" for axis, *step in terms}


class Solution:
    """What the words of a formula are for a nest; Unfit where it walks otherwise.

    known : numbers that are known before; ``zero_point`` is what is subtracted from codes.
    """

    def __init__(self, formula: Formula, nest: Nest, known: dict[str, int]):
        self.formula, self.nest = formula, nest
        operands = nest.form.operands
        self.numbers = {"zero_point": -sum(operand.addend for operand in operands), **known}
        self.read = dict(zip(formula.operands, (operand.expr for operand in operands), strict=True))
        self.accesses: dict = {}  # stores, and loads of operands
        targets = zip(formula.targets, nest.stores, strict=True)
        loads = zip(formula.operands, (operand.load for operand in operands), strict=True)
        for name, access in (*targets, *loads):
            buffer, seen = buffer_of(access), self.accesses.setdefault(name, access)
            check(buffer is None or buffer.same_as(buffer_of(seen)), f"it has more than one {name}")
        self.linears = {name: nest.linear(self.accesses[name]) for name in formula.walks}
        self.loops: dict = {axis: [] for axis in formula.axes}
        self._assign([*nest.loops, *nest.inner])
        for axis, loops in self.loops.items():
            extent = self._extent(axis)
            known_extent = self.numbers.setdefault(axis.upper(), extent)
            check(extent == known_extent, f"{len(loops)} loops make its axis {axis}")
        for name, walk in formula.walks.items():
            self._verify(name, walk)

    def _extent(self, axis: str) -> int:
        extent = 1
        for loop in self.loops[axis]:
            extent *= int(loop.extent)
        return extent

    def _assign(self, loops) -> None:
        """Give each loop, the innermost first, to an axis that may have it."""
        waiting = list(reversed(self.formula.axes))
        for loop in reversed(loops):
            while waiting and not self._may_have(waiting[0], loop):
                waiting.pop(0)
            check(waiting, f"no axis of it is loop {loop.loop_var.name}")
            self.loops[waiting[0]].append(loop)

    def _may_have(self, axis: str, loop) -> bool:
        loops, extent = self.loops[axis], self._extent(axis)
        if extent == self.numbers.get(axis.upper()) or (loops and axis not in _FUSED):
            return False
        for name, walk in self.formula.walks.items():
            step, of = walk.steps.get(axis), self.linears[name].of
            dense = of[loops[0]] * extent if loops else 1
            if (step is None and of[loop]) or (
                (loops or step == "1") and step and of[loop] != dense
            ):
                return False
        return True

    def _verify(self, name: str, walk: Walk) -> None:
        linear = self.linears[name]
        for axis, step in walk.steps.items():
            if self.loops[axis]:
                found = linear.of[self.loops[axis][0]]
                check(self.number(step, found) == found, f"its {name} is walked otherwise")
            elif step not in self.numbers and step != "1":
                others = [self._extent(other) for other in walk.steps if other != axis]
                self.numbers[step] = max(others, default=0)  # nothing is multiplied with it
        whole = linear.constant == 0 and buffer_of(self.accesses[name]) in self.nest.scratch
        check(whole or not walk.is_scratch, f"its {name} is no scratch")

    def number(self, word: str, found: int) -> int:
        return int(word) if word.isdigit() else self.numbers.setdefault(word, found)

    def arguments(self, words) -> list:
        """For words: addresses of operands, for bits of the first and where they begin; numbers."""
        return [argument for word in words for argument in self._argument(word)]

    def _argument(self, word: str) -> list:
        if word in self.numbers:
            return [self.numbers[word]]
        if word not in self.linears:
            return [self.read[word]]
        base, buffer = self.linears[word].base, buffer_of(self.accesses[word])
        if str(buffer.ty.dtype) == "bool":
            return [address(buffer), base]
        return [address(buffer, base)]


def buffer_of(access):
    """Of a load or a store; None of what is neither."""
    return getattr(access, "buffer", getattr(access, "source", None))
