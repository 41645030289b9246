"""`ondevice-train run`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tvm_ondevice_train.cli import display

from .data_options import data_options
from .options import hyperparameters, port_option


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
@click.option("--eval", "evaluate", is_flag=True, help="Measure accuracy before and after.")
@click.option(
    "--eval-every",
    type=click.IntRange(min=1),
    metavar="N",
    help="Measure it after every N steps too; `monitor` draws it.",
)
@click.option(
    "--on-divergence",
    type=click.Choice(["stop", "skip", "lower"]),
    default="stop",
    show_default=True,
    help="What follows a step whose loss or gradient is not finite: the end of the run, which "
    "keeps what it has; the next sample; or that with half the learning rate.",
)
@hyperparameters
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    show_default=True,
    metavar="N",
    help="Order of the samples and stochastic rounding; the same seed repeats the run.",
)
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
@click.option("--resume", is_flag=True, help="Go on from what the device kept.")
def run_command(directory: str, data: str, **options: Any) -> None:
    """Build the project in DIR, start it and train it on the samples of --data.

    A project for an emulated board runs in QEMU, one for the host as a process; a board on the desk
    is named with --port. What was measured goes to DIR/run.json.

    \b
    ondevice-train run project --data samples.npz --epochs 2 --lr 0.005 --eval
    """
    from tvm_ondevice_train.run.run_project import run_project

    with display.losses() as show:
        result = run_project(directory, data, **options, on_progress=show, say=click.echo)
    display.print_run(result)
    click.echo(f"\nAll losses and figures are in {Path(directory, 'run.json')}")
