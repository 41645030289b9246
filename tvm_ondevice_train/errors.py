"""The one exception that a user's mistake raises."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

LONGEST = 1000  # characters of a line that a user is to read
_QUOTED = 200  # of what others said, or a file holds, within one


class OdtError(ValueError):
    """A model, scheme, budget or data set that cannot be used, said in one line.

    The text names what was found, where, what is allowed and what to do. The command line prints
    it without a traceback and exits with code 2. Names come from files: what is not printable in
    them, a newline too, is written as an escape, and of a very long text the beginning is said.
    """

    def __init__(self, text: object = "") -> None:
        super().__init__(_shortened(_printable(str(text)), LONGEST))


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


def one_line(words: object) -> str:
    """What a file holds or another's exception says, in a line; cut where it is long."""
    text = " ".join(_printable(part) for part in str(words).split())
    return _shortened(text or type(words).__name__, _QUOTED)


def first_line(error: BaseException) -> str:
    """What an exception says first, of libraries whose messages go on for many lines."""
    return one_line(next(_lines(error), type(error).__name__))


def last_line(error: BaseException) -> str:
    """What an exception says last, of libraries whose traces come before the cause."""
    *_, last = (type(error).__name__, *_lines(error))
    return one_line(last)


def _lines(error: BaseException) -> Iterator[str]:
    return (line for line in str(error).splitlines() if line.strip())


def _shortened(text: str, longest: int) -> str:
    """Cut between words, or within one that is longer."""
    if len(text) <= longest:
        return text
    begin = text[: longest - 4]
    return (begin.rpartition(" ")[0] or begin) + " ..."


def _printable(text: str) -> str:
    return "".join(ch if ch.isprintable() else repr(ch)[1:-1] for ch in text)
