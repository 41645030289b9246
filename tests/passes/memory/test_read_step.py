"""A lowered function as a list of kernel calls."""

import numpy as np
import pytest
import tiny
from instruments.interpreter import Interpreter
from tvm import relax

from relay_passes import SparseBackward, lowering
from relay_passes.memory.read_step import kind_of, read_step
from relay_passes.pipeline import STEP_ROLES
from tvm_ondevice_train.scheme.sliced_model import slice_model
from tvm_ondevice_train.scheme.update_scheme import ALL, Channels, UpdateScheme, resolve
from tvm_ondevice_train.steps import build_steps
from tvm_ondevice_train.training_graph import loss_module


@pytest.fixture(scope="module", params=[(q, f) for q in (False, True) for f in (False, True)])
def programs(request):
    quantized, fuse = request.param
    model = tiny.network(quantized)
    return model, build_steps(model, resolve("full", model.layers).trained, "cross_entropy", fuse)


def test_an_update_runs_after_every_other_reader_of_its_parameter(programs):
    """In place: what reads the parameter later would read the new value."""
    _, (train, _) = programs
    updates = {op.outputs[0].name: index for index, op in enumerate(train.tasks) if op.updates}
    assert set(updates) == {"conv.weight", "conv.bias", "head.weight", "head.bias"}
    for name, index in updates.items():
        assert all(name not in [t.name for t in op.inputs] for op in train.tasks[index + 1 :])
        assert train.tasks[index].outputs[0].role == "parameter"


@pytest.mark.parametrize("quantized", [False, True])
def test_an_update_runs_as_soon_as_it_may(quantized):
    """The head's gradient dies before the backward of the convolution begins."""
    model = tiny.network(quantized)
    train, _ = build_steps(model, resolve("full", model.layers).trained, "cross_entropy")
    order = [op.outputs[0].name for op in train.tasks if op.updates]
    assert set(order[:2]) == {"head.weight", "head.bias"}
    assert not train.tasks[-2].updates or set(order[2:]) == {"conv.weight", "conv.bias"}


def test_every_tensor_is_written_before_it_is_read(programs):
    _, both = programs
    for program in both:
        written = set()
        for op in program.tasks:
            reads = {t.name for t in op.inputs if t.role == "temporary"}
            assert reads <= written
            written |= {t.name for t in op.outputs}
        assert {t.name for t in program.results if t.role == "temporary"} <= written
        assert all(op.updates or op.outputs[0].role == "temporary" for op in program.tasks)


def test_roles_constants_and_macs(programs):
    model, (train, predict) = programs
    roles = {t.name: t.role for op in train.tasks for t in op.inputs if t.role != "temporary"}
    assert {roles[n] for n in ("x", "target", "learning_rate")} == {
        "input",
        "target",
        "learning_rate",
    }
    assert all(roles.get(name) == "parameter" for name in model.parameters)
    constants = {n for n, role in roles.items() if role == "constant"}
    assert constants <= set(train.constants)
    conv, head = 4 * 4 * 4 * 2 * 9, 3 * 4
    assert conv + head <= predict.macs <= conv + head + 64  # a fused mean scales what it sums
    assert train.macs >= 2 * conv + 2 * head


def test_learning_rate_zero_changes_nothing_and_another_one_everything(programs):
    model, (train, _) = programs
    x = np.random.default_rng(0).integers(-50, 50, model.input.shape).astype(model.input.dtype)
    leaves = {"input": x, "target": np.array([1], np.int32), "seed": np.uint32(5)}
    interpreter = Interpreter(train, model.parameters)
    for rate in (0.0, 1.0):
        tensors = interpreter.run(**leaves, learning_rate=np.float32(rate))
        same = {n: np.array_equal(tensors[n], v) for n, v in model.parameters.items()}
        assert all(same.values()) if rate == 0 else not any(same.values())


def test_a_reshape_is_another_name_for_the_same_bytes(programs):
    _, both = programs
    assert not any("reshape" in op.kind for program in both for op in program.tasks)


def test_one_constant_for_equal_bytes():
    def body(emit, x):
        ones = [relax.const(np.ones(4, np.float32)) for _ in range(2)]
        return emit(relax.op.multiply(emit(relax.op.add(x, ones[0])), ones[1]))

    module = lowering(fuse=False)(tiny.module({"x": ((4,), "float32")}, body))
    program = read_step(module, ("input",))
    assert len(program.constants) == 1
    assert [t.role for t in program.tasks[0].inputs] == ["input", "constant"]


def test_a_parameter_read_by_two_layers_is_updated_after_both():
    def body(emit, x, target, w):
        y = emit(relax.op.nn.conv2d(emit(relax.op.nn.relu(emit(relax.op.nn.conv2d(x, w)))), w))
        return emit(relax.op.sum(emit(relax.op.multiply(y, target))))

    image = ((1, 2, 3, 3), "float32")
    module = tiny.module({"x": image, "target": image, "w": ((2, 2, 1, 1), "float32")}, body)
    program = read_step(lowering()(SparseBackward({"w"})(module)), STEP_ROLES)
    readers = [i for i, op in enumerate(program.tasks) if "w" in [t.name for t in op.inputs]]
    (update,) = [i for i, op in enumerate(program.tasks) if op.updates]
    assert len(readers) >= 3 and update == max(readers)


@pytest.mark.parametrize(
    "name, kind",
    [
        ("fused_dequantize1_conv2d2", "dequantize_conv2d"),
        ("fused_fused_dequantize_conv2d_add3_relu", "dequantize_conv2d_add_relu"),
        ("conv2d_weight_grad12", "conv2d_weight_grad"),
        ("max_pool2d", "max_pool2d"),
        ("qconv2d7", "qconv2d"),
        ("tir_sigmoid", "sigmoid"),
    ],
)
def test_kind_of_a_kernel(name, kind):
    assert kind_of(name) == kind


def test_ops_are_named_after_their_layer(programs):
    model, (train, predict) = programs
    named = [op.name.split(":")[0] for op in predict.tasks]
    assert "conv" in named and "head" in named
    assert {op.name.split(":")[0] for op in train.tasks} <= {"conv", "head", "input"}
    assert loss_module(model, "mse")["main"].params[1].name == "target"


@pytest.mark.parametrize("quantized", [False, True])
def test_a_model_may_use_the_names_that_the_program_would_give(quantized):
    """Temporaries, constants and the step's own arguments keep apart from parameters."""
    names = {"conv.weight": "t1", "conv.bias": "constant0", "head.weight": "seed", "x": "target"}
    losses = []
    for called in ({}, {**names, "head.bias": "learning_rate"}):
        model = tiny.network(quantized, called=called)
        scheme = UpdateScheme(dict.fromkeys(model.parameters, ALL))
        train, _ = build_steps(model, scheme.trained, "cross_entropy")
        sample = np.arange(72).reshape(model.input.shape) - 36
        leaves = {"input": sample, "target": [1], "learning_rate": 0.1, "seed": 3}
        interpreter = Interpreter(train, model.parameters)
        losses.append([interpreter.run(**leaves)[train.results[0].name].item() for _ in range(3)])
        arena = {t.name for op in train.tasks for t in op.outputs if t.role == "temporary"}
        assert arena.isdisjoint(model.parameters)
    same = 1 if quantized else 3  # a parameter's name decides how its codes are rounded
    assert losses[0][:same] == losses[1][:same]
    assert all(run[2] < run[0] for run in losses)


@pytest.mark.parametrize("quantized", [False, True])
def test_of_a_weight_in_part_only_its_trained_channels_are_written(quantized):
    model = tiny.network(quantized)
    sliced = slice_model(model, UpdateScheme({"head.weight": Channels(indices=[1, 3])}))
    train, _ = build_steps(sliced.model, sliced.slices, "cross_entropy")
    (update,) = [op for op in train.tasks if op.updates]
    assert (update.outputs[0].name, update.outputs[0].shape) == ("head.weight", (3, 2, 1, 1))
    parameters = {t.name for op in train.tasks for t in op.inputs if t.role == "parameter"}
    assert {"head.weight", "head.weight.frozen", "conv.weight"} <= parameters
    interpreter = Interpreter(train, sliced.model.parameters)
    x = np.arange(72).reshape(model.input.shape).astype(model.input.dtype)
    values = interpreter.run(input=x, target=[1], learning_rate=0.1, seed=3)
    changed = [n for n, v in sliced.model.parameters.items() if (values[n] != v).any()]
    assert changed == ["head.weight"]
