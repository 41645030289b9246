"""Values that an argument or option of an operator may have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Allowed:
    """``holds(value)`` for those that it may; `words` say which."""

    holds: Callable[[Any], bool]
    words: str


ANY = Allowed(lambda value: True, "any")


def equal(*values: Any) -> Allowed:
    """One of these, compared as they are printed."""
    words = " or ".join(str(value).removeprefix("torch.") for value in values)
    return Allowed(lambda value: str(value) in map(str, values), words)
