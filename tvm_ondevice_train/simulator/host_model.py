"""A model's arithmetic as it was compiled for a board, as a library of this computer."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import OdtError
from ..manifest import Manifest, read_manifest, source_of
from ..options import Options
from ..project import read_report
from ..replay import FEATURES, RAM, SAMPLE, Replay
from .library import cache_directory, library_of

if TYPE_CHECKING:
    from ..compiler import CompiledModel

_INT8, _TOO_LARGE = "int8", "int8;"  # how options and report call a head that stays as it is


@dataclass(frozen=True)
class HostModel:
    """What a `Simulation` is made of; other processes may have it.

    library : of the step, for this computer.
    manifest : of the model, as a program of this computer.
    train_prefix, evaluate_prefix : how many kernels compute a sample's features.
    prefix_macs, train_macs : multiply-accumulates of a training step before its features are there,
        and behind that.
    """

    library: Path
    manifest: Manifest
    train_prefix: int
    evaluate_prefix: int
    prefix_macs: int
    train_macs: int


def host_model(source: CompiledModel | str | os.PathLike[str]) -> HostModel:
    """The step of a compiled model, or of the project in a directory, for this computer.

    It has the numbers of the board's step, which its memory may have decided, and scratch, tiles
    and order of its own. OdtError where the model file that the project was made from is not there.
    """
    from ..compiler import compile  # here: it loads TVM

    if isinstance(source, (str, os.PathLike)):
        manifest, report = read_manifest(Path(source)), read_report(Path(source))
        made_from = source_of(manifest, source, "simulate")
        options = host_options(made_from.options, report, manifest.replay)
        compiled = compile(made_from.model, options)
    else:
        manifest = source.manifest
        options = host_options(source.options, source.report, manifest.replay)
        compiled = compile(source.given, options)
    if compiled.manifest.model_hash != manifest.model_hash:
        raise OdtError(
            f"simulate: {source} was compiled from another content of its model file, or by "
            "another release; compile it again"
        )
    train, evaluate = compiled.planned.train.step, compiled.planned.evaluate.step
    path = library_of(compiled.files, cache_directory())
    before = sum(task.kernel.macs for task in train.tasks[: train.prefix])
    prefixes = train.prefix, evaluate.prefix
    return HostModel(path, compiled.manifest, *prefixes, before, train.macs - before)


def host_options(options: Options, report: Mapping[str, Any], replay: Replay | None) -> Options:
    """What the same numbers are compiled with for this computer.

    Samples are kept as features, whatever the board keeps: those of a step in which a sample is
    learned again are there then, too.

    report, replay : of the model that was compiled for its board with `options`.
    """
    kept = (report["head"] or "").startswith(_TOO_LARGE)
    return replace(
        options,
        head=_INT8 if kept else options.head,
        backward=report["backward"],
        prefer="speed",
        split=True,
        replay=None if replay is None else replay.slots,
        replay_policy=None if replay is None else replay.policy,
        replay_in=RAM,
        replay_of=SAMPLE if replay is None else FEATURES,
        board="host",
        sram_bytes=None,
        flash_bytes=None,
        tuning=None,
        prefix=None,
        dump_ir=None,
    )
