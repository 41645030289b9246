"""The rectangles of the picture are the plan's bytes, and the picture shows them."""

from functools import cache
from itertools import combinations

import numpy as np
import pytest
import tiny
from PIL import Image

from relay_passes.memory.step import Kernel, Step, Task, Tensor, prediction
from tvm_ondevice_train.arena_picture import COLOURS, draw_arena, memory_rectangles
from tvm_ondevice_train.codegen.planned_step import plan_step, workspace_name
from tvm_ondevice_train.steps import build_steps


@cache
def planned(quantized=True, in_place=True, training=True):
    model = tiny.network(quantized)
    train, evaluate = build_steps(model, list(model.parameters), "cross_entropy", rollback=True)
    return plan_step(train if training else prediction(evaluate), in_place)


@pytest.fixture(params=[(True, True), (True, False), (False, True), (False, False)], ids=str)
def program(request):
    """A training step, (quantized, in place)."""
    return planned(*request.param)


def test_rectangles_lie_where_the_plan_puts_their_bytes(program):
    arena = {r.name: r for r in memory_rectangles(program) if r.kind != "trained parameters"}
    live, offsets = program.step.live, program.plan.offsets
    tensors = {tensor.name for tensor in live}
    assert tensors | {name for name in offsets if name.startswith(("workspace", "backup"))} == set(
        arena
    )
    for tensor, (first, last) in live.items():
        rectangle, place = arena[tensor.name], program.places[tensor.name]
        assert rectangle.offset == offsets[place.buffer] + place.offset
        assert rectangle.size_bytes == tensor.size_bytes
        assert first <= rectangle.start <= first + 0.5
        assert last + 0.5 <= rectangle.end <= last + 1
    for index, op in enumerate(program.step.tasks):
        if op.kernel.workspace_bytes:
            rectangle = arena[workspace_name(index)]
            found = rectangle.start, rectangle.end, rectangle.offset, rectangle.size_bytes
            size = op.kernel.workspace_bytes
            assert found == (index, index + 1, offsets[workspace_name(index)], size)


def test_no_two_rectangles_overlap(program):
    for one, other in combinations(memory_rectangles(program), 2):
        apart_in_time = one.end <= other.start or other.end <= one.start
        below = one.offset + one.size_bytes <= other.offset
        above = other.offset + other.size_bytes <= one.offset
        assert apart_in_time or below or above, (one, other)


def test_every_byte_of_a_small_step_by_hand():
    def temporary(name, size):
        return Tensor(name, (size,), "int8", "temporary")

    def op(inputs, output, in_place=(), workspace_bytes=0):
        kernel = Kernel(tuple(range(len(inputs))), in_place, workspace_bytes)
        return Task("layer:op", "op", kernel, inputs, (output,))

    x, target = Tensor("x", (32,), "int8", "input"), Tensor("target", (1,), "int8", "target")
    weight = Tensor("weight", (8,), "int8", "parameter", version=1)
    saved, larger, adjoint = temporary("saved", 16), temporary("larger", 64), temporary("d", 48)
    loss = temporary("loss", 16)
    ops = (
        op((x,), saved),
        op((x,), larger, in_place=((0, 0),), workspace_bytes=96),  # begins 32 bytes before x
        op((larger, target), loss),
        op((larger, target), adjoint),
        op((saved, adjoint), weight),
    )
    program = plan_step(Step(ops, {}, (loss, weight)))
    grown, scratch = program.plan.offsets["x"], program.plan.offsets["workspace of op 1"]
    expected = {
        "x": ("forward", 0, 1.5, grown + 32, 32),
        "larger": ("saved for the backward", 1.5, 4, grown, 64),
        "workspace of op 1": ("scratch", 1, 2, scratch, 96),
        "saved": ("saved for the backward", 0, 5, program.plan.offsets["saved"], 16),
        "loss": ("saved for the backward", 2, 5, program.plan.offsets["loss"], 16),
        "d": ("backward", 3, 5, program.plan.offsets["d"], 48),
        "weight": ("trained parameters", 0, 5, program.plan.total_bytes, 8),
    }
    found = memory_rectangles(program)
    assert {r.name: (r.kind, r.start, r.end, r.offset, r.size_bytes) for r in found} == expected


def test_bytes_change_hands_in_the_middle_of_an_op():
    halves = [r for r in memory_rectangles(planned()) if r.start % 1 or r.end % 1]
    begun = {(r.offset, r.start) for r in halves if r.start % 1}
    assert begun and begun <= {(r.offset, r.end) for r in halves}
    apart = memory_rectangles(planned(in_place=False))
    assert not any(r.start % 1 or r.end % 1 for r in apart)


def test_trained_parameters_are_put_on_top_of_the_arena(program):
    state = [r for r in memory_rectangles(program) if r.kind == "trained parameters"]
    assert {r.name for r in state} == {"conv.weight", "conv.bias", "head.weight", "head.bias"}
    assert min(r.offset for r in state) == program.plan.total_bytes
    assert all((r.start, r.end) == (0, len(program.step.tasks)) for r in state)


def test_colours_tell_what_the_backward_needs():
    program = planned(quantized=False, in_place=False)
    kinds = {r.name: r.kind for r in memory_rectangles(program)}
    assert set(kinds.values()) <= set(COLOURS)
    assert kinds["x"] == "saved for the backward"  # the first layer's weight trains
    gradients = [op for op in program.step.tasks if op.kind.startswith("conv2d_input_grad")]
    assert gradients
    for op in gradients:
        assert kinds[op.outputs[0].name] == "backward"
    forward = planned(training=False)
    assert {r.kind for r in memory_rectangles(forward)} <= {"forward", "scratch"}


def test_the_picture_has_the_asked_size_and_scale(tmp_path):
    program = planned()
    pictures = []
    for name, top_bytes in (("own", None), ("low", 20 * program.plan.total_bytes)):
        draw_arena(program, tmp_path / f"{name}.png", "a title", top_bytes)
        pictures.append(np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB")))
    forward = np.array([int(COLOURS["forward"][i : i + 2], 16) for i in (1, 3, 5)])
    own, low = (int(np.all(picture == forward, axis=2).sum()) for picture in pictures)
    assert pictures[0].shape == pictures[1].shape == (700, 1200, 3)
    assert own > 3 * low > 0
