"""Which tasks need the sample alone, and what they leave for the others."""

import pytest
from test_step import LOSS, NEW, OLD, TARGET, D, X, task, temporary

from relay_passes.memory.frozen_prefix import features_of, frozen_prefix
from relay_passes.memory.step import Kernel, Step, Task, Tensor, in_valid_order

W0, W1 = Tensor("first", (8,), "float32", "parameter"), OLD
A, B, C = (temporary(name) for name in "abc")
SMALL = Tensor("small", (2,), "float32", "temporary")


def layer(name, inputs, *outputs) -> Task:
    """A task with multiply-accumulates."""
    kernel = Kernel(tuple(range(len(inputs))), macs=8)
    return Task(name, name, kernel, tuple(inputs), outputs)


FIRST, SECOND = layer("first", [X, W0], A), layer("second", [A, W1], B)
UPDATE = task("update", [W1, D], NEW, in_place=((0, 0),))


@pytest.mark.parametrize(
    "tasks, prefix, features",
    [
        ([FIRST, SECOND], "first", [A]),
        ([layer("second", [X, W1], B)], "", [X]),
        ([layer("loss", [X, TARGET], LOSS)], "", [X]),
        ([FIRST, layer("join", [A, X, W1], B)], "first", [A, X]),
        ([FIRST, task("copy", [A], C), layer("use", [C, W1], B)], "first", [A]),
        ([FIRST, task("cut", [A], SMALL), layer("use", [SMALL, W1], B)], "first cut", [SMALL]),
        ([FIRST, task("cut", [A], SMALL), layer("use", [SMALL, A, W1], B)], "first", [A]),
        ([task("copy", [X], C), layer("one", [C, W0], A), SECOND], "copy one", [A]),
        ([task("of a parameter", [W0], C), layer("use", [X, C, W1], B)], "", [X, C]),
    ],
    ids=[
        "up to the first that trains",
        "the first layer trains",
        "the target is not of the sample",
        "the sample is read again",
        "a copy is made again",
        "what is smaller is kept",
        "what is cut from a feature is cut again",
        "a copy within",
        "what no sample changes is made again",
    ],
)
def test_the_prefix_and_its_features(tasks, prefix, features):
    frozen = frozen_prefix(tasks, {"weight"})
    assert " ".join(tasks[index].name for index in sorted(frozen)) == prefix
    if "of a parameter" not in {task.name for task in tasks}:
        assert list(features_of(tasks, frozen)) == features


def test_a_split_step_runs_its_prefix_first():
    other = layer("other", [X, W0], C)
    lost, back = layer("loss", [B, TARGET], LOSS), layer("back", [B, C], D)
    tasks = [FIRST, SECOND, lost, other, back, UPDATE]
    found = in_valid_order(tasks, [LOSS, NEW], {"weight"})
    assert [task.name for task in found] == ["first", "other", "second", "loss", "back", "update"]
    step = Step(found, results=(LOSS, NEW), changing=frozenset({"weight"}))
    assert step.prefix == 2 and step.features == (A, C)
    assert all(set(node.after) >= {0, 1} for node in step.graph.tasks[2:])
    assert Step(found, results=(LOSS, NEW)).prefix == 0
