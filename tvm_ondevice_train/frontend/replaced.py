"""Parts of TVM's importers, replaced for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def replaced(owner: object, **ours: object) -> Iterator[None]:
    """While it lasts these are the attributes of `owner`, a module or class."""
    theirs = {name: getattr(owner, name) for name in ours}
    try:
        for name, value in ours.items():
            setattr(owner, name, value)
        yield
    finally:
        for name, value in theirs.items():
            setattr(owner, name, value)
