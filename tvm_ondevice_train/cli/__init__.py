"""The command line `ondevice-train`: options in, tables out, one line for every mistake.

One file a command. TVM, numpy and the compiler are imported inside the commands, so that `--help`
is fast.
"""

from __future__ import annotations

import click

from tvm_ondevice_train.errors import OdtError

from .boards import boards_command
from .check import check_command
from .compile import compile_command
from .export import export_command, import_command
from .monitor import monitor_command
from .options import PROGRAM
from .run import run_command
from .tune import tune_command


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


for _command in (
    compile_command,
    check_command,
    run_command,
    monitor_command,
    export_command,
    import_command,
    tune_command,
    boards_command,
):
    cli.add_command(_command)


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
