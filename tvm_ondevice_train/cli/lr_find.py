"""`ondevice-train lr-find`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tvm_ondevice_train.cli import display
from tvm_ondevice_train.options import Options

from .data_options import data_options
from .length_options import LENGTH, length_options
from .options import compile_options

if TYPE_CHECKING:
    from tvm_ondevice_train.data import Reading


@click.command("lr-find", short_help="Find the learning rate of a run, by short ones here.")
@click.argument("source", metavar="DIR|MODEL", type=click.Path(exists=True))
@data_options(required=True)
@length_options
@compile_options(but=("learning_rate", "class_names", "dump_ir", "prefix"))
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
def lr_find_command(
    source: str, data: str, as_json: bool, reading: Reading, **options: Any
) -> None:
    """Find the learning rate of a run on the samples of PATH.

    DIR is a project that `compile` made, and options of `compile` are not looked at; MODEL is a
    model file, with these. Short runs in this process, bit for bit as on the board, are judged by
    samples that they do not train on.

    \b
    ondevice-train lr-find project --data samples.npz --epochs 8
    """
    from tvm_ondevice_train.cli import sweep_table

    length = {name: options.pop(name) for name in LENGTH}
    names = (reading.class_names or None) if options["file_class_names"] else None
    chosen = Options.of(**options, class_names=names)  # of the head, only beside the file's own
    with display.status("looking for the learning rate"):
        from tvm_ondevice_train.compiler import compile
        from tvm_ondevice_train.data import load_data
        from tvm_ondevice_train.learning.held_out import with_validation
        from tvm_ondevice_train.run.options import RunOptions
        from tvm_ondevice_train.simulator import host_model, search_rate

        is_project = Path(source).is_dir()
        model = host_model(source if is_project else compile(source, chosen))
        loaded = load_data(data, model.manifest, reading)
        loaded = with_validation(loaded, length["validation"], length["seed"], model.manifest)
        plan = RunOptions.of(**length).of_project(model.manifest).plan(len(loaded.x))
        search = search_rate(model, loaded, plan.schedule, length["seed"], plan.rehearsals)
    if as_json:
        click.echo(json.dumps(asdict(search), indent=2))
    else:
        sweep_table.print_search(search)
