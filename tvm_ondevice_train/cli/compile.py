"""`ondevice-train compile`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tvm_ondevice_train.boards import board as find_board
from tvm_ondevice_train.cli import display
from tvm_ondevice_train.errors import ModelError
from tvm_ondevice_train.options import Options

from .options import compile_options

if TYPE_CHECKING:
    from tvm_ondevice_train.checking.report import CheckReport
    from tvm_ondevice_train.compiler import CompiledModel


@click.command("compile", short_help="Turn a model file into a C project that trains it.")
@click.argument("model", type=click.Path(exists=True, dir_okay=False))
@click.option(
    "-o", "--output", "directory", required=True, metavar="DIR", help="Where the project goes."
)
@compile_options()
@click.option(
    "--platform",
    type=click.Choice(["host", "baremetal", "zephyr"]),
    help="What the project runs as: a process of this computer, a bare-metal image, or a Zephyr "
    "application.  [default: the first that `ondevice-train boards` lists]",
)
@click.option(
    "--transport",
    type=click.Choice(["semihosting", "uart"]),
    help="How a bare-metal image talks to the host: through the emulator, or over its serial "
    "line.  [default: semihosting where the board is emulated, else uart]",
)
@click.option(
    "--check",
    is_flag=True,
    help="Compare on the way with ONNX Runtime, LiteRT or PyTorch, as `ondevice-train check` does.",
)
@click.option(
    "--force", is_flag=True, help="Replace also generated files that you edited; says which."
)
def compile_command(
    model: str,
    directory: str,
    platform: str | None,
    transport: str | None,
    check: bool,
    force: bool,
    **options: Any,
) -> None:
    """Turn MODEL into a C project in DIR that runs and trains it.

    MODEL is an .onnx file (float, or int8 QDQ), a .tflite file (float, or full int8) or a .pt2 file
    of torch.export (float). DIR also gets report.json: the memory account, the trained parameters
    and every op. Files of your own in DIR stay as they are when it is compiled again.

    \b
    ondevice-train compile kws.tflite -o project --classes 4 --scheme bias:3 --sram 128KB
    """
    from tvm_ondevice_train.project import check_replaceable, read_report

    chosen = Options.of(**options)
    target = find_board(chosen.board, chosen.sram_bytes, chosen.flash_bytes)
    check_replaceable(directory, force)  # now: compiling may take a minute
    with display.status(f"compiling {Path(model).name}"):
        import tvm_ondevice_train

        compiled = tvm_ondevice_train.compile(model, chosen)
        compared = _compared(model, compiled, chosen) if check else None
        project = compiled.save(directory, platform, transport, force=force, say=click.echo)
    display.print_memory(read_report(project), target)
    if compared is not None:
        click.echo("\n" + "\n".join(compared.lines()))
    click.echo(f"\nThe project is in {directory}, its figures in {Path(directory, 'report.json')}")


def _compared(model: str, compiled: CompiledModel, options: Options) -> CheckReport:
    """How far the C is from the file's own reference; OdtError where it computes something else."""
    from tvm_ondevice_train.checking.check import compare

    report = compare(model, compiled, options)
    if not report.ok:
        raise ModelError(report.model, report.obstacles)
    return report
