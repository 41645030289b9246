"""`ondevice-train export`."""

from __future__ import annotations

import click


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
    help="What was learned.  [default: learned.npz of the project]",
)
def export_command(directory, output, source):
    """Write what the project in DIR learned to FILE.

    The ONNX model takes float32 samples in the layout of the model that was compiled, and gives the
    device's output: logits or values. It can be compiled again.

    \b
    ondevice-train run project --data samples.npz
    ondevice-train export project -o model.onnx
    """
    from tvm_ondevice_train.export.learned import check_target, learned_parameters, write

    check_target(output, directory)
    parameters = learned_parameters(directory, source)
    write(output, directory, parameters)
    values = sum(value.size for value in parameters.values())
    click.echo(f"{values:,} learned values of {len(parameters)} parameters are in {output}")
