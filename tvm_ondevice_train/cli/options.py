"""Options that several commands have, and types of their values."""

from __future__ import annotations

import math
import re

import click

from tvm_ondevice_train.boards import DEFAULT_BOARD

PROGRAM = "ondevice-train"
_UNITS = {"": 1, "k": 1024, "m": 1024**2}


class Size(click.ParamType):
    """A number of bytes: `256KB`, `1MB`, `1.5 MB` or `262144`; KB is 1024 bytes."""

    name = "size"

    def convert(self, value, param, ctx) -> int:
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([km]?)(?:i?b)?\s*", value, re.I | re.A)
        size_bytes = float(found[1]) * _UNITS[found[2].lower()] if found else 0
        if not (size_bytes >= 1 and size_bytes.is_integer()):
            self.fail(f"{value!r} is not a size in bytes, such as 256KB, 1MB or 262144", param, ctx)
        return int(size_bytes)


class LearningRate(click.ParamType):
    """A finite number above zero."""

    name = "float"

    def convert(self, value, param, ctx) -> float:
        try:
            rate = float(value)
        except ValueError:
            rate = math.nan
        if not 0 < rate < math.inf:
            self.fail(f"{value!r} is not a finite number above 0", param, ctx)
        return rate


port_option = click.option(
    "--port",
    metavar="PORT",
    help="The serial line of the project's board, e.g. /dev/ttyACM0, or socket://HOST:PORT; "
    "nothing is built or started here then.",
)


def model_options(command):
    """What `compile` and `tune` ask: which training step, for which board."""
    options = [
        click.option(
            "--classes",
            type=click.IntRange(min=1),
            metavar="N",
            help="Replace the classifier by a fresh float32 one with N outputs.  "
            "[default: train the model's own last layer]",
        ),
        click.option(
            "--scheme",
            default="head",
            show_default=True,
            metavar="SCHEME",
            help="What trains: full, head, last:K (the last K layers and the head), "
            "bias:K (the last K biases and the head), or a FILE.json, which may train some of a "
            "weight's input channels.",
        ),
        click.option(
            "--loss",
            type=click.Choice(["cross_entropy", "mse"]),
            default="cross_entropy",
            show_default=True,
            help="Softmax cross-entropy with a class label, or mean squared error with values.",
        ),
        click.option(
            "--backward",
            type=click.Choice(["auto", "float32", "int16", "bfloat16", "float8"]),
            default="auto",
            show_default=True,
            help="Arithmetic of the backward: float32; int16, gradients of 1x1 and depthwise "
            "layers in integers; bfloat16 and float8, that and adjoints stored between kernels "
            "in 16 or 8 bits; auto, int16 unless float32 takes less memory.",
        ),
        click.option(
            "--prefer",
            type=click.Choice(["memory", "speed"]),
            default="memory",
            show_default=True,
            help="memory: no kernel's scratch raises the peak of the arena; speed: each kernel has "
            "the scratch that makes it fastest.",
        ),
        click.option(
            "--rollback/--no-rollback",
            default=True,
            show_default=True,
            help="Keep what a step writes over until it ends, so that one whose loss or gradient "
            "is not finite changes nothing.",
        ),
        click.option(
            "--lr",
            "learning_rate",
            type=LearningRate(),
            default=0.01,
            show_default=True,
            metavar="F",
            help="Learning rate at the start; it can be changed while the device runs.",
        ),
        click.option(
            "--board",
            default=DEFAULT_BOARD,
            show_default=True,
            metavar="NAME",
            help=f"The board, from `{PROGRAM} boards`.",
        ),
        click.option(
            "--sram",
            type=Size(),
            metavar="SIZE",
            help="SRAM budget, e.g. 256KB.  [default: the board's]",
        ),
        click.option(
            "--flash",
            type=Size(),
            metavar="SIZE",
            help="Flash budget, e.g. 1MB.  [default: the board's]",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command
