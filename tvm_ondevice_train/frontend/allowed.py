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
    """One of these, a dtype of PyTorch by its name."""
    words = " or ".join(map(str, values))
    return Allowed(lambda v: v in values or str(v) in values, words.replace("torch.", ""))
