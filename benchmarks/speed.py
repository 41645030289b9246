"""Guest instructions of training, forward and single operators on emulated Cortex-M cores.

MCUNet with the published 49 KB scheme of Lin et al. 2022, whole and op by op; int8 operators on
their own, beside plain loops over the same work; two networks of MLPerf Tiny. Compiled with -O3;
every figure is deterministic. What other systems take cannot be built here: it is quoted, with its
source.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from instruments.operators import OPERATORS, write_model
from instruments.plot import draw
from instruments.profile import KEEP_APART, Counts, count, layer_kinds, op_rows
from instruments.provenance import provenance
from memory import BOARD, CLASSES, HERE, MODELS, compiler, model_of, table
from rich.console import Console
from rich.progress import track

import tvm_ondevice_train as odt
from relay_passes.memory.step import prediction
from tvm_ondevice_train.boards import board as find_board
from tvm_ondevice_train.device import Session, build
from tvm_ondevice_train.losses import LABEL
from tvm_ondevice_train.manifest import Manifest, Target
from tvm_ondevice_train.project import generate_project
from tvm_ondevice_train.tensor_spec import TensorSpec

NETWORK, SCHEME = "mcunet-5fps", HERE / "schemes/mcunet-5fps-49kb.json"
MLPERF = MODELS.parent / "mlperf_tiny"
NAIVE = HERE / "instruments/naive"
OUTPUT = HERE / "speed.json"
FORMATS = ("int16", "float32", "bfloat16", "float8")
VARIANTS = {"prefer speed": {"prefer": "speed"}, "untuned": {"tuning": "none"}}  # of the first
M55 = {"board": "mps3-an547", "sram_bytes": 4 << 20}

PEER = "TinyEngine's 49 KB demo, residual gradients missing, gcc 12.2 {}: measured elsewhere"
PEER, PEER_ADD = PEER.format("-Ofast"), PEER.format("-O3")
CMSIS = "CMSIS-NN 2026-07, gcc 12.2 at its best flags, Cortex-M7: measured elsewhere"
CMSIS_PER_MAC = {"1x1": 2.24, "depthwise": 7.93, "kxk": 1.93, "dense": 2.24}  # dense: as 1x1
# row -> (reference, where it comes from, must, goal), in the unit of the row
TARGETS = {
    "step": (106_400_000, PEER, 61_000_000, 45_000_000),
    "forward": (65_000_000, PEER, 44_000_000, 33_000_000),
    "backward and update": (41_300_000, PEER, 17_000_000, 12_000_000),
    "1x1 16x16x48->96": (2.24, CMSIS, 2.0, 1.5),
    "depthwise 3x3 16x16x96": (7.93, CMSIS, 6.5, 4.5),
    "3x3 16x16x32->32": (1.93, CMSIS, 1.9, 1.5),
    "residual add 16x16x48": (77, PEER_ADD, 15, 8),
}


def row(name: str, instructions: int, target: tuple = (), **work: int) -> dict:
    """A line of the table. work: macs or elements, if the target is for each of them.

    `met` is "goal", "must" or "no", None where nothing is asked for.
    """
    reference, source, must, goal = target or (None,) * 4
    unit, amount = next(iter(work.items()), ("instructions", 1))
    value = instructions / amount
    met = None
    if must is not None:
        met = "goal" if value <= goal else "must" if value <= must else "no"
    return {
        "name": name,
        "instructions": instructions,
        "macs": work.get("macs"),
        "per_mac": round(value, 3) if unit == "macs" else None,
        "elements": work.get("elements"),
        "per_element": round(value, 3) if unit == "elements" else None,
        "reference": reference,
        "source": source,
        "must": must,
        "goal": goal,
        "met": met,
    }


def training(backward: str, board: dict, variant: str = "", **options) -> dict:
    """MCUNet's step: its three rows, its ops, and what the firmware needs.

    variant : what `options` of `compile` are called in the table.
    """
    model = model_of(NETWORK)
    options |= {"classes": CLASSES, "scheme": SCHEME, "backward": backward, **board}
    compiled = odt.compile(MODELS / f"{NETWORK}-c17.onnx", **options)
    counts = count(compiled)
    core = find_board(compiled.board.name).cpu
    name = f"MCUNet 49 KB, {backward}{variant}, {core}"
    parts = {
        "step": counts.train,
        "forward": counts.predict,
        "backward and update": counts.train - counts.predict,
    }
    rows = [row(f"{name}: {part}", total, TARGETS[part]) for part, total in parts.items()]
    program = compiled.planned.train.step
    ops = op_rows(program, counts.calls["train"], layer_kinds(model))
    return {"rows": rows, "networks": {name: network(counts, ops)}}


def network(counts: Counts, ops: list[dict]) -> dict:
    """The totals and the table of one network."""
    totals = {
        "instructions_step": counts.train,
        "instructions_forward": counts.predict,
        "instructions_step_kernels_apart": counts.apart["train"],
        "instructions_forward_kernels_apart": counts.apart["predict"],
        "flash_bytes": counts.flash_bytes,
    }
    return {**totals, "ops": ops}


def mlperf(name: str, file: str) -> dict:
    """A network's prediction beside the sum of CMSIS-NN's figures over its layers."""
    compiled = odt.compile(MLPERF / file, scheme="head", head="int8", prefer="speed", **BOARD)
    counts = count(compiled)
    program = prediction(compiled.planned.evaluate.step)
    ops = op_rows(program, counts.calls["predict"], layer_kinds(odt.load(MLPERF / file)))
    known = sum(op["macs"] * CMSIS_PER_MAC[op["group"]] for op in ops if op["macs"])
    source = f"{CMSIS}, sum of its figures per MAC over the layers"
    name = f"MLPerf Tiny {name}"
    target = (round(known), source, round(known), round(0.75 * known))
    rows = [row(f"{name}: forward", counts.predict, target)]
    return {"rows": rows, "networks": {name: network(counts, ops)}}


def operator(name: str) -> dict:
    """One operator's kernel, in the middle of a prediction."""
    with tempfile.TemporaryDirectory() as scratch:
        path = write_model(OPERATORS[name], Path(scratch, "operator.onnx"))
        compiled = odt.compile(path, scheme="head", prefer="speed", **BOARD)
    kinds = [op.kind for op in prediction(compiled.planned.evaluate.step).tasks]
    if OPERATORS[name].add:
        measured = slice(kinds.index("qadd"), kinds.index("qadd") + 1)
    else:
        measured = slice(kinds.index("qmean"))  # all that comes before the mean
    total = sum(count(compiled).calls["predict"][measured])
    return {"rows": [row(name, total, TARGETS[name], **work_of(name))]}


def work_of(name: str) -> dict[str, int]:
    """The MACs of a convolution, padding counted; the elements of an add."""
    op = OPERATORS[name]
    elements = op.size**2 * op.outputs
    taps = op.kernel**2 * (1 if op.depthwise else op.channels)
    return {"elements": elements} if op.add else {"macs": elements * taps}


def naive() -> dict:
    """The same operators as plain loops, compiled and counted in the same way."""
    functions = ("conv_1x1", "conv_depthwise", "conv_3x3", "residual_add")
    files = {name: (NAIVE / name).read_text() for name in ("model.c", "model.h")}
    manifest = Manifest(
        model="naive",
        model_hash=0,
        scheme="none",
        board=BOARD["board"],
        loss="of no model",
        classes=1,
        input=TensorSpec((1, 16, 16, 96), "int8"),
        output_shape=(1, 1),
        target=Target(LABEL, (1,)),
        trained_parameters={},
        stack_bytes=8192,
    )
    with tempfile.TemporaryDirectory() as scratch:
        project = Path(scratch, "project")
        generate_project(files, manifest, find_board(BOARD["board"]), "baremetal", project)
        build(project, KEEP_APART)
        with Session(project, kernels=functions) as device:
            device.predict(np.random.default_rng(0).integers(-128, 128, (16, 16, 96), np.int8))
    totals = dict(device.calls["predict"])
    rows = [
        row(f"plain C, {name}", totals[function], **work_of(name))
        for name, function in zip(OPERATORS, functions, strict=True)
    ]
    return {"rows": rows}


def cases() -> dict:
    """Name -> function without arguments; those whose models are not there left out."""
    chosen = {}
    if MODELS.is_dir():
        chosen = {f"step {name}": partial(training, name, BOARD) for name in FORMATS}
        for variant, options in VARIANTS.items():
            chosen[f"step {variant}"] = partial(
                training, FORMATS[0], BOARD, f" ({variant})", **options
            )
        chosen["step cortex-m55"] = partial(training, FORMATS[0], M55)
    chosen |= {f"operator {name}": partial(operator, name) for name in OPERATORS}
    chosen["operator plain C"] = naive
    if MLPERF.is_dir():
        chosen["forward VWW"] = partial(mlperf, "VWW", "vww_96_int8.tflite")
        chosen["forward KWS"] = partial(mlperf, "KWS", "kws_ref_model.tflite")
    return chosen


def gathered(results: list[dict]) -> dict:
    """All rows and networks; the Cortex-M55's are compared with the Cortex-M7's."""
    rows = [line for result in results for line in result["rows"]]
    found = {line["name"]: line["instructions"] for line in rows}
    for index, line in enumerate(rows):
        if "cortex-m55" in line["name"]:
            base = found.get(line["name"].replace("cortex-m55", "cortex-m7"))
            step = base and line["name"].endswith(": step")
            limits = (round(0.5 * base), round(0.3 * base)) if step else (None, None)
            target = (base, "the same on the Cortex-M7", *limits) if base else ()
            rows[index] = row(line["name"], line["instructions"], target)
    networks = [result["networks"] for result in results if "networks" in result]
    return {
        "compiler": compiler(),
        "flags_kernels_apart": KEEP_APART,
        "rows": rows,
        "networks": {name: value for part in networks for name, value in part.items()},
    }


def show(console: Console, rows: list[dict]) -> None:
    """The table of rows, as far as it fits a terminal."""
    lines = table(
        "guest instructions", "in all", "per MAC", "per element", *"reference must goal met".split()
    )
    for line in rows:
        numbers = [line[key] for key in ("per_mac", "per_element", "reference", "must", "goal")]
        texts = ["" if number is None else f"{number:,}" for number in numbers]
        lines.add_row(line["name"], f"{line['instructions']:,}", *texts, line["met"] or "")
    console.print(lines)


def json_text(content: dict) -> str:
    """JSON with each row and each op on a line of its own."""
    text = json.dumps({**content, "rows": [], "networks": {}}, indent=1)
    lines = ",\n  ".join(map(json.dumps, content["rows"]))
    text = text.replace('"rows": []', f'"rows": [\n  {lines}\n ]')
    parts = []
    for name, value in content["networks"].items():
        head = json.dumps({**value, "ops": []})[: -len("[]}")]
        ops = ",\n   ".join(map(json.dumps, value["ops"]))
        parts.append(f"{json.dumps(name)}: {head}[\n   {ops}\n  ]}}")
    networks = ",\n  ".join(parts)
    return text.replace('"networks": {}', f'"networks": {{\n  {networks}\n }}') + "\n"


def run_case(case) -> dict:
    return case()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help='cases whose name holds this: "operator 1x1"')
    parser.add_argument(
        "--output", type=Path, help="default: speed.json; no file if not all cases run"
    )
    options = parser.parse_args()
    known = cases()
    names = [name for name in known if options.only in name]
    if not names:
        parser.error(f"no case is called {options.only}; there are {', '.join(known)}")
    if not (MODELS.is_dir() and MLPERF.is_dir()):
        print(f"speed: some cases are skipped, there are no models in {MODELS.parent}")
    console = Console(markup=False, highlight=False)
    console.width = max(console.width, 160)
    context = multiprocessing.get_context("spawn")  # TVM's threads do not outlive a fork
    with ProcessPoolExecutor(2, context) as pool:
        running = pool.map(run_case, [known[name] for name in names])
        content = gathered(list(track(running, "speed", len(names), console=console)))
    show(console, content["rows"])
    whole = MODELS.is_dir() and MLPERF.is_dir() and not options.only
    output = options.output or (OUTPUT if whole else None)
    if output:
        output.write_text(json_text({**provenance(), **content}))
        if content["networks"]:
            draw(*next(iter(content["networks"].items())), output.with_suffix(".png"))


if __name__ == "__main__":
    main()
