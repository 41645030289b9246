"""Guest instructions of a compiled model: of the firmware as built, and of each of its kernels.

Kernels are static functions that are mostly called once, so the compiler inlines them. For the
second figure the firmware is built again with `KEEP_APART`; `Counts.apart` tells what that changes.
"""

from __future__ import annotations

import re
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from relay_passes.graph import bindings_of, op_name, shape_of
from relay_passes.memory.step import Step, Task
from tvm_ondevice_train.compiler import CompiledModel
from tvm_ondevice_train.device import Session, build, sizes
from tvm_ondevice_train.model import Model

KEEP_APART = (
    "-fno-inline-functions-called-once -fno-inline-small-functions -fno-inline-functions "
    "-fno-partial-inlining -fno-ipa-icf"
)
STEPS = 3
_CALL = re.compile(r"/\* op \d+, [^\n]*\*/\n\s*(\w+)\(")  # each call is headed by its op


@dataclass(frozen=True)
class Counts:
    """Guest instructions of one training step and of one prediction, the mean of `STEPS`.

    train, predict : of the firmware as a user builds it, `flash_bytes` large.
    apart : of both, with the kernels kept apart.
    calls : of both ("train" and "predict"), what each op took, callees and all.
    """

    train: int
    predict: int
    flash_bytes: int
    apart: dict[str, int]
    calls: dict[str, list[int]]


def count(compiled: CompiledModel) -> Counts:
    """Train and predict `STEPS` times with each of the two firmwares."""
    functions = called_functions(compiled.files["model.c"])
    with tempfile.TemporaryDirectory() as scratch:
        project = compiled.save(Path(scratch, "as-built"))
        flash_bytes = sizes(build(project)).flash_bytes
        with Session(project) as device:
            _work(device)
        project = compiled.save(Path(scratch, "apart"))
        build(project, KEEP_APART)
        names = {name for calls in functions.values() for name in calls}
        with Session(project, kernels=names) as apart:
            _work(apart)
    for kind, expected in functions.items():
        found = [name for name, _ in apart.calls[kind]]
        assert found == expected, f"{kind}: the calls that were counted are not those of model.c"
    mean = {kind: _mean(total) for kind, (_, total) in device.counts.items()}
    return Counts(
        **mean,
        flash_bytes=flash_bytes,
        apart={kind: _mean(total) for kind, (_, total) in apart.counts.items()},
        calls={kind: [_mean(total) for _, total in calls] for kind, calls in apart.calls.items()},
    )


def called_functions(model_c: str) -> dict[str, list[str]]:
    """The kernels that a step ("train") and a prediction ("predict") call, one for each op."""
    calls, entries = defaultdict(list), {"odt_train_step": "train", "forward": "predict"}
    for body in re.split(r"^(?:static void|int) (?=\w+\()", model_c, flags=re.MULTILINE)[1:]:
        kind = entries.get(body.partition("(")[0])
        if kind:
            calls[kind] = _CALL.findall(body)
    return dict(calls)


def _work(device: Session) -> None:
    manifest, generator = device.manifest, np.random.default_rng(0)
    for _ in range(STEPS):
        sample = generator.integers(-128, 128, manifest.sample_shape, np.int8)
        device.train(sample, int(generator.integers(manifest.classes)))
        device.predict(sample)


def _mean(total: int) -> int:
    return round(total / STEPS)


def layer_kinds(model: Model) -> dict[str, str]:
    """Layer -> "1x1", "depthwise", "kxk" or "dense" (1x1 on a single pixel)."""
    convolutions = [
        binding
        for binding in bindings_of(model.module["main"])
        if op_name(binding.value) in ("relax.nn.conv2d", "relax.matmul")
    ]
    return {
        layer.name: _kind(binding)
        for layer, binding in zip(model.layers, convolutions, strict=True)
    }


def _kind(binding) -> str:
    call = binding.value
    if op_name(call) == "relax.matmul" or shape_of(binding.var)[2:] == (1, 1):
        return "dense"
    if int(call.attrs.groups) > 1:
        return "depthwise"
    return "1x1" if shape_of(call.args[1])[2:] == (1, 1) else "kxk"


def op_rows(program: Step, instructions: list[int], kinds: dict[str, str]) -> list[dict]:
    """The table of a program: a row for each op, in execution order."""
    backward = backward_ops(program)
    return [
        {
            "name": op.name,
            "pass": "backward" if index in backward else "forward",
            "group": group(op, kinds),
            "instructions": executed,
            "macs": op.kernel.macs,
            "per_mac": round(executed / op.kernel.macs, 3) if op.kernel.macs else None,
        }
        for index, (op, executed) in enumerate(zip(program.tasks, instructions, strict=True))
    ]


def backward_ops(program: Step) -> set[int]:
    """Indices of the ops that depend on the target and that the loss does not depend on."""
    before = {program.results[0]}
    for op in reversed(program.tasks):
        if before & {*op.outputs}:
            before |= {*op.inputs}
    behind = {t for op in program.tasks for t in op.inputs if t.role == "target"}
    found = set()
    for index, op in enumerate(program.tasks):
        if behind & {*op.inputs}:
            behind |= {*op.outputs}
            if not before & {*op.outputs}:
                found.add(index)
    return found


def group(op: Task, kinds: dict[str, str]) -> str:
    """What sort of work an op is: its layer's kind for a convolution, else what it computes."""
    layer = kinds.get(op.name.partition(":")[0], "")
    if "weight_grad" in op.kind:
        return f"weight gradient {layer}"
    if "input_grad" in op.kind:
        return f"data gradient {layer}"
    if op.kernel.macs:
        return layer
    for part, name in (("qadd", "add"), ("sgd", "update"), ("sum", "sum")):
        if part in op.kind:
            return name
    return "other"
