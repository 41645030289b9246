"""`ondevice-train monitor`."""

from __future__ import annotations

import click


@click.command("monitor", short_help="Watch a run: loss and accuracy, live.")
@click.argument("directory", metavar="DIR", type=click.Path(exists=True, file_okay=False))
@click.option("--once", is_flag=True, help="Show how it stands now, and end.")
def monitor_command(directory: str, once: bool) -> None:
    """Watch the run of the project in DIR, from another terminal: loss and accuracy, live.

    `run` may begin later; this ends with it, or with Ctrl-C, which the run does not notice.
    `run --eval-every N` makes a curve of the accuracy.

    \b
    ondevice-train run project --data samples.npz --epochs 20 --eval-every 200
    ondevice-train monitor project
    """
    from tvm_ondevice_train.manifest import read_manifest
    from tvm_ondevice_train.run.monitor import monitor

    read_manifest(directory)  # whether it is a project
    monitor(directory, once)
