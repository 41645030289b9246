"""Options that several commands have, and types of their values."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import Field, fields
from typing import Any, TypeAlias

import click

from relay_passes.loss_parameters import INTEGER, NUMBERS, PARAMETERS, LossParameter
from relay_passes.optimizers import (
    HYPERPARAMETERS,
    OPTIMIZERS,
    STATE_DTYPES,
    HyperParameter,
    defaults_of,
    owners_of,
)
from tvm_ondevice_train.files.plain_text import shortened
from tvm_ondevice_train.losses import owners_of as losses_with
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


def compile_options(only_tune: bool = False, but: Collection[str] = ()) -> Decorator:
    """Flags for the fields of `Options`; with `only_tune` for those that `tune` needs, too.

    The command gets them all by the names of the fields, and parameters of losses and optimizers
    by theirs; but not those named in `but`.
    """
    chosen = [e for e in fields(Options) if e.metadata["tunes"] or not only_tune]
    hyper = [hyperparameter_flag(one) for n, one in HYPERPARAMETERS.items() if n not in but]
    behind = {
        "loss": [_loss_flag(one) for one in PARAMETERS.values()],
        "optimizer": [*hyper, *_SETTINGS],
    }
    shown = [entry for entry in chosen if entry.metadata["flag"] and entry.name not in but]
    flags = [flag for e in shown for flag in (_flag(e), *behind.get(e.name, []))]

    def decorate(command: Command) -> Command:
        for flag in reversed(flags):
            command = flag(command)
        return command

    return decorate


class Factor(click.ParamType):
    """``NAME=F``, as the pair."""

    name = "factor"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        name, _, factor = value.rpartition("=")
        try:
            return name, float(factor)
        except ValueError:
            self.fail(
                f"{shortened(value, _MOST_SHOWN)!r} is not NAME=F, such as head=2", param, ctx
            )


_SETTINGS = (
    click.option(
        "--optimizer-state",
        "state_dtype",
        type=click.Choice(STATE_DTYPES),
        default="float32",
        show_default=True,
        help="How an optimizer keeps its tensors: int8, codes in blocks with a scale each, take "
        "about a quarter of the bytes.",
    ),
    click.option(
        "--lr-scale",
        type=Factor(),
        multiple=True,
        metavar="NAME=F",
        help="The learning rate of some parameters is F times that of the others: head, weight, "
        "bias, or names, with * and ? (repeatable; the last that fits holds).",
    ),
)


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
    elif facts["metavar"] == "F":
        kind = Checked("number", float, facts["check"])
    return click.option(
        *names,
        type=kind,
        default=default,
        show_default=default is not None,
        metavar=facts["metavar"],
        help=facts["help"] + (f"  [default: {facts['without']}]" if facts["without"] else ""),
    )


def _loss_flag(one: LossParameter) -> Decorator:
    """``--delta F``, say."""
    kind: click.ParamType = Checked("number", float, _refused_by(one.check))
    if one.kind == INTEGER:
        kind = Checked("integer", int, _refused_by(one.check))
    elif one.kind == NUMBERS:
        kind = click.STRING  # read by `loss_of`, which also knows files
    default = "" if one.default is None else f"  [default: {one.default:g}]"
    return click.option(
        f"--{one.name.replace('_', '-')}",
        one.name,
        type=kind,
        metavar={INTEGER: "N", NUMBERS: "W,W,...|FILE"}.get(one.kind, "F"),
        help=f"{one.help} (--loss {' or '.join(losses_with(one.name))}){default}",
    )


def _refused_by(check: Callable[[Any], Any]) -> Callable[[Any], str | None]:
    """What the ValueError of `check` says of a value, or None."""

    def refusal(value: Any) -> str | None:
        try:
            check(value)
        except ValueError as error:
            return str(error)
        return None

    return refusal


def hyperparameter_flag(
    one: HyperParameter, default: str | None = None, absent: str | None = None
) -> Decorator:
    """``--momentum F``, say; `default` says what holds without it, and with the word `absent`."""

    def parse(text: str) -> float | None:
        return None if text == absent else float(text)

    def check(value: float | None) -> None:
        if value is not None:
            one.check(value)

    name = "--lr" if one.name == "learning_rate" else f"--{one.name.replace('_', '-')}"
    shown = _defaults(one) if default is None else default
    owners = owners_of(one.name)
    whose = "" if len(owners) == len(OPTIMIZERS) else f" (--optimizer {' or '.join(owners)})"
    return click.option(
        name,
        one.name,
        type=Checked("number", parse, _refused_by(check)),
        metavar="F",
        help=f"{one.help}{whose}  [default: {shown}]",
    )


def _defaults(one: HyperParameter) -> str:
    """Its default, and those of optimizers that begin elsewhere."""
    own = [f"{name} {at:g}" for name, at in defaults_of(one.name).items() if at != one.default]
    return "; ".join([f"{one.default:g}", *own])


def hyperparameters(command: Command) -> Command:
    """A flag for each hyper-parameter of any optimizer, where a project has its own."""
    for one in reversed(HYPERPARAMETERS.values()):
        if one.name == "learning_rate":
            flag = hyperparameter_flag(one, f"{_AUTO}: {_AUTO_RATE}", _AUTO)
        else:
            flag = hyperparameter_flag(one, "that of the project")
        command = flag(command)
    return command
