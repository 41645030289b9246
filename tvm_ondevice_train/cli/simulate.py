"""`ondevice-train simulate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.options import Options

from .data_options import data_options
from .length_options import LENGTH, length_options
from .options import compile_options
from .several import SeveralValues

if TYPE_CHECKING:
    from tvm_ondevice_train.data import Reading


@click.command(
    "simulate", cls=SeveralValues, short_help="Train a model here as its board would, many times."
)
@click.argument("model", type=click.Path(exists=True, dir_okay=False))
@click.option(
    "--scheme",
    "schemes",
    multiple=True,
    default=["head"],
    metavar="SCHEME ...",
    help="What trains, as `compile` takes it; each of several is tried.  [default: head]",
)
@click.option(
    "--lr",
    "learning_rates",
    type=click.FloatRange(min=0, min_open=True),
    multiple=True,
    metavar="F ...",
    help="Learning rates; each is tried.  [default: the one that `lr-find` finds]",
)
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Runs of each kind, which differ in the order of samples and in rounding.",
)
@data_options(required=True)
@length_options
@compile_options(but=("scheme", "learning_rate", "class_names", "dump_ir", "prefix"))
@click.option(
    "-o",
    "--output",
    default="simulated",
    show_default=True,
    metavar="DIR",
    help="Where each run is a line of runs.jsonl, with curves.png; runs that are there already are "
    "not done again.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Runs at the same time.  [default: one for each CPU]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the table as JSON.")
def simulate_command(
    model: str,
    data: str,
    schemes: tuple[str, ...],
    learning_rates: tuple[float, ...],
    seeds: int,
    output: str,
    jobs: int | None,
    as_json: bool,
    reading: Reading,
    **options: Any,
) -> None:
    """Train MODEL in processes of this computer, with every scheme, rate and seed.

    The step is that of the board, bit for bit, and each sample goes once through the layers in
    front of what trains.

    \b
    ondevice-train simulate kws.tflite --data words.npz --classes 4 \\
        --scheme head bias:3 --lr 0.003 0.01 --seeds 3
    """
    from tvm_ondevice_train.cli import sweep_table
    from tvm_ondevice_train.run.curves import check_plot
    from tvm_ondevice_train.run.options import RunOptions
    from tvm_ondevice_train.simulator.curves import write_curves
    from tvm_ondevice_train.simulator.sweep import Sweep, rows_of, simulate

    length = {name: options.pop(name) for name in LENGTH}
    asked = RunOptions.of(**length, evaluate=True, eval_every="1e")
    names = (reading.class_names or None) if options["file_class_names"] else None
    chosen = Options.of(**options, class_names=names)  # of the head, only beside the file's own
    rates = learning_rates or (None,)
    sweep = Sweep(model, data, schemes, rates, seeds, chosen, asked, reading)
    with sweep_table.progress() as show:
        lines, failed = simulate(sweep, output, jobs, show)
    rows = rows_of(lines)
    if not rows:
        raise OdtError(f"simulate: {next(iter(failed.values()))}")
    if as_json:
        click.echo(json.dumps({"rows": rows, "failed": failed}, indent=2))
        return
    sweep_table.print_rows(rows)
    for scheme, why in failed.items():
        click.echo(f"{scheme}: {why}")
    try:
        check_plot(Path(output) / "curves.png")
    except OdtError as error:
        click.echo(f"\nNo curves: {error}")
    else:
        write_curves(Path(output) / "curves.png", lines)
    click.echo(f"\nEach run is a line of {Path(output, 'runs.jsonl')}")
