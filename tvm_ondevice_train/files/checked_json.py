"""JSON that is checked as it is read: an error names the key, what stands there, what is allowed.

A check takes what stands under a key, and the key's path; it gives the value or raises OdtError.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeAlias, TypeVar

from ..errors import OdtError

T = TypeVar("T")
Check: TypeAlias = Callable[[Any, str], T]


def parsed(text: str) -> object:
    """What the JSON in `text` means; OdtError where it is none."""
    try:
        return json.loads(text)
    except RecursionError:
        raise OdtError("it is nested too deeply") from None
    except ValueError as error:
        raise OdtError(f"it is not JSON: {error}") from None


def shown(value: object) -> str:
    """A value as JSON in one line, cut where it is long."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list) and any(isinstance(entry, (dict, list)) for entry in value):
        return "a list of lists or objects"
    text = json.dumps(value, default=repr)
    return text if len(text) <= 80 else f"{text[:77]}..."


def text(value: Any, key: str) -> str:
    """Any string."""
    return _checked(isinstance(value, str), value, key, "a string")


def flag(value: Any, key: str) -> bool:
    """true or false."""
    return _checked(isinstance(value, bool), value, key, "true or false")


def one_of(*allowed: str) -> Check[str]:
    """One of some strings."""
    what = f"one of {', '.join(allowed)}"
    return lambda value, key: _checked(
        isinstance(value, str) and value in allowed, value, key, what
    )


def integer(low: int, high: int | None = None) -> Check[int]:
    """An integer, no float and no truth value, from `low` up to and with `high`."""
    what = f"an integer from {low:,} " + ("up" if high is None else f"to {high:,}")

    def check(value: Any, key: str) -> int:
        fits = type(value) is int and low <= value and (high is None or value <= high)
        return _checked(fits, value, key, what)

    return check


def multiple_of(unit: int, high: int) -> Check[int]:
    """A multiple of `unit` from 0 up to and with `high`."""
    whole = integer(0, high)

    def check(value: Any, key: str) -> int:
        found = whole(value, key)
        return _checked(found % unit == 0, found, key, f"a multiple of {unit}")

    return check


def number(low: float, high: float = sys.float_info.max) -> Check[float]:
    """A finite number from `low` up to and with `high`, as a float."""

    def check(value: Any, key: str) -> float:
        fits = type(value) in (int, float) and low <= value <= high
        return float(_checked(fits, value, key, f"a number from {low:g} to {high:g}"))

    return check


def optional(check: Check[T]) -> Check[T | None]:
    """null, as None, or what `check` takes."""
    return lambda value, key: None if value is None else check(value, key)


def listed(check: Check[T], least: int = 0, most: int | None = None) -> Check[tuple[T, ...]]:
    """A list as a tuple; `check` takes its entries, of which there are `least` to `most`."""
    what = f"a list of {least} " + ("or more" if most is None else f"to {most}") + " entries"

    def check_list(value: Any, key: str) -> tuple[T, ...]:
        fits = isinstance(value, list) and least <= len(value)
        _checked(fits and (most is None or len(value) <= most), value, key, what)
        return tuple(check(entry, f"{key}[{index}]") for index, entry in enumerate(value))

    return check_list


def named(check: Check[T]) -> Check[dict[str, T]]:
    """An object with any keys; `check` takes what stands there."""

    def check_object(value: Any, key: str) -> dict[str, T]:
        _checked(isinstance(value, dict), value, key, "an object")
        return {name: check(entry, f"{key}[{shown(name)}]") for name, entry in value.items()}

    return check_object


def record(
    made: Callable[..., T], checks: Mapping[str, Check[Any]], may_miss: Collection[str] = ()
) -> Check[T]:
    """An object with exactly the keys of `checks`; what `made` makes of the values by name.

    may_miss : keys that need not be there.
    """

    def check(value: Any, key: str) -> T:
        _checked(isinstance(value, dict), value, key, "an object")
        inside = f"{key}." if key else ""
        for name in checks:
            if name not in value and name not in may_miss:
                raise OdtError(f"{inside}{name} is missing")
        for name in value:
            if name not in checks:
                raise OdtError(f"{inside}{shown(name)} is unknown; allowed are {', '.join(checks)}")
        given = {name: take for name, take in checks.items() if name in value}
        values = {name: take(value[name], f"{inside}{name}") for name, take in given.items()}
        try:
            return made(**values)
        except OdtError as error:
            raise OdtError(f"{key}: {error}" if key else str(error)) from None

    return check


def _checked(fits: bool, value: Any, key: str, allowed: str) -> Any:
    if not fits:
        raise OdtError(f"{key or 'it'} is {shown(value)}; it must be {allowed}")
    return value
