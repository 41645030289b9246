"""The backward in float32, integers and fewer bits: its gradients, memory, and how it trains.

Three ImageNet models of Lin et al. 2022, int8, 128x128, batch 1, each with a published scheme.
Gradients: those of two images on which every implementation has the same codes, beside float32's.
Memory: of an emulated Cortex-M7, with a fresh head of 10 classes. Training: 200 photographs of
clothes, once, on this computer; all runs see them in the same order, seeds differ in the rounding
of the updates alone.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import multiprocessing
import re
import tempfile
import zipfile
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path

import numpy as np
from instruments.interpreter import Interpreter
from instruments.provenance import provenance
from memory import BOARD, CLASSES, KB, MODELS, account, lowered_step, measured, table
from rich.console import Console

import tvm_ondevice_train as odt
from relay_passes.memory.read_step import read_step
from relay_passes.memory.step import Task
from relay_passes.pipeline import STEP_ROLES, training_passes
from tvm_ondevice_train.device import Session, build
from tvm_ondevice_train.scheme.sliced_model import slice_model
from tvm_ondevice_train.scheme.update_scheme import resolve

HERE = Path(__file__).resolve().parent
GOLDEN, PHOTOS = (MODELS.parents[1] / name for name in ("golden", "data/clothing_small"))
OUTPUT = HERE / "backward_precision.json"
FORMATS = {  # and their colours
    "float32": "0.6",
    "int16": "tab:green",
    "bfloat16": "tab:blue",
    "float8": "tab:orange",
}
TRAINED = ("mcunet-5fps/100kb", "mbv2-w0.35/99kb", "proxyless-w0.3/98kb")
CASES = (*TRAINED, "mcunet-5fps/full")
LEARNING_RATES = (0.002, 0.005, 0.01)
SEEDS = (0, 1, 2)
STEPS, HELD_OUT, LAST, WINDOW = 200, 100, 50, 20


def footprint(case: str, format: str, scratch: Path) -> dict:
    """Memory and instructions on the device, and the gradients; leaves a built project."""
    network, scheme = case.split("/")
    if scheme.endswith("kb"):
        scheme = str(HERE / f"schemes/{network}-{scheme}.json")
    path = MODELS / f"{network}-c17.onnx"
    compiled = odt.compile(path, classes=CLASSES, scheme=scheme, backward=format, **BOARD)
    build(compiled.save(project(scratch, case, format), platform="host"))
    memory = account(compiled.planned.train, compiled)
    return {
        "backward_bytes": memory["backward"]["peak_bytes"],
        "arena_bytes": memory["arena_bytes"],
        "peak_sram_bytes": memory["peak_bytes"],
        "instructions_per_step": measured(compiled)["instructions_per_step"],
        **gradients(network, scheme, format),
    }


def project(scratch: Path, case: str, format: str) -> Path:
    return scratch / f"{case.replace('/', '-')}-{format}"


def gradients(network: str, scheme: str, format: str) -> dict:
    """What enters the updates, by parameter and image, and the share of adjoints lost on the way.

    flushed: of those that are not 0, the share that the format stores as 0.
    """
    model = odt.load(MODELS / f"{network}-c17.onnx")
    sliced = slice_model(model, resolve(scheme, model.layers))
    passes = training_passes(list(sliced.slices), fuse=False, backward=format)
    program = read_step(lowered_step(sliced.model, passes, ("odt.ReorderForMemory",)), STEP_ROLES)
    interpreter = Interpreter(program, sliced.model.parameters)
    found: dict[str, list[np.ndarray]] = {}
    lost = []
    for number in range(2):
        golden = np.load(GOLDEN / f"{network}_{number}.npz")
        leaves = {"input": golden["input_q"], "target": [int(golden["label"])]}
        values = interpreter.run(**leaves, learning_rate=np.float32(0), seed=np.uint32(0))
        for op in program.tasks:
            if op.updates:
                gradient = values[op.inputs[1].name].ravel().astype(np.float64)
                found.setdefault(op.outputs[0].name, []).append(gradient)
        lost += [vanished(op, values) for op in program.tasks if op.kind == "encode"]
    return {"gradients": found, "flushed": float(np.mean(np.concatenate(lost))) if lost else 0.0}


def vanished(op: Task, values: dict[str, np.ndarray]) -> np.ndarray:
    """Of the adjoints that `op` encodes and that are not 0, which become 0 of either sign."""
    adjoint, bits = (values[t.name].ravel() for t in (op.inputs[0], op.outputs[0]))
    magnitudes = bits & np.iinfo(bits.dtype).max >> 1
    return magnitudes[adjoint != 0] == 0


def compared(found: dict, reference: dict) -> dict:
    """Cosine and relative difference to float32's gradient: by tensor, the worse of two images."""
    pairs = {name: list(zip(found[name], exact, strict=True)) for name, exact in reference.items()}
    tensors = {
        name: {
            "cosine": round(min(cosine(a, b) for a, b in images), 7),
            "difference": round(max(difference(a, b) for a, b in images), 5),
        }
        for name, images in pairs.items()
    }
    cosines = [cosine(a, b) for images in pairs.values() for a, b in images]
    median = round(float(np.median(cosines)), 7)
    return {"min": round(min(cosines), 7), "median": median, "tensors": tensors}


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def photographs() -> dict[str, np.ndarray]:
    """Int8 codes of `STEPS` training and `HELD_OUT` other photographs, and their labels."""
    rows = list(csv.reader((PHOTOS / "labels.csv").read_text().splitlines()))
    labels = sorted({label for _, _, label in rows})
    generator, result = np.random.default_rng(0), {}
    with zipfile.ZipFile(PHOTOS / "images_128.zip") as archive:
        for split, suffix, count in (("train", "", STEPS), ("test", "_test", HELD_OUT)):
            of_split = [row for row in rows if row[1] == split]
            chosen = [of_split[i] for i in generator.permutation(len(of_split))[:count]]
            result[f"x{suffix}"] = np.stack([_codes(archive.read(path)) for path, *_ in chosen])
            result[f"y{suffix}"] = np.array([labels.index(label) for *_, label in chosen])
    return result


def _codes(file: bytes) -> np.ndarray:
    """(3, 128, 128) int8: pixel - 128."""
    from PIL import Image

    pixels = np.asarray(Image.open(io.BytesIO(file)).convert("RGB"), np.int16)
    return (pixels - 128).astype(np.int8).transpose(2, 0, 1)


def train(directory: Path, learning_rate: float, seed: int) -> dict:
    """One pass over the training photographs: losses, and accuracy on the others."""
    photos = np.load(directory.parent / "photos.npz")
    samples = list(zip(photos["x_test"], photos["y_test"], strict=True))
    with Session(directory) as device:

        def accuracy() -> float:
            return float(np.mean([device.predict(x).argmax() == y for x, y in samples]))

        device.set_learning_rate(learning_rate)
        device.set_seed(seed)
        before = accuracy()
        pairs = zip(photos["x"], photos["y"], strict=True)
        losses = [round(device.train(x, y), 4) for x, y in pairs]
        after = accuracy()
    last = round(float(np.mean(losses[-LAST:])), 4)
    return {"accuracy_before": before, "accuracy_after": after, "last": last, "losses": losses}


def train_all(pool: ProcessPoolExecutor, scratch: Path) -> dict[str, dict]:
    """The runs of each case; the learning rate is the one that suits float32 best."""
    np.savez(scratch / "photos.npz", **photographs())

    def started(case, format, learning_rate, seed):
        return pool.submit(train, project(scratch, case, format), learning_rate, seed)

    trials = {
        key: started(key[0], "float32", key[1], SEEDS[0])
        for key in product(TRAINED, LEARNING_RATES)
    }
    tried = {case: {r: trials[case, r].result() for r in LEARNING_RATES} for case in TRAINED}
    rates = {
        case: min(runs, key=lambda r, runs=runs: runs[r]["last"]) for case, runs in tried.items()
    }
    runs = {
        (case, format, seed): started(case, format, rates[case], seed)
        for case, format, seed in product(TRAINED, FORMATS, SEEDS)
    }
    return {
        case: {
            "tried": {f"{rate}": run["last"] for rate, run in tried[case].items()},
            "learning_rate": rates[case],
            "runs": {f: [runs[case, f, seed].result() for seed in SEEDS] for f in FORMATS},
        }
        for case in TRAINED
    }


def show(accounts: dict, training: dict) -> None:
    """One row for each case and format."""
    shown = table(
        *("", "adjoints", "cosine min", "median", "flushed %", "backward KB", "arena KB"),
        *("total KB", "M instr./step", "rate", f"loss, last {LAST}", "to float32"),
        *("accuracy % before", "after"),
    )
    for case, format in product(accounts, FORMATS):
        found = accounts[case][format]
        kilobytes = (found[f"{what}_bytes"] / KB for what in ("backward", "arena", "peak_sram"))
        cells = [f"{found['cosine'][what]:.5f}" for what in ("min", "median")]
        cells += [f"{100 * found['flushed']:.2f}", *(f"{size:.1f}" for size in kilobytes)]
        cells.append(f"{found['instructions_per_step'] / 1e6:.1f}")
        if case in training:
            runs = training[case]["runs"]
            last, exact = (np.array([run["last"] for run in runs[f]]) for f in (format, "float32"))
            cells += [
                f"{training[case]['learning_rate']}",
                f"{last.mean():.3f} ±{np.std(last):.3f}",
            ]
            cells.append(f"{(last - exact).mean():+.3f}")
            for when in ("before", "after"):
                each = [100 * run[f"accuracy_{when}"] for run in runs[format]]
                cells.append(
                    f"{np.mean(each):.0f} ±{np.std(each):.0f}"
                    if when == "after"
                    else f"{each[0]:.0f}"
                )
        shown.add_row(case, format, *cells)
    console = Console(markup=False, highlight=False)
    console.width = max(console.width, 190)
    console.print(shown)


def draw(training: dict, path: Path) -> None:
    """Moving averages of the loss, and how far they are from float32's mean over the seeds."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (above, below) = pyplot.subplots(
        2, len(training), figsize=(12, 6), sharex=True, sharey="row", height_ratios=(3, 2)
    )
    steps, window = np.arange(WINDOW, STEPS + 1), np.full(WINDOW, 1 / WINDOW)
    for loss, distance, (case, trained) in zip(above, below, training.items(), strict=True):
        curves = {
            format: np.stack([np.convolve(run["losses"], window, "valid") for run in runs])
            for format, runs in trained["runs"].items()
        }
        exact = curves["float32"].mean(0)
        for (format, found), width in zip(curves.items(), (4, 2, 2, 1), strict=True):
            style = {"color": FORMATS[format], "linewidth": width}
            loss.plot(steps, found.mean(0), label=format, **style)
            distance.plot(steps, found.mean(0) - exact, **{**style, "linewidth": 1.2})
            low, high = found.min(0) - exact, found.max(0) - exact
            distance.fill_between(steps, low, high, color=style["color"], alpha=0.2)
        loss.set_title(f"{case}, rate {trained['learning_rate']}")
        distance.set_xlabel("step (one image each)")
        for panel in (loss, distance):
            panel.grid(alpha=0.3)
    above[0].set_ylabel(f"loss, mean of {WINDOW} steps")
    below[0].set_ylabel(f"minus float32's mean\n(band: {len(SEEDS)} seeds of rounding)")
    above[0].legend(title="adjoints in")
    figure.tight_layout()
    figure.savefig(path, dpi=110, metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=OUTPUT, help="default: %(default)s")
    output = parser.parse_args().output
    missing = [path for path in (MODELS, GOLDEN, PHOTOS) if not path.is_dir()]
    if missing:
        print(f"backward_precision: skipped, there is no {missing[0]}")
        return
    context = multiprocessing.get_context("spawn")  # TVM's threads do not outlive a fork
    with tempfile.TemporaryDirectory() as name, ProcessPoolExecutor(2, context) as pool:
        keys = list(product(CASES, FORMATS))
        futures = {key: pool.submit(footprint, *key, Path(name)) for key in keys}
        accounts = {case: {f: futures[case, f].result() for f in FORMATS} for case in CASES}
        training = train_all(pool, Path(name))
    for formats in accounts.values():
        exact = formats["float32"]["gradients"]
        for found in formats.values():
            found["cosine"] = compared(found.pop("gradients"), exact)
    show(accounts, training)
    text = json.dumps({**provenance(), "accounts": accounts, "training": training}, indent=1)
    one_line = re.sub(r"\[[^][{}]*\]", lambda match: " ".join(match[0].split()), text)
    output.write_text(one_line + "\n")
    draw(training, output.with_suffix(".png"))


if __name__ == "__main__":
    main()
