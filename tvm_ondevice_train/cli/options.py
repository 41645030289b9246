"""Options that several commands have, and types of their values."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import Field, fields
from typing import Any, TypeAlias

import click

from relay_passes.optimizers import HYPERPARAMETERS, OPTIMIZERS, HyperParameter, owners_of
from tvm_ondevice_train.files.plain_text import shortened
from tvm_ondevice_train.options import Options

Command: TypeAlias = Callable[..., Any]
Decorator: TypeAlias = Callable[[Command], Command]
PROGRAM = "ondevice-train"
_AUTO = "auto"
_AUTO_RATE = "found by short runs, or what the project was compiled with; --resume: the device's"
_MOST_SHOWN = 40  # characters of a value
_UNITS = {"": 1, "k": 1024, "m": 1024**2}


class Size(click.ParamType):
    """A number of bytes: `256KB`, `1MB`, `1.5 MB` or `262144`; KB is 1024 bytes."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([km]?)(?:i?b)?\s*", value, re.I | re.A)
        size_bytes = float(found[1]) * _UNITS[found[2].lower()] if found else 0.0
        if not (size_bytes >= 1 and size_bytes.is_integer()):
            self.fail(f"{value!r} is not a size in bytes, such as 256KB, 1MB or 262144", param, ctx)
        return int(size_bytes)


class Checked(click.ParamType):
    """Text as `parse` reads it, if `check` finds nothing wrong with the value."""

    def __init__(
        self, name: str, parse: Callable[[str], Any], check: Callable[[Any], str | None]
    ) -> None:
        self.name, self.parse, self.check = name, parse, check

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            parsed = self.parse(value)
        except ValueError:
            self.fail(f"{shortened(value, _MOST_SHOWN)!r} is no {self.name}", param, ctx)
        wrong = self.check(parsed)
        if wrong:
            self.fail(wrong, param, ctx)
        return parsed


port_option = click.option(
    "--port",
    metavar="PORT",
    help="The serial line of the project's board, e.g. /dev/ttyACM0, or socket://HOST:PORT; "
    "nothing is built or started here then.",
)


def compile_options(only_tune: bool = False) -> Decorator:
    """Flags for the fields of `Options`; with `only_tune` for those that `tune` needs, too.

    The command gets them all by the names of the fields, and hyper-parameters by theirs.
    """
    chosen = [e for e in fields(Options) if e.metadata["tunes"] or not only_tune]
    flags = [_flag(entry) for entry in chosen if entry.metadata["flag"]]
    place = 1 + next(i for i, e in enumerate(chosen) if e.name == "optimizer")
    flags[place:place] = [hyperparameter_flag(one) for one in HYPERPARAMETERS.values()]

    def decorate(command: Command) -> Command:
        for flag in reversed(flags):
            command = flag(command)
        return command

    return decorate


def _flag(entry: Field[Any]) -> Decorator:
    facts, default = entry.metadata, entry.default
    names = [facts["flag"], entry.name] if "/" not in facts["flag"] else [facts["flag"]]
    kind: Any = None
    if facts["choices"]:
        kind, default = click.Choice(facts["choices"]), getattr(default, "name", default)
    elif facts["metavar"] == "SIZE":
        kind = Size()
    elif facts["metavar"] == "N":
        kind = Checked("integer", int, facts["check"])
    return click.option(
        *names,
        type=kind,
        default=default,
        show_default=default is not None,
        metavar=facts["metavar"],
        help=facts["help"] + (f"  [default: {facts['without']}]" if facts["without"] else ""),
    )


def hyperparameter_flag(
    one: HyperParameter, default: str | None = None, absent: str | None = None
) -> Decorator:
    """``--momentum F``, say; `default` says what holds without it, and with the word `absent`."""

    def parse(text: str) -> float | None:
        return None if text == absent else float(text)

    def check(value: float | None) -> str | None:
        try:
            if value is not None:
                one.check(value)
        except ValueError as error:
            return str(error)
        return None

    name = "--lr" if one.name == "learning_rate" else f"--{one.name.replace('_', '-')}"
    shown = f"{one.default:g}" if default is None else default
    owners = owners_of(one.name)
    whose = "" if len(owners) == len(OPTIMIZERS) else f" (--optimizer {' or '.join(owners)})"
    return click.option(
        name,
        one.name,
        type=Checked("number", parse, check),
        metavar="F",
        help=f"{one.help}{whose}  [default: {shown}]",
    )


def hyperparameters(command: Command) -> Command:
    """A flag for each hyper-parameter of any optimizer, where a project has its own."""
    for one in reversed(HYPERPARAMETERS.values()):
        if one.name == "learning_rate":
            flag = hyperparameter_flag(one, f"{_AUTO}: {_AUTO_RATE}", _AUTO)
        else:
            flag = hyperparameter_flag(one, "that of the project")
        command = flag(command)
    return command
