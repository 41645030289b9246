"""`ondevice-train forget`."""

from __future__ import annotations

import click

from .options import port_option


@click.command("forget", short_help="Erase what a device learned and kept.")
@click.argument("directory", metavar="DIR", type=click.Path(exists=True, file_okay=False))
@port_option
def forget_command(directory: str, port: str | None) -> None:
    """Erase what the device of the project in DIR learned and kept: parameters and old samples.

    Its flash is read back; its RAM begins anew, with the compiled parameters. Files that a run left
    on this computer (learned.npz, run.json ...) stay.

    \b
    ondevice-train forget project --port /dev/ttyACM0
    """
    from tvm_ondevice_train.device.session import Session

    with Session(directory, port=port) as device:
        device.forget()
    click.echo("The device is as it was compiled: nothing that it learned or kept is left on it")
