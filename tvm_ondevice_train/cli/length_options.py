"""How long runs are, and how their rate goes: flags of several commands."""

from __future__ import annotations

import click

from tvm_ondevice_train.learning.schedule import COSINE, KINDS

from .options import Command

LENGTH = ("epochs", "schedule", "warmup", "validation", "seed")
_EPOCHS = click.option(
    "--epochs",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    metavar="N",
    help="Passes over the data.",
)
_PLAN = (
    click.option(
        "--schedule",
        type=click.Choice(KINDS),
        default=COSINE,
        show_default=True,
        help="How the learning rate goes: down to 0 as a cosine, constant, or in three equal "
        "steps, each with a tenth of the rate before.",
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
        help="Hold this share of x and y out, of each class alike, for what is measured in "
        "between; arrays x_val, y_val do so, too.",
    ),
    click.option(
        "--seed",
        type=click.IntRange(0, 2**32 - 1),
        default=0,
        show_default=True,
        metavar="N",
        help="Order of the samples and stochastic rounding; the same seed repeats the run.",
    ),
)


def plan_options(command: Command) -> Command:
    """The command gets those of `LENGTH` but for `epochs`, fields of `RunOptions`."""
    for flag in reversed(_PLAN):
        command = flag(command)
    return command


def length_options(command: Command) -> Command:
    """The command gets fields of `RunOptions`, by their names (`LENGTH`)."""
    return _EPOCHS(plan_options(command))
