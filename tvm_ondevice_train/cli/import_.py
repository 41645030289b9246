"""`ondevice-train import`."""

from __future__ import annotations

import click


@click.command("import", short_help="Bring learned parameters to a device, from ONNX or .npz.")
@click.argument("directory", metavar="DIR", type=click.Path(exists=True, file_okay=False))
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option(
    "--port",
    metavar="PORT",
    help="The board's serial line, e.g. /dev/ttyACM0, or socket://HOST:PORT.",
)
def import_command(directory, file, port):
    """Bring the learned parameters in FILE to the device of the project in DIR, which keeps them.

    FILE is an .npz, or a model that `export` wrote or that was compiled, trained further elsewhere;
    it may differ from the project's model in the parameters that train. `run --resume` goes on from
    there.

    \b
    ondevice-train export project -o learned.npz
    ondevice-train import other learned.npz
    """
    from tvm_ondevice_train.device import Session
    from tvm_ondevice_train.device.build import load_report
    from tvm_ondevice_train.export.reading import read_parameters, stored_parameters

    report = load_report(directory)
    parameters = read_parameters(file, directory)
    with Session(directory, port=port) as device:
        device.reset()
        device.set_parameters(stored_parameters(parameters, report))
        saved = device.save()
    click.echo(f"{len(parameters)} parameters are on the device, image {saved.sequence}")
