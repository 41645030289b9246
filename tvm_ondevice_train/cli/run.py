"""`ondevice-train run`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tvm_ondevice_train.cli import display
from tvm_ondevice_train.learning.plan import ON_DIVERGENCE, ON_RISING_LOSS, STOP, WARN
from tvm_ondevice_train.run.length import interval

from .data_options import data_options
from .length_options import plan_options
from .options import Checked, hyperparameters, port_option


def _interval(text: str) -> int | str:
    """Steps as a number, epochs as text; ValueError for neither."""
    interval(text, 1, "eval_every")
    return int(text) if text.strip().isdigit() else text.strip()


@click.command("run", short_help="Build a project, start it and train it on samples.")
@click.argument("directory", metavar="DIR", type=click.Path(exists=True, file_okay=False))
@data_options(required=True)
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    metavar="N",
    help="Training steps, one sample each.  [default: one epoch]",
)
@click.option(
    "--epochs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Passes over the data, instead of --steps.",
)
@plan_options
@click.option("--eval", "evaluate", is_flag=True, help="Measure accuracy before and after.")
@click.option(
    "--eval-every",
    type=Checked("number of steps, nor of epochs as 0.5e", _interval, lambda value: None),
    metavar="N|Ee",
    help="Measure it after every N steps, or E epochs, too; `monitor` draws it.  [default: with "
    "--save-best or --early-stop 1e]",
)
@click.option(
    "--save-best",
    is_flag=True,
    help="Keep the parameters of the best of these evaluations, instead of the last ones.",
)
@click.option(
    "--replay",
    type=click.IntRange(min=0),
    metavar="N",
    help="Learn N old samples again after each new one, of those that the project keeps (compile "
    "--replay).  [default: 1 where it keeps any]",
)
@click.option(
    "--early-stop",
    type=click.IntRange(min=1),
    metavar="N",
    help="End after N evaluations that are not better than the best.",
)
@click.option(
    "--on-rising-loss",
    type=click.Choice(ON_RISING_LOSS),
    default=WARN,
    show_default=True,
    help="What follows a loss that rises, or codes that saturate: a warning at the end; the end of "
    "the run, which keeps what it learned; or half the learning rate.",
)
@click.option(
    "--on-divergence",
    type=click.Choice(ON_DIVERGENCE),
    default=STOP,
    show_default=True,
    help="What follows a step whose loss or gradient is not finite: the end of the run, which "
    "keeps what it has; the next sample; or that with half the learning rate.",
)
@hyperparameters
@port_option
@click.option(
    "--from",
    "start",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    help="Begin with the learned parameters in FILE, as `import` takes it.",
)
@click.option("--save", is_flag=True, help="Have the device keep what it learned, at the end.")
@click.option(
    "--save-every",
    type=click.IntRange(min=1),
    metavar="N",
    help="Have it do so after every N steps too: so much can a loss of power cost.",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Begin another run, of --steps or --epochs more, with what the device kept in its flash.",
)
@click.option(
    "--continue",
    "continued",
    is_flag=True,
    help="Finish the run in DIR that was killed or interrupted, as if nothing had happened: from "
    "DIR/checkpoint.npz, with the options that it was begun with.",
)
@click.option(
    "--plot",
    type=click.Path(dir_okay=False),
    metavar="FILE.png",
    help="Draw loss, accuracy, learning rate and confusions.",
)
@click.option(
    "--tensorboard",
    type=click.Path(file_okay=False),
    metavar="FOLDER",
    help="Write an event file for TensorBoard there.",
)
def run_command(directory: str, data: str, **options: Any) -> None:
    """Build the project in DIR, start it and train it on the samples of --data.

    A project for an emulated board runs in QEMU, one for the host as a process; a board on the desk
    is named with --port. What was measured goes to DIR/run.json, losses.csv and evaluations.csv,
    what was learned to DIR/learned.npz.

    A run that is killed, or ended by Ctrl-C, is finished by the same command with --continue.

    \b
    ondevice-train run project --data samples.npz --epochs 8 --eval
    ondevice-train run project --data samples.npz --epochs 50 --validation 0.1 --save-best
    """
    from tvm_ondevice_train.run.run_project import run_project

    with display.losses() as show:
        result = run_project(directory, data, **options, on_progress=show, say=click.echo)
    display.print_run(result)
    click.echo(f"\nAll losses and figures are in {Path(directory, 'run.json')}")
