"""How long runs in this process are, and how their rate goes: flags of several commands."""

from __future__ import annotations

import click

from tvm_ondevice_train.learning.schedule import COSINE, KINDS

from .options import Command

LENGTH = ("epochs", "schedule", "warmup", "validation", "seed")
_FLAGS = (
    click.option(
        "--epochs",
        type=click.IntRange(min=1),
        default=8,
        show_default=True,
        metavar="N",
        help="Passes over the data.",
    ),
    click.option(
        "--schedule",
        type=click.Choice(KINDS),
        default=COSINE,
        show_default=True,
        help="How the learning rate goes, as `run` has it.",
    ),
    click.option(
        "--warmup",
        type=click.FloatRange(min=0),
        metavar="E",
        help="Epochs in which the rate rises to its height.  [default: 5 % of the run; none where "
        "it is constant]",
    ),
    click.option(
        "--validation",
        type=click.FloatRange(0, 1, min_open=True, max_open=True),
        metavar="SHARE",
        help="Hold this share of the training samples out, of each class alike.",
    ),
    click.option(
        "--seed",
        type=click.IntRange(0, 2**32 - 1),
        default=0,
        show_default=True,
        metavar="N",
        help="Order of the samples and stochastic rounding; the first one of several runs.",
    ),
)


def length_options(command: Command) -> Command:
    """The command gets fields of `RunOptions`, by their names (`LENGTH`)."""
    for flag in reversed(_FLAGS):
        command = flag(command)
    return command
