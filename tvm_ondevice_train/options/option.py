"""How an option is said: its help, its flag, what it may be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import Any


def option(
    default: Any,
    help: str,
    *,
    flag: str | None = None,
    metavar: str | None = None,
    choices: tuple[str, ...] = (),
    check: Callable[[Any], str | None] = lambda value: None,
    tunes: bool = True,
    remakes: bool | None = None,
    without: str | None = None,
) -> Any:
    """A field of `Options`.

    flag : on the command line; None for an option of Python alone.
    without : what holds where it is None.
    check : what is wrong with a value, if anything is.
    tunes : whether `tune` needs it to make the same kernels.
    remakes : whether the same numbers cannot be made again without it; by default as `tunes`.
    """
    said = {"help": help, "flag": flag, "metavar": metavar, "without": without}
    may_be = {"choices": choices, "check": check}
    used_by = {"tunes": tunes, "remakes": tunes if remakes is None else remakes}
    return field(default=default, metadata={**said, **may_be, **used_by})
