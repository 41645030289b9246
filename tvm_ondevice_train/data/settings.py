"""Text of the form "word,key=value,key=v1,v2" as options have it, read and checked."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection

from ..errors import OdtError

_MOST_SHOWN = 60  # characters of a value


def settings_of(text: str, flag: str, allowed: Collection[str]) -> dict[str, list[str]]:
    """Key -> its values; a word alone has none. Values behind commas belong to the key before.

    Raises OdtError that begins with `flag` for a key that is not `allowed`, and for one twice.
    """
    found: dict[str, list[str]] = {}
    for part in text.split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals and found and is_number(name) and next(reversed(found.values())):
            next(reversed(found.values())).append(name)
        elif name not in allowed:
            raise OdtError(f"{flag}: {shown(part)} is unknown; allowed are {', '.join(allowed)}")
        elif name in found:
            raise OdtError(f"{flag}: {name} is given twice")
        else:
            found[name] = [value] if equals else []
    return found


def number(
    values: list[str], flag: str, key: str, low: float, high: float, kind: Callable = float
) -> float:
    """The one value of `key`, from `low` to `high`; OdtError for anything else."""
    text = values[0] if len(values) == 1 else ",".join(values)
    try:
        value = kind(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        what = "an integer" if kind is int else "a number"
        end = f" to {high:g}" if math.isfinite(high) else " up"
        raise OdtError(f"{flag}: {key} is {shown(text)}; it must be {what} from {low:g}{end}")
    return value


def shown(text: str) -> str:
    """A value of the user's in a message."""
    text = text.strip()
    return repr(text if len(text) <= _MOST_SHOWN else text[:_MOST_SHOWN] + "...")


def is_number(text: str) -> bool:
    """Whether `float` reads it."""
    try:
        float(text)
    except ValueError:
        return False
    return True
