"""Which label a class has that data knows by its name."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from ..errors import OdtError
from ..manifest import Manifest

_MOST_DIGITS = 9  # of a name that is a number


def class_names(
    found: Collection[str], given: Sequence[str], classes: int, where: str
) -> tuple[str, ...]:
    """The names of labels 0, 1, ...: those `given`, or those `found`, of at most `classes`.

    Names that are numbers below `classes` stand for themselves; others have the labels of their
    sorted order, numbers by their value. Raises OdtError for a name that is not among those given,
    and for too many.
    """
    if given:
        names = tuple(given)
        unknown = sorted(set(found) - set(names))
        if unknown:
            raise OdtError(
                f"data: {where} has the class {unknown[0]!r}; --class-names has {', '.join(names)}"
            )
    elif all(_is_index(name, classes) for name in found):
        own = {int(name): name for name in found}
        if len(own) < len(found):
            raise OdtError(f"data: {where} has one class by two names, as 1 and 01 are")
        names = tuple(own.get(label, str(label)) for label in range(max(own) + 1))
    else:
        numbers = all(map(_is_number, found))
        names = tuple(sorted(found, key=int if numbers else None))
    if len(names) > classes:
        raise OdtError(
            f"data: {where} has {len(names)} classes: {', '.join(names)}; the model has {classes}: "
            f"compile it with --classes {len(names)}, or take some out"
        )
    return names


def most_classes(manifest: Manifest) -> int:
    """How many a model can tell apart: one output alone says yes or no."""
    return manifest.classes or max(2, math.prod(manifest.target.shape))


def _is_index(name: str, classes: int) -> bool:
    return _is_number(name) and int(name) < classes


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdecimal() and len(name) <= _MOST_DIGITS
