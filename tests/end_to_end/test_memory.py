"""The memory account of a report against the program that was built and what it used."""

import re
from pathlib import Path

import numpy as np
import pytest
from shared import needs_models, slow, slow_after
from tiny_models import compiled, model

import tvm_ondevice_train as odt
from tvm_ondevice_train.device import Session, build, sizes
from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.losses import LABEL
from tvm_ondevice_train.memory_plan import check_plan
from tvm_ondevice_train.project import read_report

MCUNET = "mcunet_int8/mcunet-5fps.onnx"
TINY = [
    ("cnn", "full", None),
    ("cnn_int8", "full", None),
    ("cnn_int8", "head", 5),
    ("autoencoder", "full", None),
]
REAL = [
    ("mlperf_tiny/kws_ref_model.tflite", "full", None),
    ("mlperf_tiny/vww_96_int8.tflite", "bias:4", 5),
    (MCUNET, "head", 10),
    (MCUNET, "bias:12", 10),
]
MODELS = [*TINY, *(pytest.param(*case, marks=needs_models) for case in REAL)]
ALL_SRAM = 4 << 20
SCHEMES = Path(__file__).resolve().parents[2] / "benchmarks/schemes"
FAST = {("mcunet-5fps", "49kb")}
SAVED = [tuple(path.stem.rsplit("-", 1)) for path in sorted(SCHEMES.glob("*.json"))]
BENCHMARK = {
    ("mcunet-5fps", "last:3"),
    *SAVED,
    *((net, scheme) for net, _ in SAVED for scheme in ("head", "full")),
}


def roomy(kind, scheme, classes):
    return compiled(kind, scheme, classes=classes, sram_bytes=ALL_SRAM)


def one_step(device):
    """A training step and a prediction on a sample of zeros."""
    manifest = device.manifest
    x = np.zeros(manifest.sample_shape, manifest.input.dtype)
    target = manifest.target
    y = 0 if target.kind == LABEL else np.zeros(target.shape[1:], np.float32)
    device.train(x, y)
    device.predict(x)
    return device.stats()


@pytest.mark.parametrize(
    ("kind", "scheme", "classes"),
    [
        *slow_after(1, [TINY[1], TINY[0], *TINY[2:]]),
        *(pytest.param(*case, marks=[needs_models, slow]) for case in REAL[:-1]),
        pytest.param(*REAL[-1], marks=needs_models),
    ],
)
def test_the_report_bounds_what_the_device_uses(kind, scheme, classes, tmp_path):
    compiled_model = roomy(kind, scheme, classes)
    project = compiled_model.save(tmp_path / "project")
    report = read_report(project)
    found = sizes(build(project))
    assert found.arena_bytes == report["arena_bytes"]
    assert found.state_bytes == report["trainable_state_bytes"]
    assert found.other_bytes <= report["static_bytes"]
    assert found.stack_bytes == report["stack_bytes"]
    assert report["flash_holds_code"] and found.flash_bytes == report["flash_bytes"]
    code = {"flash_bytes": found.flash_bytes, "flash_holds_code": True}
    assert report == compiled_model.report | code
    with Session(project) as device:
        stats = one_step(device)
    assert stats["stack_used"] < stats["stack_reserved"]
    parts = ("arena_bytes", "state_bytes", "static_bytes", "stack_used")
    peak = sum(stats[part] for part in parts)
    # Unused stack and the arena's alignment are all that the account may have too much.
    spare = stats["stack_reserved"] - stats["stack_used"] + 32
    assert report["peak_sram_bytes"] - spare <= peak <= report["peak_sram_bytes"]


@pytest.mark.parametrize(("kind", "scheme", "classes"), MODELS)
def test_no_buffer_is_overwritten_while_it_is_needed(kind, scheme, classes):
    """The planner's own checker, and one that knows no live ranges: it replays the program."""
    source = roomy(kind, scheme, classes).planned
    for planned in (source.train, source.evaluate):
        check_plan(planned.buffers, planned.plan)
        assert planned.plan.total_bytes <= source.arena_bytes
        replay(planned, source)


@needs_models
@pytest.mark.parametrize(
    ("net", "scheme"),
    [pytest.param(*c, marks=() if c in FAST else pytest.mark.slow) for c in sorted(BENCHMARK)],
)
def test_the_arena_is_no_larger_than_the_peak_that_the_order_proves(net, scheme):
    """What rollback keeps is in that; of each network the schemes of its benchmark."""
    path = SCHEMES / f"{net}-{scheme}.json"
    options = {"scheme": path if path.exists() else scheme, "classes": 10, "sram_bytes": ALL_SRAM}
    compiled_model = odt.compile(model(f"mcunet_int8/{net}-c17.onnx"), **options)
    source, report = compiled_model.planned, compiled_model.report
    for planned in (source.train, source.evaluate):
        assert planned.step.peak_bytes == planned.plan.lower_bound_bytes
    assert source.train.step.rollback and source.train.step.backups
    peak = max(planned.step.peak_bytes for planned in (source.train, source.evaluate))
    assert report["arena_bytes"] == report["arena_lower_bound_bytes"] == peak


def replay(planned, source):
    """Each op finds what it reads as its writer left it, then marks the bytes that it writes."""
    arena = np.full(source.arena_bytes, "", object)

    def span(tensor):
        offset = planned.offset(tensor)
        assert 0 <= offset <= source.arena_bytes - tensor.size_bytes
        return slice(offset, offset + tensor.size_bytes)

    def check(tensors, op):
        for tensor in tensors:
            assert (arena[span(tensor)] == tensor.name).all(), (op.name, tensor)

    inputs = [t for op in planned.step.tasks for t in op.inputs if t.role == "input"]
    assert planned.offset(inputs[0]) == planned.input_offset
    arena[span(inputs[0])] = inputs[0].name
    for index, op in enumerate(planned.step.tasks):
        reads, writes = in_arena(op.inputs), in_arena(op.outputs)
        check(reads, op)
        for tensor in writes:
            arena[span(tensor)] = tensor.name
        if op.kernel.workspace_bytes:
            offset = planned.workspace_offset(index)
            assert offset + op.kernel.workspace_bytes <= source.arena_bytes
            arena[offset : offset + op.kernel.workspace_bytes] = "scratch"
        # after the writes, so that what lies over a result, or an operand without leave, is found
        check(writes, op)
        check([t for t in reads if t not in overwritten(planned, op)], op)
        assert updates_in_place(op)
    check(in_arena(planned.step.results), op)


def in_arena(tensors):
    return [t for t in tensors if t.role in ("temporary", "input")]


def overwritten(planned, op):
    """Operands whose bytes the kernel's own result may take, where they lie as it needs them."""
    found = []
    for argument, output in op.kernel.in_place:
        operand, result = op.inputs[argument], op.outputs[output]
        places = [planned.places.get(t.name) for t in (operand, result)]
        if None not in places and places[0].buffer == places[1].buffer:
            grown = max(result.size_bytes - operand.size_bytes, 0)
            assert places[0].offset == places[1].offset + grown
            found.append(operand)
    return found


def updates_in_place(op) -> bool:
    """A parameter's update is stored over the old value: its kernel must allow that."""
    names = [t.name for t in op.inputs]
    target = op.outputs[0].name
    return not op.updates or (names.index(target), 0) in op.kernel.in_place


def refusal(kind, **options) -> str:
    with pytest.raises(OdtError) as caught:
        odt.compile(model(kind), **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("kind", "scheme", "classes"),
    [*(pytest.param(*case, marks=pytest.mark.slow) for case in TINY[:2]), *TINY[2:]],
)
def test_the_smallest_budget_that_compiles_links_and_runs(kind, scheme, classes, tmp_path):
    report = roomy(kind, scheme, classes).report
    peak, loss = report["peak_sram_bytes"], report["loss"]
    options = {"scheme": scheme, "classes": classes, "loss": loss}
    project = odt.compile(model(kind), sram_bytes=peak, **options).save(tmp_path / "project")
    with Session(project) as device:
        assert one_step(device)["steps"] == 1
    assert f" {peak:,} bytes of SRAM, 1 more than" in refusal(kind, sram_bytes=peak - 1, **options)
    constants = odt.compile(model(kind), **options).report["flash_bytes"]
    too_large = odt.compile(model(kind), flash_bytes=constants + 1000, **options)
    with pytest.raises(OdtError, match=r"exceeds the budget of mps2-an500: flash by [0-9]+ bytes"):
        too_large.save(tmp_path / "too_large")
    assert not (tmp_path / "too_large").exists()


@needs_models
@pytest.mark.parametrize(
    ("net", "scheme", "budget"),
    [
        pytest.param("mcunet-5fps", "last:20", 256 << 10, marks=pytest.mark.slow),
        ("mbv2-w0.35", "head", 192 << 10),
    ],
)
def test_a_model_that_does_not_fit_says_what_sets_the_peak_and_by_how_much(net, scheme, budget):
    kind = f"mcunet_int8/{net}.onnx"
    message = refusal(kind, scheme=scheme, classes=10, sram_bytes=budget)
    compiled_model = roomy(kind, scheme, 10)
    found = re.search(r"needs ([\d,]+) bytes of SRAM, ([\d,]+) more than the ([\d,]+)", message)
    peak, excess, named = (int(number.replace(",", "")) for number in found.groups())
    assert (peak, named) == (compiled_model.report["peak_sram_bytes"], budget)
    assert peak - excess == budget
    op = re.search(r"its peak is set by (\S+): ([\d,]+) for", message)[1]
    assert op in {entry["name"] for entry in compiled_model.report["ops"]}
