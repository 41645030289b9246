"""`ondevice-train boards`."""

from __future__ import annotations

import click

from tvm_ondevice_train.boards import boards
from tvm_ondevice_train.cli import display


@click.command("boards")
def boards_command() -> None:
    """List the boards that a project can be made for.

    \b
    ondevice-train boards
    """
    display.print_boards(boards())
