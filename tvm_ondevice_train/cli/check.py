"""`ondevice-train check`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tvm_ondevice_train.cli import display
from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.options import Options

from .data_options import data_options
from .options import compile_options

if TYPE_CHECKING:
    from tvm_ondevice_train.data import Reading


@click.command("check", short_help="List all that is in a model's way; compare it with its own.")
@click.argument("model", type=click.Path(exists=True, dir_okay=False))
@data_options(but=("class_names", "augment"))
@click.option("--json", "as_json", is_flag=True, help="The report as JSON, for programs.")
@compile_options()
def check_command(
    model: str, data: str | None, reading: Reading, as_json: bool, **options: Any
) -> None:
    """List everything that keeps MODEL from being compiled, each with what to do about it.

    Where nothing does, its C is built for this computer, and what it computes is compared with ONNX
    Runtime (.onnx), LiteRT (.tflite) or PyTorch (.pt2), if that is installed. The exit code is 2 if
    anything is in the way, further apart than rounding explains included.

    \b
    ondevice-train check kws.tflite --data samples.npz --scheme bias:3 --board nucleo_f746zg
    """
    chosen = Options.of(**options)
    with display.status(f"checking {Path(model).name}"):
        import tvm_ondevice_train

        report = tvm_ondevice_train.check(model, data, chosen, reading=reading)
    click.echo(json.dumps(report.to_json(), indent=2) if as_json else "\n".join(report.lines()))
    if not report.ok:
        count = len(report.obstacles)
        raise OdtError(f"{report.model}: {count} obstacle{'s' if count > 1 else ''}")
