"""Names of a model as they may stand in C."""

from __future__ import annotations

from .reserved_names import is_reserved

MAX_LENGTH = 63  # characters of an identifier that count in C99; the end of a name says most


def identifier(name: str, taken: set[str]) -> str:
    """A C identifier for `name` that is not in `taken`, which it joins."""
    base = plain_identifier(name)[-MAX_LENGTH:]
    if not base[:1].isalpha() or is_reserved(base):
        base = f"p_{base}"
    candidate, count = base, 1
    while candidate in taken:
        count += 1
        candidate = f"{base}_{count}"
    taken.add(candidate)
    return candidate


def plain_identifier(name: str) -> str:
    """`name` in the characters of a C identifier."""
    return "".join(c if c.isalnum() and c.isascii() else "_" for c in name)
