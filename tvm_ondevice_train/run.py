"""Train a project's model on its board with data from a file: `ondevice-train run`."""

from __future__ import annotations

import json
import math
import os
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .device.build import build, flash_bytes, load_report
from .device.protocol import DeviceError
from .device.samples import decode_inputs, encode_inputs, encode_targets
from .device.session import Session
from .errors import OdtError
from .npz import npz_bytes
from .slices import Slice


@dataclass(frozen=True)
class Data:
    """Samples and targets as the device reads them; the test set is None where there is none."""

    x: np.ndarray
    y: np.ndarray
    x_test: np.ndarray | None = None
    y_test: np.ndarray | None = None


def load_data(path: str | Path, report: dict) -> Data:
    """Read and check FILE.npz: `x`, `y`, optional `x_test`, `y_test`.

    A model that learns values, not labels, may leave out `y`: it then learns to reproduce `x`.
    Raises OdtError for a file, shape, dtype, label or value that the model cannot use.
    """
    arrays = _read_npz(Path(path))
    needed = {"x", "y"} if report["target"]["kind"] == "label" else {"x"}
    missing = sorted(needed - set(arrays))
    if missing:
        found = ", ".join(sorted(arrays)) or "nothing"
        raise OdtError(f"data: {path} has no array {missing[0]}; it holds {found}")
    if "y_test" in arrays and "x_test" not in arrays:
        raise OdtError(f"data: {path} has y_test but no x_test")
    x, y = _encode_pair(arrays, report, "x", "y")
    if "x_test" not in arrays:
        return Data(x, y)
    return Data(x, y, *_encode_pair(arrays, report, "x_test", "y_test"))


def run_project(
    directory: str | Path,
    data: str | Path,
    *,
    steps: int | None = None,
    epochs: int | None = None,
    evaluate: bool = False,
    learning_rate: float | None = None,
    seed: int = 0,
    on_progress: Callable[[int, int, float], None] | None = None,
) -> dict:
    """Build and start the project, stream `data` to it, write `run.json` and return its content.

    The trained parameters are left in `learned.npz` by name: whole and in the model's own order,
    also where only some channels trained.

    One epoch in shuffled order unless `steps` or `epochs` say otherwise; `seed` sets the order and
    the device's rounding. `on_progress(step, steps, loss)` is called after every step. With
    `evaluate`, accuracy is measured before and after on the test set, or on `x` if there is none;
    for a model that learns values it is the mean squared error instead.

    Stack, instructions and flash are None on the host: its stack and instruction set are not the
    device's. So is `peak_sram_bytes`, which holds the stack.
    """
    report = load_report(directory)
    loaded = load_data(data, report)
    total = _count_steps(len(loaded.x), steps, epochs)
    program = build(directory)
    started = time.monotonic()
    with Session(directory) as device:
        device.set_seed(seed)
        if learning_rate is not None:
            device.set_learning_rate(learning_rate)
        before = _evaluate(device, loaded, report) if evaluate else {}
        losses = _train(device, loaded, total, seed, on_progress)
        after = _evaluate(device, loaded, report) if evaluate else {}
        device.predict_encoded(loaded.x[0])  # so that a prediction is counted in every run
        stats = device.stats()
        learned = device.parameters()
    result = {
        "losses": losses,
        "steps": total,
        **{f"{key}_before": before.get(key) for key in ("accuracy", "error")},
        **{f"{key}_after": after.get(key) for key in ("accuracy", "error")},
        **_costs(stats, device.counts, program),
        "wall_seconds": time.monotonic() - started,
    }
    _write_learned(Path(directory), report, learned)
    _write_json(Path(directory) / "run.json", result)
    return result


def _write_learned(directory: Path, report: dict, learned: dict[str, np.ndarray]) -> None:
    slices = {name: Slice.from_report(report["trained_parameters"][name]) for name in learned}
    if not all(part.is_whole for part in slices.values()):
        with np.load(directory / "initial.npz") as initial:
            learned = {name: slices[name].put(initial[name], v) for name, v in learned.items()}
    temporary = directory / ".learned.npz"
    temporary.write_bytes(npz_bytes(learned))
    os.replace(temporary, directory / "learned.npz")


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    """Every array of the file, by name."""
    try:
        content = np.load(path, allow_pickle=False)
        arrays = None if isinstance(content, np.ndarray) else dict(content)
    except FileNotFoundError:
        raise OdtError(f"data: {path} does not exist") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise OdtError(f"data: {path} is not a readable .npz file ({reason})") from None
    if arrays is None:
        raise OdtError(f"data: {path} is one array; save x and y with numpy.savez")
    return arrays


def _encode_pair(
    arrays: dict[str, np.ndarray], report: dict, x_name: str, y_name: str
) -> tuple[np.ndarray, np.ndarray]:
    x = encode_inputs(arrays[x_name], report, x_name)
    if y_name in arrays:
        y = encode_targets(arrays[y_name], report, y_name)
    elif report["target"]["kind"] == "label":
        raise OdtError(f"data: {x_name} has no labels {y_name}")
    else:
        y = encode_targets(decode_inputs(x, report), report, x_name)
    if len(x) != len(y):
        raise OdtError(f"data: {x_name} has {len(x)} samples and {y_name} {len(y)}")
    if not len(x):
        raise OdtError(f"data: {x_name} has no samples")
    return x, y


def _count_steps(samples: int, steps: int | None, epochs: int | None) -> int:
    if steps is not None and epochs is not None:
        raise OdtError("run: give steps or epochs, not both")
    for name, value in (("steps", steps), ("epochs", epochs)):
        if value is not None and value < 1:
            raise OdtError(f"run: {name} must be at least 1, not {value}")
    return steps if steps is not None else samples * (epochs or 1)


def _order(samples: int, seed: int) -> Iterator[int]:
    """Sample indices without end, each epoch in a new order."""
    generator = np.random.default_rng(seed)
    while True:
        yield from generator.permutation(samples)


def _train(
    device: Session,
    data: Data,
    steps: int,
    seed: int,
    on_progress: Callable[[int, int, float], None] | None,
) -> list[float]:
    losses = []
    for step, index in zip(range(1, steps + 1), _order(len(data.x), seed), strict=False):
        try:
            losses.append(device.train_encoded(data.x[index], data.y[index]))
        except DeviceError as error:
            raise OdtError(f"run: step {step} of {steps}, sample {index}: {error}") from None
        if not math.isfinite(losses[-1]):
            raise OdtError(
                f"run: the loss of step {step} of {steps} is {losses[-1]}; training diverged, "
                f"use a smaller learning rate (--lr)"
            )
        if on_progress is not None:
            on_progress(step, steps, losses[-1])
    return losses


def _evaluate(device: Session, data: Data, report: dict) -> dict[str, float]:
    x, y = (data.x, data.y) if data.x_test is None else (data.x_test, data.y_test)
    outputs = np.stack([device.predict_encoded(sample).reshape(-1) for sample in x])
    if report["target"]["kind"] == "label":
        return {"accuracy": float(np.mean(outputs.argmax(axis=1) == y))}
    return {"error": float(np.mean((outputs - y) ** 2))}


def _costs(stats: dict[str, int], counts: dict[str, tuple[int, int]], program: Path) -> dict:
    """Memory and instructions; None where the platform cannot tell."""
    names = (
        "peak_sram_bytes",
        "stack_bytes",
        "stack_reserved_bytes",
        "flash_bytes",
        "instructions_per_step",
        "instructions_forward",
    )
    if not counts:  # a process of this computer
        return dict.fromkeys(names)
    parts = ("arena_bytes", "state_bytes", "static_bytes", "stack_used")
    means = [round(total / regions) for regions, total in (counts["train"], counts["predict"])]
    values = (
        sum(stats[part] for part in parts),
        stats["stack_used"],
        stats["stack_reserved"],
        flash_bytes(program),
        *means,
    )
    return dict(zip(names, values, strict=True))


def _write_json(path: Path, content: dict) -> None:
    scratch = path.with_name(f".{path.name}.new")
    scratch.write_text(json.dumps(content, indent=2) + "\n")
    os.replace(scratch, path)
