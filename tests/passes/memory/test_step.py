"""What is read of a lowered module: versions, roles, aliases, and what must wait for what."""

import numpy as np
import pytest
import tiny
import tvm
from instruments.interpreter import Interpreter
from tvm import relax

from relay_passes import ReorderForMemory, lowering
from relay_passes.memory.read_step import read_step
from relay_passes.memory.step import Kernel, Step, Task, Tensor, in_valid_order, prediction
from relay_passes.pipeline import EVALUATION_ROLES, STEP_ROLES
from tvm_ondevice_train.codegen.planned_step import plan_step
from tvm_ondevice_train.memory_plan import check_plan


def temporary(name, role="temporary", version=0) -> Tensor:
    return Tensor(name, (8,), "float32", role, version)


def task(name, inputs, *outputs, in_place=()) -> Task:
    kernel = Kernel(tuple(range(len(inputs))), in_place)
    return Task(name, name, kernel, tuple(inputs), outputs)


def names(tasks) -> str:
    return " ".join(task.name for task in tasks)


X, TARGET = temporary("x", "input"), temporary("target", "target")
Y, LOSS, D, OUT = (temporary(name) for name in ("y", "loss", "d", "out"))
OLD, NEW = (temporary("weight", "parameter", version) for version in (0, 1))
V_OLD, V_NEW = (temporary("velocity", "parameter", version) for version in (0, 1))
FORWARD, LOST = task("forward", [X, OLD], Y), task("loss", [Y, TARGET], LOSS)
BACKWARD = task("backward", [Y, TARGET], D)
UPDATE = task("update", [OLD, D], NEW, in_place=((0, 0),))


def momentum(reads: Tensor) -> tuple[Task, ...]:
    """A step in which the weight's update, given first, reads a version of the velocity."""
    update = task("weight", [OLD, reads], NEW, in_place=((0, 0),))
    velocity = task("velocity", [V_OLD, D], V_NEW, in_place=((0, 0),))
    return FORWARD, LOST, BACKWARD, update, velocity


@pytest.mark.parametrize(
    "tasks, results, expected",
    [
        ([FORWARD, LOST, BACKWARD, UPDATE], [LOSS, NEW], "forward loss backward update"),
        ([FORWARD, BACKWARD, UPDATE, LOST], [LOSS, NEW], "forward backward loss update"),
        (
            [FORWARD, LOST, BACKWARD, UPDATE, task("reader", [OLD, D], OUT)],
            [LOSS, NEW, OUT],
            "forward loss backward reader update",
        ),
        (
            [FORWARD, LOST, BACKWARD, UPDATE, task("reader", [NEW, D], OUT)],
            [LOSS, NEW, OUT],
            "forward loss backward update reader",
        ),
        (momentum(V_NEW), [LOSS, V_NEW, NEW], "forward loss backward velocity weight"),
        (momentum(V_OLD), [LOSS, V_NEW, NEW], "forward loss backward weight velocity"),
        (
            [FORWARD, task("log", [Y], D), task("head", [Y], OUT), task("loss", [D, TARGET], LOSS)],
            [OUT, LOSS],
            "forward head log loss",
        ),
        (
            [task("other", [X], D), task("head", [X], OUT)],
            [OUT, D],
            "other head",
        ),
    ],
    ids=[
        "as given",
        "the loss before an update",
        "a reader of the old value before the update",
        "a reader of the new value behind it",
        "an update that reads another's new value",
        "an update that reads another's old value",
        "of an evaluation the prediction first",
        "without a target any order will do",
    ],
)
def test_what_must_wait(tasks, results, expected):
    ordered = in_valid_order(tasks, results)
    assert names(ordered) == expected
    assert in_valid_order(ordered, results) == ordered
    graph = Step(ordered, results=tuple(results)).graph
    assert graph.profile(range(len(ordered)))  # it refuses an order that is none


def test_a_task_that_reads_both_versions_is_refused():
    with pytest.raises(AssertionError, match="an update waits for itself"):
        in_valid_order([FORWARD, LOST, task("both", [OLD, NEW], D), UPDATE], [LOSS, NEW])


@pytest.mark.parametrize("rollback", [False, True])
def test_a_plan_needs_what_the_order_counts(rollback):
    step = Step(in_valid_order(momentum(V_NEW), [LOSS]), {}, (LOSS, V_NEW, NEW), rollback)
    copies = {f"backup of {name}": span for name, span in (("velocity", 3), ("weight", 4))}
    planned = plan_step(step)
    check_plan(planned.buffers, planned.plan)
    found = {b.name: b.first for b in planned.buffers if b.name.startswith("backup")}
    assert found == (copies if rollback else {})
    assert planned.plan.lower_bound_bytes == max(step.graph.profile(range(5)))
    assert step.live == {X: (0, 0), Y: (0, 2), LOSS: (1, 4), D: (2, 3)}


def with_momentum(emit, x, velocity, weight):
    loss = emit(relax.op.sum(x))
    new_velocity = emit(relax.op.add(emit(relax.op.exp(velocity)), x))
    return [loss, new_velocity, emit(relax.op.subtract(weight, new_velocity))]


def updating(body, *names, shape=(1, 8)) -> tvm.IRModule:
    types = {name: (shape, "float32") for name in ("x", *names)}
    module = lowering(fuse=False)(tiny.module(types, body))
    main = module["main"].with_attr("trained_parameters", list(names))
    module.update_func(module.get_global_var("main"), main)
    return module


@pytest.mark.parametrize("order", [False, True])
def test_an_update_reads_the_new_value_of_another_parameter(order):
    """As that of a weight under momentum does; both updates are stored over the old values."""
    module = updating(with_momentum, "velocity", "weight")
    step = read_step(ReorderForMemory(rollback=True)(module) if order else module, ("input",))
    first, second = (step.tasks[index] for index, _ in step.updates)
    assert first.updates == (temporary_of("velocity", 1),)
    assert second.inputs == (temporary_of("weight", 0), temporary_of("velocity", 1))
    assert [t.name for _, t in step.backups] == (["velocity", "weight"] if order else [])
    generator = np.random.default_rng(0)
    names = ("x", "velocity", "weight")
    values = {name: generator.normal(size=(1, 8)).astype("float32") for name in names}
    tensors = Interpreter(step, values).run(input=values["x"])
    velocity = np.exp(values["velocity"]) + values["x"]
    np.testing.assert_allclose(tensors["velocity"], velocity, rtol=1e-6)
    np.testing.assert_allclose(tensors["weight"], values["weight"] - velocity, rtol=1e-5, atol=1e-6)


def temporary_of(name, version) -> Tensor:
    return Tensor(name, (1, 8), "float32", "parameter", version)


def mixing(emit, x, weight):
    """No element of the result can be stored before all of the weight is read."""
    loss = emit(relax.op.sum(x))
    return [loss, emit(relax.op.matmul(x, weight))]


def test_an_update_that_cannot_be_stored_over_its_parameter_is_refused():
    with pytest.raises(AssertionError, match=r"matmul reads .*weight.* and is stored over it"):
        read_step(updating(mixing, "weight", shape=(8, 8)), ("input",))


def test_roles_and_results():
    def body(emit, x, target, weight):
        output = emit(relax.op.multiply(x, weight))
        difference = emit(relax.op.subtract(output, target))
        return [output, emit(relax.op.sum(emit(relax.op.reshape(difference, (8,)))))]

    types = {name: ((1, 8), "float32") for name in ("x", "target", "weight")}
    step = read_step(lowering()(tiny.module(types, body)), EVALUATION_ROLES)
    roles = {tensor.name: tensor.role for task in step.tasks for tensor in task.inputs}
    assert [roles[name] for name in types] == ["input", "target", "parameter"]
    assert set(roles.values()) <= {*STEP_ROLES, "parameter", "temporary"}
    assert [tensor.role for tensor in step.results] == ["temporary"] * 2
    assert prediction(step).results == step.results[:1]
    assert names(prediction(step).tasks) == "weight:multiply"
