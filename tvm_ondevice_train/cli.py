"""The command line `ondevice-train`: options in, tables out, one line for every mistake.

TVM, numpy and the compiler are imported inside the commands, so that `--help` is fast.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import click

from tvm_ondevice_train import display
from tvm_ondevice_train.boards import DEFAULT_BOARD, boards
from tvm_ondevice_train.boards import board as find_board
from tvm_ondevice_train.errors import OdtError

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


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.pass_context
def cli(context: click.Context) -> None:
    """Train a neural network on a microcontroller.

    A model file goes in, a C project comes out; a board, here an emulated Cortex-M, trains it.

    \b
    ondevice-train compile model.tflite -o project --classes 10
    ondevice-train run project --data samples.npz --steps 200 --eval
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


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


@cli.command("compile", short_help="Turn a model file into a C project that trains it.")
@click.argument("model", type=click.Path(exists=True, dir_okay=False))
@click.option(
    "-o", "--output", "directory", required=True, metavar="DIR", help="Where the project goes."
)
@model_options
@click.option(
    "--platform",
    type=click.Choice(["host", "baremetal"]),
    help="What the project runs as: a process of this computer, or a bare-metal image.  "
    "[default: baremetal, for the board `host`: host]",
)
@click.option(
    "--tuning",
    metavar="FILE",
    help="A file that `tune` wrote, or none.  [default: the package's own for the board's CPU]",
)
@click.option(
    "--dump-ir",
    "dump_ir",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Write the module after each pass into DIR, as TVMScript.",
)
def compile_command(
    model,
    directory,
    classes,
    scheme,
    loss,
    backward,
    prefer,
    learning_rate,
    board,
    sram,
    flash,
    platform,
    tuning,
    dump_ir,
):
    """Turn MODEL into a C project in DIR that runs and trains it.

    MODEL is an .onnx file (float, or int8 QDQ), a .tflite file (float, or full int8) or a .pt2 file
    of torch.export (float). DIR also gets report.json: the memory account, the trained parameters
    and every op.

    \b
    ondevice-train compile kws.tflite -o project --classes 4 --scheme bias:3 --sram 128KB
    """
    from tvm_ondevice_train.project import check_replaceable

    target = find_board(board, sram, flash)
    check_replaceable(directory)  # now: compiling may take a minute
    with display.status(f"compiling {Path(model).name}"):
        import tvm_ondevice_train

        compiled = tvm_ondevice_train.compile(
            model,
            classes=classes,
            scheme=scheme,
            loss=loss,
            learning_rate=learning_rate,
            board=board,
            sram_bytes=sram,
            flash_bytes=flash,
            backward=backward,
            prefer=prefer,
            tuning=tuning,
            dump_ir=dump_ir,
        )
        compiled.save(directory, platform=platform or ("host" if target.is_host else "baremetal"))
    display.print_memory(compiled.report, target)
    click.echo(f"\nThe project is in {directory}, its figures in {Path(directory, 'report.json')}")


@cli.command("run", short_help="Build a project, start it and train it on samples.")
@click.argument("directory", metavar="DIR", type=click.Path(exists=True, file_okay=False))
@click.option(
    "--data",
    required=True,
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE.npz",
    help="Arrays x (float32 or int8, in the model's layout) and y (integer labels); "
    "x_test and y_test where accuracy is wanted on other samples.",
)
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
    "--lr",
    "learning_rate",
    type=LearningRate(),
    metavar="F",
    help="Learning rate.  [default: that of the project]",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    show_default=True,
    metavar="N",
    help="Order of the samples and stochastic rounding; the same seed repeats the run.",
)
def run_command(directory, data, steps, epochs, evaluate, learning_rate, seed):
    """Build the project in DIR, start it and train it on the samples of FILE.npz.

    A project for a Cortex-M board runs in QEMU, one for the host as a process. What was measured
    goes to DIR/run.json.

    \b
    ondevice-train run project --data samples.npz --epochs 2 --lr 0.005 --eval
    """
    from tvm_ondevice_train.run import run_project

    with display.losses() as show:
        result = run_project(
            directory,
            data,
            steps=steps,
            epochs=epochs,
            evaluate=evaluate,
            learning_rate=learning_rate,
            seed=seed,
            on_progress=show,
        )
    display.print_run(result)
    click.echo(f"\nAll losses and figures are in {Path(directory, 'run.json')}")


@cli.command("tune", short_help="Search the fastest schedule of each kernel for a board.")
@click.argument("model", type=click.Path(exists=True))
@click.option(
    "-o",
    "--output",
    default="tune.json",
    show_default=True,
    metavar="FILE",
    help="What was found; kernels that are in it already are not searched again.",
)
@model_options
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
def tune_command(model, output, trials, runner, port, flasher, tracker, seed, jobs, **options):
    """Search the schedules of MODEL's training step for a board, kernel by kernel.

    MODEL is a model file, with options as for `compile`, or the directory of a project that
    `compile` made. `compile --tuning FILE` uses what was found.

    \b
    ondevice-train tune kws.tflite --classes 4 --scheme bias:3 -o tune.json
    """
    from tvm_ondevice_train.tune.command import tune_and_show

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


@cli.command("boards")
def boards_command():
    """List the boards that a project can be made for.

    \b
    ondevice-train boards
    """
    display.print_boards(boards())


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, 2 for a mistake, 130 for Ctrl-C."""
    try:
        return cli.main(arguments, prog_name=PROGRAM, standalone_mode=False) or 0
    except (click.Abort, KeyboardInterrupt):
        click.echo(f"{PROGRAM}: interrupted", err=True)
        return 130
    except (click.ClickException, OdtError, OSError) as error:
        text = error.format_message() if isinstance(error, click.ClickException) else str(error)
        click.echo(f"{PROGRAM}: error: {' '.join(text.split())}", err=True)
        return 2
