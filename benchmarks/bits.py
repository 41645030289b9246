"""Whether the code still computes the same: bits after ten steps, memory, instructions, time.

The three ImageNet models of Lin et al. 2022, int8, 128x128, with a fresh head of 10 classes, and
two of MLPerf Tiny, where ../shared has them; the network of tutorial 01; a float32 ResNet8 and a
small CNN. Each trains ten steps on noise, on this computer and on an emulated Cortex-M7. `--check`
compares with the committed file instead of writing it: other bits, a larger arena or 0.5 % more
instructions fail; seconds of compiling are shown.

To compare two commits, run this file with PYTHONPATH set to another checkout and `--output`.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from instruments.provenance import provenance
from rich.console import Console
from rich.progress import track
from rich.table import Table

import tvm_ondevice_train as odt
from tvm_ondevice_train.manifest import Manifest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
MODELS = ROOT.parent / "shared/models"
OUTPUT = HERE / "bits.json"
STEPS = 10
MORE_INSTRUCTIONS = 0.005  # so many more are no fault: another compiler version, another layout
PLATFORMS = {"host": "host", "m7": "baremetal"}
BOARD = {"board": "mps2-an500", "sram_bytes": 4 << 20, "flash_bytes": 4 << 20}  # all it has
SCHEMES = {
    "mcunet-5fps": ("49kb", "100kb"),
    "mbv2-w0.35": ("49kb", "99kb"),
    "proxyless-w0.3": ("49kb", "98kb"),
}
TINY = ("vww_96_int8", "kws_ref_model")


def cases() -> dict[str, dict]:
    """Name -> what `compile` gets; "model" is a path, or a network of this file."""
    found = {}
    if MODELS.is_dir():
        for network, published in SCHEMES.items():
            files = {name: HERE / f"schemes/{network}-{name}.json" for name in published}
            for name, scheme in {"head": "head", **files, "full": "full"}.items():
                path = MODELS / f"mcunet_int8/{network}-c17.onnx"
                found[f"{network}/{name}"] = {"model": path, "scheme": scheme, "classes": 10}
        for name in TINY:
            for scheme in ("head", "full"):
                path = MODELS / f"mlperf_tiny/{name}.tflite"
                found[f"{name}/{scheme}"] = {"model": path, "scheme": scheme, "head": "int8"}
    own = {"demo": _demo, "resnet8": _resnet8, "cnn": _cnn}
    full = {f"{name}/full": {"model": make, "scheme": "full"} for name, make in own.items()}
    full["demo/full"]["head"] = "int8"
    return found | full


def _demo(directory: Path) -> Path:
    """The network of tutorial 01 as it is before it is trained, quantized to int8."""
    path = ROOT / "tutorials/01_train_on_a_microcontroller.py"
    spec = importlib.util.spec_from_file_location("tutorial", path)
    tutorial = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tutorial)
    model = directory / "digits.onnx"
    model.write_bytes(tutorial.network().SerializeToString())
    images, _ = tutorial.digits()
    return tutorial.quantize(model, images[:200])


def _cnn(directory: Path) -> Path:
    """Float32: 3x3 convolutions of 3, 8 and 16 channels, each with a ReLU, and a classifier."""
    from torch import nn

    def network():
        stem = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU()]
        return nn.Sequential(*stem, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))

    return _exported(network, (3, 16, 16), directory / "cnn.onnx")


def _resnet8(directory: Path) -> Path:
    """Float32: the ResNet8 of MLPerf Tiny at a quarter of its width."""
    from torch import nn

    class Block(nn.Module):
        def __init__(self, inputs, outputs, stride):
            super().__init__()
            body = [nn.Conv2d(inputs, outputs, 3, stride, 1), nn.BatchNorm2d(outputs), nn.ReLU()]
            body += [nn.Conv2d(outputs, outputs, 3, 1, 1), nn.BatchNorm2d(outputs)]
            self.body = nn.Sequential(*body)
            same = inputs == outputs
            self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride)

        def forward(self, x):
            return (self.body(x) + self.shortcut(x)).relu()

    def network():
        stem = [nn.Conv2d(3, 8, 3, 1, 1), nn.BatchNorm2d(8), nn.ReLU()]
        blocks = [Block(8, 8, 1), Block(8, 16, 2), Block(16, 32, 2)]
        head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)]
        return nn.Sequential(*stem, *blocks, *head)

    return _exported(network, (3, 32, 32), directory / "resnet8.onnx")


def _exported(network, shape, path: Path) -> Path:
    import torch

    torch.manual_seed(0)
    options = {"dynamo": False, "opset_version": 17, "input_names": ["input"]}
    torch.onnx.export(network().eval(), (torch.zeros(1, *shape),), str(path), **options)
    return path


def run_case(name: str) -> dict:
    """Every figure of a case. Seconds are those of the processor, which a busy machine spares."""
    options = cases()[name]
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        model = options.pop("model")
        model = model(directory) if callable(model) else model
        started = time.process_time()
        compiled = odt.compile(model, **options, **BOARD)
        seconds = time.process_time() - started
        report = compiled.report
        figures = {
            "compile_seconds": round(seconds, 1),
            "arena_bytes": report["arena_bytes"],
            "peak_sram_bytes": report["peak_sram_bytes"],
            "source": _sha256("".join(compiled.files[f] for f in sorted(compiled.files)).encode()),
        }
        data = _noise(compiled.manifest, directory / "noise.npz")
        for kind, platform in PLATFORMS.items():
            project = compiled.save(directory / kind, platform=platform)
            run = odt.run_project(project, data, steps=STEPS, schedule="constant")
            with np.load(project / "learned.npz") as learned:
                values = b"".join(learned[key].tobytes() for key in sorted(learned))
            figures[kind] = {
                "losses": _sha256(np.array(run["losses"], np.float32).tobytes()),
                "parameters": _sha256(values),
                "last_loss": run["losses"][-1],
                "instructions_per_step": run["instructions_per_step"],
                "instructions_forward": run["instructions_forward"],
            }
    return figures


def _noise(manifest: Manifest, path: Path) -> Path:
    generator = np.random.default_rng(0)
    shape = (STEPS, *manifest.sample_shape)
    codes = manifest.input.dtype == "int8"
    x = generator.integers(-128, 128, shape) if codes else generator.normal(0, 1, shape)
    labels = generator.integers(0, manifest.classes, STEPS)
    np.savez(path, x=x.astype("int8" if codes else "float32"), y=labels)
    return path


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def faults(before: dict, after: dict) -> list[str]:
    """What got worse in a case, or other."""
    found = []
    for kind in PLATFORMS:
        found += [
            f"{kind}: other {what}"
            for what in ("losses", "parameters")
            if before[kind][what] != after[kind][what]
        ]
        for what in ("instructions_per_step", "instructions_forward"):
            then, now = before[kind][what], after[kind][what]
            if then is not None and now > then * (1 + MORE_INSTRUCTIONS):
                found.append(f"{kind}: {what} {then:,} -> {now:,}")
    if after["arena_bytes"] > before["arena_bytes"]:
        found.append(f"arena {before['arena_bytes']:,} -> {after['arena_bytes']:,}")
    return found


def show(console: Console, now: dict[str, dict], then: dict[str, dict]) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("case", "arena", "M instr. a step", "forward", "compile, s", "bits"):
        table.add_column(heading, justify="left" if heading == "case" else "right", no_wrap=True)
    for name, case in now.items():
        old = then.get(name, case)
        m7, was = case["m7"], old["m7"]
        pairs = [
            (f"{one['arena_bytes']:,}", *(f"{m[w] / 1e6:.3f}" for w in _COUNTS), f"{one[_TIME]}")
            for one, m in ((old, was), (case, m7))
        ]
        cells = [b if a == b else f"{a} -> {b}" for a, b in zip(*pairs, strict=True)]
        table.add_row(name, *cells, "; ".join(faults(old, case)) or "same")
    console.print(table)


_COUNTS, _TIME = ("instructions_per_step", "instructions_forward"), "compile_seconds"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="cases whose name holds this: cnn")
    parser.add_argument("--output", type=Path, help="default: bits.json; with --only, no file")
    parser.add_argument(
        "--check", action="store_true", help="compare with --against, write nothing"
    )
    parser.add_argument("--against", type=Path, default=OUTPUT, help="default: bits.json")
    parser.add_argument("--jobs", type=int, default=2, help="cases at once")
    options = parser.parse_args()
    names = [name for name in cases() if options.only in name]
    if not names:
        parser.error(f"no case is called {options.only}; there are {', '.join(cases())}")
    console = Console(markup=False, highlight=False)
    console.width = max(console.width, 160)
    with ProcessPoolExecutor(options.jobs, get_context("spawn")) as pool:  # TVM's threads: no fork
        results = track(pool.map(run_case, names), "bits", len(names), console=console)
        now = dict(zip(names, results, strict=True))
    known = options.check or options.against.is_file()
    then = json.loads(options.against.read_text())["cases"] if known else {}
    show(console, now, then)
    output = None if options.check or options.only else OUTPUT
    if path := options.output or output:
        content = {**provenance(), "cases": now}
        path.write_text(json.dumps(content, indent=1) + "\n")
    if options.check:
        sys.exit(any(faults(then[name], case) for name, case in now.items() if name in then))


if __name__ == "__main__":
    main()
