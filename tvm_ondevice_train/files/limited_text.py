"""Text of a file that may be anything, an endless one too."""

from __future__ import annotations

import os

MOST_CHARACTERS = 1 << 24  # the manifests of large networks have a tenth of it


def limited_text(path: str | os.PathLike[str]) -> str:
    """The file's text in UTF-8; ValueError where it is none, or too long for a file of ours."""
    with open(path, encoding="utf-8") as file:
        text = file.read(MOST_CHARACTERS + 1)
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"it has more than {MOST_CHARACTERS:,} characters")
    return text
