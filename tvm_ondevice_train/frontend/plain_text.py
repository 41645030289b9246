"""What files and importers say, as one line of plain text."""

from __future__ import annotations

import textwrap

LENGTH = 300  # characters: what fits beside the name of a file and a node


def one_line(text: str) -> str:
    """`text` without line ends and control characters, cut between words where it is long."""
    plain = "".join(c if c.isprintable() else " " for c in text)
    return textwrap.shorten(plain, LENGTH, placeholder=" ...")


def reason_of(error: Exception) -> str:
    """The last line of what an importer raised, which says why; or the error's own kind."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return one_line(lines[-1]) if lines else type(error).__name__
