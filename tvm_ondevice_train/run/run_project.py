"""Train a project's model on its device with data from a file: `ondevice-train run`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..data import Source, load_data
from ..device.build import build
from ..device.protocol import DIVERGED, DeviceError
from ..device.session import Session
from ..errors import OdtError
from ..export.exchange import start_with
from ..export.trained_parameters import whole_parameters
from ..files.npz import npz_bytes
from ..files.whole_file import write_whole
from ..learning.health import saturation, warnings
from ..learning.plan import STOP, Plan
from ..learning.progress import ProgressLog
from ..learning.schedule import COSINE
from ..learning.training import Training
from ..manifest import Manifest, read_manifest
from .costs import checked_stack_bound, costs_of
from .interrupt import held_back
from .length import count_steps, interval, schedule_of
from .rate import rate_for


def run_project(
    directory: str | Path,
    data: Source,
    *,
    steps: int | None = None,
    epochs: int | None = None,
    schedule: str = COSINE,
    warmup: float | None = None,
    evaluate: bool = False,
    eval_every: int | str | None = None,
    seed: int = 0,
    port: str | None = None,
    start: str | Path | None = None,
    resume: bool = False,
    save: bool = False,
    save_every: int | None = None,
    on_divergence: str = STOP,
    on_progress: Callable[[int, int, float], None] | None = None,
    **hyper: float | None,
) -> dict:
    """Start the project's program, stream `data` to it, write `run.json` and return its content.

    `data` is an .npz file, {"x": x, "y": y} with optional "x_test" and "y_test", or (x, y).

    The trained parameters are left in `learned.npz` by name: whole and in the model's own order,
    also where only some channels trained. `progress.jsonl` grows meanwhile; `monitor` reads it.

    One epoch in shuffled order unless `steps` or `epochs` say otherwise; `seed` sets the order and
    the device's rounding. `on_progress(step, steps, loss)` is called after every step. With
    `evaluate`, accuracy is measured before and after on the test set, or on `x` if there is none;
    for a model that learns values it is the mean squared error instead. `eval_every` is after how
    many steps it is measured in between.

    `on_divergence` says what follows a step whose loss or a gradient is not finite, which changes
    nothing: "stop" ends the run, and OdtError is raised once what it has is written; "skip" goes
    on with the next sample; "lower" does, with half the learning rate. `diverged` of the result has
    the numbers of such steps, which have no loss.

    `saturation` of the result is the share of each quantized tensor's codes that are at the end of
    their range; `warnings` are lines, see `health`.

    `hyper` are values for the optimizer, as ``learning_rate=0.1``; those that are None stay.

    The program is built and started here, as a process or in the emulator; with `port`, a serial
    device or socket://HOST:PORT, it runs on a board already, and starts anew.

    `start` is a file with the parameters to begin with, see `export.reading.read_parameters`.
    `save` has the device keep what it learned in its flash at the end, `save_every` also after
    that many steps. `resume` goes on from there, as if the run had not ended: of the shuffled
    order, what was trained is left out.

    Stack, instructions and flash are None on the host: its stack and instruction set are not the
    device's. So is `peak_sram_bytes`, which holds the stack. Cycles are those of a board.
    """
    manifest = read_manifest(directory)
    loaded = load_data(data, manifest)
    samples = len(loaded.x)
    total = count_steps(samples, steps, epochs)
    rate = hyper.get("learning_rate")
    plan = Plan(
        schedule_of(schedule, warmup, 0, total, samples),
        learning_rate=rate or 0.0,
        seed=seed,
        evaluate=evaluate,
        eval_every=interval(eval_every, samples, "eval_every"),
        save=save,
        save_every=save_every,
        on_divergence=on_divergence,
    )
    program = build(directory) if port is None else None
    bound = checked_stack_bound(directory, manifest, program)
    started = time.monotonic()
    with held_back() as interrupted, Session(directory, port=port) as device:
        first = _prepare(device, directory, start, resume, seed, hyper)
        if first:
            whole = schedule_of(schedule, warmup, first, total, samples)
            plan = replace(plan, schedule=whole, first=first)
        if rate is None and not resume:
            rate = rate_for(directory, manifest, loaded, plan.schedule, seed)
        if rate is None:
            rate = device.learning_rate()
        plan = replace(plan, learning_rate=rate)
        with ProgressLog(directory, manifest, first, first + total) as log:
            run = Training(
                device, loaded, plan, log=log, on_progress=on_progress, interrupted=interrupted
            )
            run.run()
            log.stopped = run.stopped
        _predict_once(device, loaded.x[0])
        stats = device.stats()
    (_, learned) = run.values[-1]
    before, after = (run.evaluations[at] if evaluate else {} for at in (0, -1))
    result = {
        "model_hash": manifest.model_hash,
        "losses": run.losses,
        "steps": run.steps,
        "first_step": first,
        "diverged": run.diverged,
        "stopped": run.stopped,
        **{f"{key}_before": before.get(key) for key in ("accuracy", "error")},
        **{f"{key}_after": after.get(key) for key in ("accuracy", "error")},
        "evaluations": run.evaluations,
        "saturation": saturation(learned),
        "warnings": warnings(run.losses, run.evaluations, run.values, manifest.classes),
        **costs_of(stats, device.counts, program),
        "stack_bound_bytes": bound,
        "wall_seconds": time.monotonic() - started,
    }
    _write_learned(Path(directory), manifest, learned)
    text = json.dumps(result, indent=2) + "\n"
    write_whole(Path(directory) / "run.json", text.encode(), "run")
    if run.stopped is not None:
        kept = f"run: {run.stopped}; {directory} keeps run.json and learned.npz of the steps before"
        if interrupted():
            raise KeyboardInterrupt(kept)
        raise OdtError(f"{kept}, and --on-divergence skip or lower goes on")
    return result


def _prepare(
    device: Session,
    directory: str | Path,
    start: str | Path | None,
    resume: bool,
    seed: int,
    hyper: Mapping[str, float | None],
) -> int:
    """Bring the device to where training begins; how many steps it has done."""
    if resume and start is not None:
        raise OdtError("run: go on from a file or from what the device kept, not both")
    if resume:
        device.load()
    elif start is not None:
        start_with(device, directory, start)
    else:
        device.reset()
    if not resume:
        device.set_seed(seed)
    device.set_hyperparameters(**{n: value for n, value in hyper.items() if value is not None})
    return device.stats()["steps"]


def _predict_once(device: Session, sample: np.ndarray) -> None:
    """So that a prediction is counted in every run, whatever comes of it."""
    try:
        device.predict_encoded(sample)
    except DeviceError as error:
        if error.code != DIVERGED:
            raise


def _write_learned(directory: Path, manifest: Manifest, learned: Mapping[str, np.ndarray]) -> None:
    whole = whole_parameters(learned, manifest, directory)
    write_whole(directory / "learned.npz", npz_bytes(whole), "run")
