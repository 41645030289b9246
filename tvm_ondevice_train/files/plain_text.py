"""Text of a model's file, whatever is in it, as text of the files that are generated."""

from __future__ import annotations

_SPECIAL = frozenset('*?"\\$`<>&')  # in C, shells, make, CMake, Kconfig, Markdown and HTML


def plain(text: str) -> str:
    """`text` as it may stand in a comment or between double quotes, in any generated file.

    What is no printable ASCII, and what could end the comment or the string, stop a line or start
    a command, is an underscore.
    """
    legal = (c if c.isascii() and c.isprintable() and c not in _SPECIAL else "_" for c in text)
    return "".join(legal)


def printable(text: str) -> str:
    """`text` as it may be shown in a terminal, which takes what is not printable for commands."""
    return "".join(c if c.isprintable() else "?" for c in text)


def shortened(text: str, most: int) -> str:
    """`text` in at most so many characters."""
    return text if len(text) <= most else text[: most - 3] + "..."
