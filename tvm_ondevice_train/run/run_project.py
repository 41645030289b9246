"""Train a project's model on its device with data from a file: `ondevice-train run`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path

import numpy as np

from ..data import Reading, Source, load_data
from ..device.build import build, flash_bytes
from ..device.protocol import DIVERGED, DeviceError
from ..device.session import Session
from ..device.stack_bound import stack_bound
from ..errors import OdtError
from ..export.exchange import start_with
from ..export.trained_parameters import whole_parameters
from ..files.npz import npz_bytes
from ..files.whole_file import write_whole
from ..learning.health import saturation, warnings
from ..learning.progress import ProgressLog
from ..learning.training import STOP, Training, rate_to_lower
from ..manifest import Manifest, read_manifest
from .interrupt import held_back

MOST_STEPS = (1 << 32) - 1  # of odt_t


def run_project(
    directory: str | Path,
    data: Source,
    *,
    reading: Reading | None = None,
    say: Callable[[str], None] = lambda line: None,
    steps: int | None = None,
    epochs: int | None = None,
    evaluate: bool = False,
    eval_every: int | None = None,
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

    `data` is what `load_data` takes: a file, a folder, arrays, or an iterable of samples; `reading`
    says how they are read, and `say` is told what was assumed.

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
    loaded = load_data(data, manifest, reading, say=say)
    total = _count_steps(len(loaded.x), steps, epochs)
    _check_intervals(eval_every=eval_every, save_every=save_every)
    program = build(directory) if port is None else None
    bound = _stack_bound(directory, manifest, program)
    rate = rate_to_lower(on_divergence, hyper.get("learning_rate"), manifest, resume)
    started = time.monotonic()
    with held_back() as interrupted, Session(directory, port=port) as device:
        first = _prepare(device, directory, start, resume, seed, hyper)
        with ProgressLog(directory, manifest, first, first + total) as log:
            run = Training(device, loaded, log, on_progress, on_divergence, rate, interrupted, seed)
            before = run.evaluate(first) if evaluate else {}
            order = islice(_order(len(loaded.x), seed), first, None)
            run.train(order, first, total, eval_every, save_every)
            log.stopped = run.stopped
            run.watch()
            after = run.evaluate(first + run.steps) if evaluate and not interrupted() else {}
        if run.stopped is None and (save or save_every):
            device.save()
        _predict_once(device, loaded.x[0])
        stats = device.stats()
    (_, learned) = run.values[-1]
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
        **_costs(stats, device.counts, program),
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


def _stack_bound(directory: str | Path, manifest: Manifest, program: Path | None) -> int | None:
    """What the stack of a bare-metal program takes at most; None where that is not ours to say."""
    if program is None or manifest.platform != "baremetal":
        return None
    bound = stack_bound(directory).size_bytes
    if bound > manifest.stack_bytes:
        raise OdtError(
            f"run: the stack may take {bound:,} bytes and {manifest.stack_bytes:,} are reserved; "
            f"train fewer layers (--scheme)"
        )
    return bound


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


def _count_steps(samples: int, steps: int | None, epochs: int | None) -> int:
    if steps is not None and epochs is not None:
        raise OdtError("run: give steps or epochs, not both")
    for name, value in (("steps", steps), ("epochs", epochs)):
        if value is not None and value < 1:
            raise OdtError(f"run: {name} must be at least 1, not {value}")
    total = steps if steps is not None else samples * (epochs or 1)
    if total > MOST_STEPS:
        raise OdtError(f"run: {total:,} steps are more than a device counts, {MOST_STEPS:,}")
    return total


def _check_intervals(**intervals: int | None) -> None:
    for name, value in intervals.items():
        if value is not None and value < 1:
            raise OdtError(f"run: {name} must be at least 1, not {value}")


def _order(samples: int, seed: int) -> Iterator[int]:
    """Sample indices without end, each epoch in a new order."""
    generator = np.random.default_rng(seed)
    while True:
        yield from generator.permutation(samples)


def _costs(stats: dict[str, int], counts: dict[str, tuple[int, int]], program: Path | None) -> dict:
    """Memory, and instructions or cycles; None where the platform cannot tell.

    program : what was built and started here; None for a board at a line.
    """
    costs: dict[str, int | None] = dict.fromkeys(
        (
            *("peak_sram_bytes", "stack_bytes", "stack_reserved_bytes", "flash_bytes"),
            *("instructions_per_step", "instructions_forward"),
            *("cycles_per_step", "cycles_forward"),
        )
    )
    if not stats["stack_used"]:  # a process of a computer
        return costs
    parts = ("arena_bytes", "state_bytes", "static_bytes", "stack_used")
    costs["peak_sram_bytes"] = sum(stats[part] for part in parts)
    costs["stack_bytes"] = stats["stack_used"]
    costs["stack_reserved_bytes"] = stats["stack_reserved"]
    if program is None:
        pair, measured = "cycles", [stats["train_cycles"], stats["predict_cycles"]]
    else:
        costs["flash_bytes"] = flash_bytes(program)
        pair, measured = "instructions", _means(counts["train"], counts["predict"])
    costs[f"{pair}_per_step"], costs[f"{pair}_forward"] = (value or None for value in measured)
    return costs


def _means(*counts: tuple[int, int]) -> list[int]:
    return [round(total / regions) for regions, total in counts]
