"""Train a project's model on its device with data from a file: `ondevice-train run`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..data import Data, Reading, Source, load_data
from ..device.build import build
from ..device.protocol import DIVERGED, DeviceError
from ..device.session import Session
from ..errors import OdtError
from ..export.exchange import start_with
from ..export.trained_parameters import whole_parameters
from ..files.npz import npz_bytes
from ..files.whole_file import write_whole
from ..learning.classes import use_classes
from ..learning.held_out import with_validation
from ..learning.plan import Plan
from ..learning.progress import ProgressLog
from ..learning.training import Training
from ..manifest import Manifest, read_manifest
from .alone import alone
from .checkpoint import NAME as CHECKPOINT
from .checkpoint import Beginning, Checkpoint, Keeper, digest, read_checkpoint
from .costs import checked_stack_bound, costs_of
from .curves import check_plot, write_curves
from .interrupt import held_back
from .options import RunOptions
from .rate import rate_for
from .result import data_warnings, result_of
from .tables import write_tables
from .tensorboard import write_events


def run_project(
    directory: str | Path,
    data: Source,
    *,
    reading: Reading | None = None,
    say: Callable[[str], None] = lambda line: None,
    port: str | None = None,
    start: str | Path | None = None,
    resume: bool = False,
    continued: bool = False,
    plot: str | Path | None = None,
    tensorboard: str | Path | None = None,
    on_progress: Callable[[int, int, float], None] | None = None,
    **options: Any,
) -> dict:
    """Start the project's program, stream `data` to it, write `run.json` and return its content.

    `data` is what `load_data` takes: a file, a folder, arrays, or an iterable of samples; `reading`
    says how they are read, and `say` is told what was assumed. `options` are the fields of
    `RunOptions`, and values for the optimizer, as ``learning_rate=0.1``; those that are None stay.
    `on_progress(step, steps, loss)` is called after every step.

    The trained parameters are left in `learned.npz` by name: whole and in the model's own order,
    also where only some channels trained. `progress.jsonl` grows meanwhile; `monitor` reads it.
    docs/learning.md says what is in `run.json`, and what a run does by itself.

    At the end `losses.csv` and `evaluations.csv` are written beside them, with `plot` a PNG of the
    curves, with `tensorboard` an event file into that folder.

    The program is built and started here, as a process or in the emulator; with `port`, a serial
    device or socket://HOST:PORT, it runs on a board already, and starts anew.

    `start` is a file with the parameters to begin with, see `export.reading.read_parameters`.
    `resume` begins another run with what the device kept in its flash: the schedule and the
    shuffled order go on from the step that it had done then. `continued` finishes the run here that
    was killed or interrupted, from the host's last checkpoint, as if nothing had happened; options
    are those that it was begun with, and `data` must be the same.

    Stack, instructions and flash are None on the host: its stack and instruction set are not the
    device's. So is `peak_sram_bytes`, which holds the stack. Cycles are those of a board.
    """
    directory = Path(directory)
    manifest = read_manifest(directory)
    if plot is not None:
        check_plot(plot)
    asked = RunOptions.of(**options)
    begun = _begun(directory, manifest, start, resume) if continued else None
    if begun is not None:
        asked = asked.continuing(begun.beginning.options)
    asked = asked.of_project(manifest)
    loaded = with_validation(
        load_data(data, manifest, reading, say=say), asked.validation, asked.seed, manifest
    )
    asked.plan(len(loaded.x))  # refused, if at all, before anything is built
    if begun is not None and begun.beginning.data != digest(loaded):
        raise OdtError(
            "run: the data are not those of the run that is to be continued; it needs the same "
            "--data, --augment, and how samples are read"
        )
    program = build(directory) if port is None else None
    bound = checked_stack_bound(directory, manifest, program)
    started = time.monotonic()
    with (
        alone(directory),
        held_back() as interrupted,
        Session(directory, port=port) as device,
    ):
        plan = _prepare(device, directory, start, resume, asked, loaded, begun, say)
        beginning = Beginning(
            manifest.model_hash, digest(loaded), asked, plan.first, plan.learning_rate
        )
        keeper = Keeper(directory, beginning, _write_so_far)
        with ProgressLog(directory, manifest, plan.first, plan.schedule.steps) as log:
            run = Training(
                device,
                loaded,
                plan,
                log=log,
                on_progress=on_progress,
                between=keeper.between,
                interrupted=interrupted,
            )
            if begun is None:
                (directory / CHECKPOINT).unlink(missing_ok=True)
            else:
                run.go_on_from(begun.state)
                log.again(run.losses, run.diverged, run.evaluations)
            for line in data_warnings(run):
                say(f"warning: {line}")
            run.run()
            log.stopped = run.stopped
        _predict_once(device, loaded.x[0])
        stats = device.stats()
    result = {
        **result_of(run),
        **costs_of(stats, device.counts, program),
        "stack_bound_bytes": bound,
        "wall_seconds": time.monotonic() - started,
    }
    (_, learned) = run.values[-1]
    _write(directory, manifest, learned, result)
    write_tables(directory, result)
    if plot is not None:
        write_curves(plot, result)
    if tensorboard is not None:
        write_events(tensorboard, result)
    if run.stopped is not None:
        kept = f"run: {run.stopped}; {directory} keeps run.json and learned.npz of the steps before"
        if interrupted():
            raise KeyboardInterrupt(f"{kept}, and {_how_to_go_on(plan)}")
        raise OdtError(f"{kept}, and {_how_to_go_on(plan, ' --on-divergence skip (or lower)')}")
    (directory / CHECKPOINT).unlink(missing_ok=True)
    return result


def _begun(
    directory: Path, manifest: Manifest, start: str | Path | None, resume: bool
) -> Checkpoint:
    """The run to continue; OdtError for what goes not with it."""
    if resume or start is not None:
        raise OdtError(
            "run: a run that is continued has its parameters; leave out --resume and --from"
        )
    found = read_checkpoint(directory)
    if found.beginning.model_hash != manifest.model_hash:
        raise OdtError(
            f"run: the run to continue in {directory} is of another model; begin anew without "
            "--continue"
        )
    if found.beginning.options.replay:
        raise OdtError(
            "run: the run to continue learns kept samples again, and those are not in a "
            "checkpoint; begin anew without --continue, or with --replay 0"
        )
    return found


def _prepare(
    device: Session,
    directory: Path,
    start: str | Path | None,
    resume: bool,
    options: RunOptions,
    data: Data,
    begun: Checkpoint | None,
    say: Callable[[str], None],
) -> Plan:
    """Bring the device to where training begins; what is to be done there."""
    samples = len(data.x)
    if begun is not None:
        device.reset()
        device.restore(begun.snapshot)
        return options.plan(samples, begun.beginning.first, begun.beginning.learning_rate)
    if resume and start is not None:
        raise OdtError("run: go on from a file or from what the device kept, not both")
    if resume:
        device.load()
    elif start is not None:
        start_with(device, directory, start)
    else:
        device.reset()
    if not resume:
        device.set_seed(options.seed)
    use_classes(device, data, say)
    device.set_hyperparameters(**options.hyper)
    rehearsals = options.replay or 0
    first = device.stats()["steps"] // (1 + rehearsals)  # which are steps, too
    if "learning_rate" not in options.hyper and not resume:
        schedule = options.plan(samples, first).schedule
        rate = rate_for(directory, device.manifest, data, schedule, options.seed, rehearsals, say)
        if rate is not None:
            device.set_learning_rate(rate)
    return options.plan(samples, first, device.learning_rate())  # a float32, as one that was saved


def _predict_once(device: Session, sample: np.ndarray) -> None:
    """So that a prediction is counted in every run, whatever comes of it."""
    try:
        device.predict_encoded(sample)
    except DeviceError as error:
        if error.code != DIVERGED:
            raise


def _write_so_far(directory: Path, run: Training, learned: Mapping[str, np.ndarray]) -> None:
    """Of a run that goes on, for whoever finds it killed."""
    done = f"step {run.steps} of {run.plan.steps}"
    left = f"unfinished: {done} is kept; run {_how_to_go_on(run.plan)}"
    result = {**result_of(run), "stopped": run.stopped or left}
    _write(directory, run.learner.manifest, learned, result)


def _how_to_go_on(plan: Plan, otherwise: str = "") -> str:
    """What a user can do with a run that did not end; `otherwise` than it was begun."""
    if plan.rehearsals:  # the samples that are kept are in no checkpoint
        return "--from learned.npz begins another one"
    return f"--continue{otherwise} goes on"


def _write(
    directory: Path, manifest: Manifest, learned: Mapping[str, np.ndarray], result: Mapping
) -> None:
    """learned.npz and run.json, each whole."""
    whole = whole_parameters(learned, manifest, directory)
    write_whole(directory / "learned.npz", npz_bytes(whole), "run")
    write_whole(directory / "run.json", (json.dumps(result, indent=2) + "\n").encode(), "run")
