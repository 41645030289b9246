"""`ondevice-train tune`."""

from __future__ import annotations

from typing import Any

import click

from .options import compile_options


@click.command("tune", short_help="Search the fastest schedule of each kernel for a board.")
@click.argument("model", type=click.Path(exists=True))
@click.option(
    "-o",
    "--output",
    default="tune.json",
    show_default=True,
    metavar="FILE",
    help="What was found; kernels that are in it already are not searched again.",
)
@compile_options(only_tune=True)
@click.option(
    "--trials",
    type=click.IntRange(min=1),
    default=24,
    show_default=True,
    metavar="N",
    help="Candidates of each kernel that are built and run.",
)
@click.option(
    "--runner",
    type=click.Choice(["emulator", "host", "board"]),
    help="Where they run: counted in QEMU, timed on this computer, or timed on a board.  "
    "[default: emulator, for the board `host`: host]",
)
@click.option("--port", metavar="DEVICE", help="The serial line of the board, e.g. /dev/ttyACM0.")
@click.option(
    "--flasher",
    metavar="COMMAND",
    help="What writes a program to the board and starts it; {} stands for the ELF file.",
)
@click.option(
    "--tracker",
    metavar="HOST:PORT:KEY",
    help="Run on the workers that TVM's RPC tracker knows by KEY.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**31 - 1000),
    default=0,
    show_default=True,
    metavar="N",
    help="The same seed finds the same, where candidates are counted.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Programs that are built and run at the same time.",
)
def tune_command(
    model: str,
    output: str,
    trials: int,
    runner: str | None,
    port: str | None,
    flasher: str | None,
    tracker: str | None,
    seed: int,
    jobs: int,
    **options: Any,
) -> None:
    """Search the schedules of MODEL's training step for a board, kernel by kernel.

    MODEL is a model file, with options as for `compile`, or the directory of a project that
    `compile` made. `compile --tuning FILE` uses what was found.

    \b
    ondevice-train tune kws.tflite --classes 4 --scheme bias:3 -o tune.json
    """
    from tvm_ondevice_train.cli.tune_and_show import tune_and_show

    tune_and_show(
        model,
        options,
        output=output,
        trials=trials,
        runner=runner,
        line=(port, flasher),
        tracker=tracker,
        seed=seed,
        jobs=jobs,
    )
