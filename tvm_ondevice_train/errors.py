"""The one exception that a user's mistake raises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class OdtError(ValueError):
    """A model, scheme, budget or data set that cannot be used, said in one line.

    The text names what was found, where, what is allowed and what to do. The command line prints
    it without a traceback and exits with code 2. Names come from files: what is not printable in
    them, a newline too, is written as an escape.
    """

    def __init__(self, text: object = "") -> None:
        super().__init__(_printable(str(text)))


class BudgetError(OdtError):
    """A program is larger than the memory of its board."""


@dataclass(frozen=True)
class Obstacle:
    """One thing in a model's file that cannot be compiled.

    where: the node or tensor, in the words of the file: 'Conv "layer1.0" (node "/conv1")'.
    found: what stands there: "dilation 0".
    cure: what is allowed, and what to do; empty where `found` says it.
    """

    where: str
    found: str
    cure: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.found}" + (f"; {self.cure}" if self.cure else "")


class ModelError(OdtError):
    """A model's file that cannot be compiled: the first of its obstacles, and how many more."""

    def __init__(self, name: str, obstacles: Sequence[Obstacle]) -> None:
        """name: of the file; obstacles: at least one, in the order of the file."""
        self.name = name
        self.obstacles = tuple(obstacles)
        others = len(self.obstacles) - 1
        more = f" (and {others} more: see `ondevice-train check`)" if others else ""
        super().__init__(f"{name}: {self.obstacles[0]}{more}")


def _printable(text: str) -> str:
    return "".join(ch if ch.isprintable() else repr(ch)[1:-1] for ch in text)


def one_line(error: BaseException, longest: int = 300) -> str:
    """What another's exception says, in a line; cut between words where it is longer."""
    words = " ".join(str(error).split()) or type(error).__name__
    if len(words) <= longest:
        return words
    return words[:longest].rpartition(" ")[0] + " ..."
