"""`ondevice-train export` and `ondevice-train import`."""

from __future__ import annotations

import click

from .options import port_option


@click.command("export", short_help="Write what a project learned, as ONNX or .npz.")
@click.argument("directory", metavar="DIR", type=click.Path(exists=True, file_okay=False))
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="FILE",
    help="FILE.onnx: the model with what was learned, QDQ where it is int8. FILE.npz: the learned "
    "parameters by name.",
)
@click.option(
    "--from",
    "source",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE.npz",
    help="What was learned.  [default: what the last run left in the project]",
)
@click.option("--saved", is_flag=True, help="Ask the device what it kept in its flash.")
@port_option
def export_command(
    directory: str, output: str, source: str | None, saved: bool, port: str | None
) -> None:
    """Write what the project in DIR learned to FILE.

    The ONNX model takes float32 samples in the layout of the model that was compiled, and gives
    what that gives, its softmax included. It can be compiled again.

    \b
    ondevice-train run project --data samples.npz
    ondevice-train export project -o model.onnx
    """
    from tvm_ondevice_train.export.exchange import export_project

    parameters = export_project(directory, output, source, saved=saved, port=port)
    values = sum(value.size for value in parameters.values())
    click.echo(f"{values:,} learned values of {len(parameters)} parameters are in {output}")


@click.command("import", short_help="Bring learned parameters to a device, from ONNX or .npz.")
@click.argument("directory", metavar="DIR", type=click.Path(exists=True, file_okay=False))
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@port_option
def import_command(directory: str, file: str, port: str | None) -> None:
    """Bring the learned parameters in FILE to the device of the project in DIR, which saves them.

    FILE is an .npz, or the model that `export` wrote or that was compiled, trained further
    elsewhere: it may differ from the project's in nothing but the parameters that train.
    `run --resume` goes on from there.

    \b
    ondevice-train export project -o learned.onnx
    ondevice-train import other_device learned.onnx
    """
    from tvm_ondevice_train.export.exchange import import_project

    saved = import_project(directory, file, port=port)
    kept = f"image {saved.sequence} of its flash" if saved else "until it is reset; it has no flash"
    click.echo(f"The device has the parameters of {file}: {kept}")
