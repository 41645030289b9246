"""`ondevice-train audio-frontend`."""

from __future__ import annotations

from pathlib import Path

import click

from tvm_ondevice_train.errors import OdtError

NAME = "odt_audio_front_end.h"


@click.command("audio-frontend", short_help="Write the tables of a front end for sound, in C.")
@click.argument("front_end", metavar="FRONT_END")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(file_okay=False),
    metavar="DIR",
    help=f"Where {NAME} goes.",
)
def audio_frontend_command(front_end: str, output: str) -> None:
    """Write the tables of FRONT_END, as --audio of `run` takes it, for firmware.

    With odt_audio.h of a project's runtime/include they compute, to the bit, the features that
    `run` trains on.

    \b
    ondevice-train audio-frontend mfcc,rate=16000,window=30,hop=20,coefficients=10 -o firmware
    """
    from tvm_ondevice_train.data.audio.front_end import FLAG, FrontEnd
    from tvm_ondevice_train.data.audio.tables import as_header
    from tvm_ondevice_train.files.whole_file import write_whole

    chosen = FrontEnd.parse(front_end)
    if chosen.rate is None:
        raise OdtError(f"{FLAG}: {front_end} has no rate; say it, as rate=16000")
    path = Path(output, NAME)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, as_header(chosen).encode(), "audio-frontend")
    click.echo(f"{path}: {chosen}, {chosen.features} features a frame")
