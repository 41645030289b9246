"""The command line `ondevice-train`: options in, tables out, one line for every mistake.

One file a command. TVM, numpy and the compiler are imported inside the commands, so that `--help`
is fast.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import click

from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.files.plain_text import printable

from .audio_frontend import audio_frontend_command
from .boards import boards_command
from .check import check_command
from .compile import compile_command
from .export import export_command, import_command
from .forget import forget_command
from .lr_find import lr_find_command
from .monitor import monitor_command
from .options import PROGRAM
from .run import run_command
from .simulate import simulate_command
from .tune import tune_command

_TRACEBACK = "ONDEVICE_TRAIN_TRACEBACK"  # a variable of the environment
_INTERRUPTED = threading.Event()  # by Ctrl-C, since the command began
_MOST_REASON = 200  # characters of an exception that was not foreseen


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
    simulate_command,
    lr_find_command,
    monitor_command,
    export_command,
    import_command,
    forget_command,
    tune_command,
    audio_frontend_command,
    boards_command,
):
    cli.add_command(_command)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, 2 for a mistake, 130 for Ctrl-C."""
    with _interrupts_noticed():
        return _main(arguments)


@contextmanager
def _interrupts_noticed() -> Iterator[None]:
    """Ctrl-C is remembered: out of a Python function that TVM calls, it comes as a RuntimeError."""
    _INTERRUPTED.clear()
    usual = signal.default_int_handler
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not usual
    ):
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        _INTERRUPTED.set()
        usual(number, frame)

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)


def _main(arguments: list[str] | None) -> int:
    try:
        return cli.main(arguments, prog_name=PROGRAM, standalone_mode=False) or 0
    except (click.Abort, KeyboardInterrupt) as error:
        return _interrupted(str(error))
    except click.ClickException as error:
        return _refused(error.format_message())
    except OdtError as error:
        return _refused(str(error))
    except OSError as error:
        return _refused(_of_the_system(error))
    except MemoryError:
        return _refused("it needs more memory than this computer has free")
    except Exception as error:
        if os.environ.get(_TRACEBACK) and not _INTERRUPTED.is_set():
            raise
        reason = (str(error).split("\n") or [""])[0][:_MOST_REASON]
        return _refused(
            f"{type(error).__name__}: {reason}. This is a fault of {PROGRAM}, not yours: please "
            f"report it with what it prints where {_TRACEBACK}=1 is set"
        )


def _interrupted(text: str = "") -> int:
    """text : what of the work is kept, where anything is."""
    click.echo(f"{PROGRAM}: {printable(text) or 'interrupted'}", err=True)
    return 130


def _of_the_system(error: OSError) -> str:
    """What the system refused, without its number for that."""
    if error.strerror is None or error.filename is None:
        return error.strerror or str(error)
    return f"cannot use {os.fsdecode(error.filename)}: {error.strerror}"


def _refused(text: str) -> int:
    """Say in one line why nothing was done, whatever is in `text`, and return the exit code."""
    if _INTERRUPTED.is_set():  # what came of it is no reason
        return _interrupted()
    click.echo(f"{PROGRAM}: error: {printable(' '.join(text.split()))}", err=True)
    return 2
