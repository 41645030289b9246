"""What a training step needs on a microcontroller: by formula, as planned, and measured.

Three ImageNet models of Lin et al. 2022, int8, 128x128, batch 1, a fresh head of 10 classes; their
published schemes and some simple ones. Each is compiled for an emulated Cortex-M7 and trained there
for three steps. Bytes, KB = 1024 bytes; everything but the seconds is deterministic.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import tvm
from instruments.extra_memory import extra_memory
from instruments.provenance import provenance
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import track
from rich.table import Table
from tvm import relax

import tvm_ondevice_train as odt
from relay_passes.graph import ALIGN, Renamer, bindings_of
from relay_passes.memory.read_step import read_step
from relay_passes.pipeline import STEP_ROLES, training_passes
from tvm_ondevice_train.codegen.planned_step import PlannedStep, plan_step
from tvm_ondevice_train.compiler import CompiledModel
from tvm_ondevice_train.device.build import build, sizes
from tvm_ondevice_train.device.toolchain import run_tool
from tvm_ondevice_train.fresh_head import replace_head
from tvm_ondevice_train.model import Model
from tvm_ondevice_train.scheme.sliced_model import slice_model
from tvm_ondevice_train.scheme.update_scheme import resolve
from tvm_ondevice_train.training_graph import loss_module

HERE = Path(__file__).resolve().parent
MODELS = HERE.parents[1] / "shared/models/mcunet_int8"
OUTPUT = HERE / "memory.json"
CLASSES = 10
BOARD = {"board": "mps2-an500", "sram_bytes": 4 << 20}  # all it has, so that nothing is refused
STEPS = 3
KB = 1024

SCHEMES_KB = {  # extra memory by the formula, as Lin et al. 2022 published it
    "mcunet-5fps": {"49kb": 49.8, "74kb": 74.8, "100kb": 99.8, "124kb": 125.0, "148kb": 148.4},
    "mbv2-w0.35": {"49kb": 49.8, "73kb": 73.9, "99kb": 99.4, "123kb": 123.6, "138kb": 138.2},
    "proxyless-w0.3": {"49kb": 49.7, "74kb": 74.9, "98kb": 98.5, "120kb": 120.2, "148kb": 148.2},
}
BASELINES_KB = {
    "mcunet-5fps": {"last:3": 176.4, "last:6": 276.3, "last:12": 448.0, "full": 1400},
    "mbv2-w0.35": {"last:3": 74.2, "last:6": 129.5, "last:12": 223.7, "full": 1306},
    "proxyless-w0.3": {"last:3": 96.5, "last:6": 139.3, "last:12": 266.4, "full": 1211},
}
OTHERS = {"bias:12": None, "head": None}
PUBLISHED_KB = {n: schemes | BASELINES_KB[n] | OTHERS for n, schemes in SCHEMES_KB.items()}
# What must come out. The backward's are calculated from its tensors' sizes, layer by layer.
LIMITS = {
    "mcunet-5fps/100kb": {"peak_kb": 242, "backward_kb": 98.0, "compile_seconds": 60},
    "mcunet-5fps/49kb": {"peak_kb": 202, "backward_kb": 88.7},
    "proxyless-w0.3/98kb": {"peak_kb": 214, "backward_kb": 74.4},
    "mbv2-w0.35/99kb": {"peak_kb": 305, "backward_kb": 82.5},
}
RUN = ("peak_sram_bytes", "stack_bytes", "flash_bytes")
RUN += ("instructions_per_step", "instructions_forward")


@tvm.transform.module_pass(opt_level=0, name="HoldGradients")
class HoldGradients:
    """A step whose results are the gradients in the place of the updated parameters.

    So each gradient is computed and held to the end, where its update would read it: nothing but
    the gradient needs room in the arena for that.
    """

    def transform_module(self, module: tvm.IRModule, _context) -> tvm.IRModule:
        function = module["main"]
        values = {b.var: b.value for b in bindings_of(function)}
        loss, *updated = values.get(function.body.body, function.body.body).fields
        builder, renamed = relax.BlockBuilder(), Renamer({})
        with builder.function("main", function.params):
            with builder.dataflow():
                for binding in bindings_of(function):
                    renamed.vars[binding.var] = builder.emit(renamed(binding.value))
                results = [loss, *(values[var].args[1] for var in updated)]
                results = [builder.emit_output(renamed(var)) for var in results]
            builder.emit_func_output(relax.Tuple(results))
        return relax.transform.DeadCodeElimination()(builder.get())


@cache
def model_of(network: str) -> Model:
    """The model with its fresh head."""
    model = odt.load(MODELS / f"{network}-c17.onnx")
    return replace_head(model, odt.Options(classes=CLASSES))


def run_case(name: str) -> dict:
    """Every figure of the case called "network/scheme"."""
    network, scheme = name.split("/")
    published = PUBLISHED_KB[network][scheme]
    if scheme in SCHEMES_KB[network]:
        scheme = str(HERE / f"schemes/{network}-{scheme}.json")
    start = time.perf_counter()
    compiled = odt.compile(MODELS / f"{network}-c17.onnx", classes=CLASSES, scheme=scheme, **BOARD)
    seconds = round(time.perf_counter() - start, 1)
    report = compiled.report
    source = compiled.planned
    bare = replace(source.train.step, rollback=False, peak_bytes=None)
    step, evaluation = plan_step(bare), source.evaluate
    stages, order = planned_stages(network, scheme, compiled, step)
    arena = stages["+ in place"]["arena_bytes"]
    bound = max(planned.plan.lower_bound_bytes for planned in (step, evaluation))
    formula = extra_memory(model_of(network), scheme).total_bytes
    result = {
        "formula": {"bytes": formula, "kb": round(formula / KB, 1), "published_kb": published},
        "trainable_state_bytes": report["trainable_state_bytes"],
        "planned": stages,
        "arena_lower_bound_bytes": bound,
        "gap_bytes": arena - bound,
        "rollback_bytes": report["arena_bytes"] - arena,
        "order": order,
        "measured": measured(compiled),
        "compile_seconds": seconds,
    }
    return {**result, "limits": limits(name, result)}


def planned_stages(
    network: str, scheme: str, compiled: CompiledModel, step: PlannedStep
) -> tuple[dict, dict]:
    """(the account after each stage, what ReorderForMemory says of its order).

    step : the compiled step, planned without what it keeps to take an update back.
    """
    model = model_of(network)
    sliced = slice_model(model, resolve(scheme, model.layers))
    passes = training_passes(list(sliced.slices), backward=compiled.report["backward"])
    lowered = partial(lowered_step, sliced.model, passes)
    ordered = lowered()
    modules = {
        "sparse": lowered(without=("odt.EliminateDeadGradients", "odt.ReorderForMemory")),
        "+ dead gradients": lowered(without=("odt.ReorderForMemory",)),
        "+ reorder": ordered,
    }
    stages = {"none": unpruned(network)}
    stages |= {stage: account(own_places(m), compiled) for stage, m in modules.items()}
    stages["+ in place"] = account(step, compiled)
    attributes = ordered["main"].attrs
    return stages, {
        "method": str(attributes["order_method"]),
        "peak_bytes": int(attributes["peak_bytes"]),
        "lower_bound_bytes": int(attributes["peak_lower_bound_bytes"]),
    }


@cache
def unpruned(network: str) -> dict:
    """The account of a step that computes and holds the gradient of every parameter."""
    model = model_of(network)
    parameters = [name for layer in model.layers for name in layer.parameters]
    differentiate, *rest = training_passes(parameters)
    passes = [differentiate, HoldGradients(), *rest]
    module = lowered_step(
        model, passes, without=("odt.EliminateDeadGradients", "odt.ReorderForMemory")
    )
    return account(own_places(module), odt.compile(model, scheme="full", **BOARD))


def lowered_step(model: Model, passes, without: tuple[str, ...] = ()) -> tvm.IRModule:
    """The training step after `passes`, those called `without` left out."""
    chosen = [p for p in passes if p.info.name not in without]
    return tvm.transform.Sequential(chosen)(loss_module(model, "cross_entropy"))


def own_places(module: tvm.IRModule) -> PlannedStep:
    """The plan of a step in which no result takes the place of an operand."""
    return plan_step(read_step(module, STEP_ROLES), in_place=False)


def account(step: PlannedStep, compiled: CompiledModel) -> dict:
    """Arena and peak SRAM of `compiled` if `step` were its training step.

    And the most bytes live in the arena, and where, up to the loss and from its gradient on.
    """
    report, ops = compiled.report, step.step.tasks
    arena = max(step.plan.total_bytes, compiled.planned.evaluate.plan.total_bytes)
    live = [0] * len(ops)
    for first, last, low, high in (phase for b in step.buffers for phase in b.phases):
        for index in range(first, last + 1):
            live[index] += high - low
    loss = next(i for i, op in enumerate(ops) if any(t.role == "target" for t in op.inputs))

    def peak(indices: range) -> dict:
        index = max(indices, key=live.__getitem__)
        return {"peak_bytes": live[index], "op": ops[index].name}

    return {
        "arena_bytes": arena,
        "peak_bytes": arena + report["peak_sram_bytes"] - report["arena_bytes"],
        "forward": peak(range(loss)),
        "backward": peak(range(loss, len(ops))),
    }


def measured(compiled: CompiledModel) -> dict:
    """What linker and emulator say of the firmware; the report must be right to the byte."""
    report = compiled.report
    generator = np.random.default_rng(0)
    x = generator.integers(-128, 128, (STEPS, *compiled.manifest.sample_shape), np.int8)
    with tempfile.TemporaryDirectory() as scratch:
        project, samples = Path(scratch, "project"), Path(scratch, "samples.npz")
        compiled.save(project)
        np.savez(samples, x=x, y=generator.integers(0, CLASSES, STEPS))
        run = odt.run_project(project, samples, steps=STEPS, schedule="constant")
        linked = sizes(build(project))
    before_arena = linked.state_bytes + linked.other_bytes
    alignment = -before_arena % ALIGN
    linked_bytes = before_arena + alignment + linked.arena_bytes + linked.stack_bytes
    unused_stack = run["stack_reserved_bytes"] - run["stack_bytes"]
    for found in (linked_bytes, run["peak_sram_bytes"] + unused_stack + alignment):
        assert found == report["peak_sram_bytes"], f"{found}, not {report['peak_sram_bytes']} bytes"
    linker = {"linked_sram_bytes": linked_bytes, "alignment_bytes": alignment}
    return linker | {name: run[name] for name in RUN}


def compiler() -> str:
    """Which compiler the measured figures depend on."""
    return run_tool(["arm-none-eabi-gcc", "--version"]).stdout.splitlines()[0]


def limits(name: str, result: dict) -> dict:
    """What the case must keep to, what it has, and whether that is met."""
    final = result["planned"]["+ in place"]
    found = {
        "peak_kb": final["peak_bytes"] / KB,
        "backward_kb": final["backward"]["peak_bytes"] / KB,
        "compile_seconds": result["compile_seconds"],
    }
    return {
        what: {"limit": limit, "found": round(found[what], 1), "met": found[what] <= limit}
        for what, limit in LIMITS.get(name, {}).items()
    }


def show(console: Console, cases: dict[str, dict]) -> None:
    """Three tables: memory by stage, what was measured, and the limits."""
    stages = next(iter(cases.values()))["planned"]
    parts = ("state", "forward", "backward", "gap", "rollback", "order")
    memory = table("planned, KB", "formula", "published", *stages, *parts)
    headings = ("SRAM, linked", "used", "stack", "flash", "instructions, step", "prediction")
    device = table("measured, bytes", *headings, "compile, s")
    limited = table("limits", "what", "found", "limit", "met")
    for name, case in cases.items():
        memory.add_row(name, *memory_cells(case))
        run = [f"{case['measured'][figure]:,}" for figure in ("linked_sram_bytes", *RUN)]
        device.add_row(name, *run, f"{case['compile_seconds']}")
        for what, row in case["limits"].items():
            met = "yes" if row["met"] else "NO"
            limited.add_row(name, what, f"{row['found']}", f"{row['limit']}", met)
    for shown in filter(lambda table: table.rows, (memory, device, limited)):
        console.print(shown, "")


def memory_cells(case: dict) -> list[str]:
    """A row of the first table; the peaks of forward and backward are of the arena alone."""
    formula, final = case["formula"], case["planned"]["+ in place"]
    sizes = [stage["peak_bytes"] for stage in case["planned"].values()]
    sizes.append(case["trainable_state_bytes"])
    sizes += [final[half]["peak_bytes"] for half in ("forward", "backward")]
    texts = [f"{formula['kb']}", f"{formula['published_kb'] or ''}"]
    texts += [f"{size / KB:,.1f}" for size in sizes]
    texts += [f"{case['gap_bytes']}", f"{case['rollback_bytes'] / KB:,.1f}"]
    return [*texts, case["order"]["method"]]


def table(*headings: str) -> Table:
    """An empty table of numbers whose first column holds names."""
    result = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for index, heading in enumerate(headings):
        text = heading.replace("_", " ")
        result.add_column(text, justify="right" if index else "left", no_wrap=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="cases whose name holds this: mcunet-5fps/100kb")
    parser.add_argument("--output", type=Path, help="default: memory.json; with --only, no file")
    options = parser.parse_args()
    if not MODELS.is_dir():
        print(f"memory: skipped, there are no models in {MODELS}")
        return
    cases = [f"{network}/{name}" for network, known in PUBLISHED_KB.items() for name in known]
    names = [name for name in cases if options.only in name]
    if not names:
        parser.error(f"no case is called {options.only}; there are {', '.join(cases)}")
    console = Console(markup=False, highlight=False)
    console.width = max(console.width, 160)
    context = multiprocessing.get_context("spawn")  # TVM's threads do not outlive a fork
    with ProcessPoolExecutor(2, context) as pool:
        results = track(pool.map(run_case, names), "memory", len(names), console=console)
        cases = dict(zip(names, results, strict=True))
    show(console, cases)
    output = options.output or (None if options.only else OUTPUT)
    if output:
        content = {**provenance(), "compiler": compiler(), "cases": cases}
        output.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
