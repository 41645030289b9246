"""What the passes make is TVM's again: `tvm.compile` takes it, or one line says why not."""

import copy
import subprocess
import sys
import textwrap
from functools import cache

import numpy as np
import pytest
import tiny_models
import torch
import tvm
import tvm_user as user
from instruments.interpreter import Interpreter
from shared import slow_after
from torch.nn import functional
from tvm import relax
from tvm.relax.frontend.torch import from_exported_program
from tvm.relax.training.loss import CrossEntropyLoss
from tvm.relax.training.utils import AppendLoss as TvmAppendLoss

from relay_passes import (
    AppendLoss,
    DefaultSchedule,
    EliminateDeadGradients,
    InPlace,
    LegalizeOps,
    LowerQDQ,
    LowerToLoops,
    ReorderForMemory,
    SparseBackward,
    lowering,
)
from relay_passes.formats import FORMATS
from relay_passes.graph import bindings_of, function_of
from relay_passes.memory.read_step import read_step
from relay_passes.pipeline import STEP_ROLES, differentiation
from tvm_ondevice_train.training_graph import loss_module

RATE, SEED = np.float32(0.05), np.uint32(2**32 - 3)  # a seed that overflows where salt is added


@cache
def int8_step(backward: str) -> tvm.IRModule:
    """A training step of all parameters of an int8 model."""
    model = tiny_models.model("cnn_int8")
    passes = differentiation(list(model.parameters), backward)
    return tvm.transform.Sequential(passes)(loss_module(model, "cross_entropy"))


def arguments_of(step: tvm.IRModule) -> dict[str, np.ndarray]:
    """By name: a sample, its label, hyper-parameters, the model's parameters."""
    model = tiny_models.model("cnn_int8")
    roles = [p.name for p in step["main"].params[: len(STEP_ROLES)]]
    x, labels = tiny_models.images(1)
    scale, zero_point = model.input.scale, model.input.zero_point
    if model.input.dtype != "float32":
        x = np.clip(np.rint(x / scale) + zero_point, -128, 127).astype(model.input.dtype)
    leading = x, labels.astype(np.int32), RATE, SEED
    return {**dict(zip(roles, leading, strict=True)), **model.parameters}


@cache
def by_c(backward: str) -> list[np.ndarray]:
    """Results of the step by its C kernels."""
    program = read_step(lowering()(int8_step(backward)), STEP_ROLES)
    values = arguments_of(int8_step(backward))
    leaves = dict(zip(STEP_ROLES, list(values.values())[: len(STEP_ROLES)], strict=True))
    model = tiny_models.model("cnn_int8")
    tensors = Interpreter(program, model.parameters).run(**leaves)
    return [tensors[tensor.name] for tensor in program.results]


def assert_codes_are_those_of_c(results: list[np.ndarray], backward: str) -> None:
    expected, initial = by_c(backward), tiny_models.model("cnn_int8").parameters
    names = int8_step(backward)["main"].attrs["trained_parameters"]
    codes = [r.dtype.kind == "i" for r in results]
    assert any(codes) and not all(codes)
    moved = [(r != initial[n]).any() for r, n in zip(results[1:], names, strict=True)]
    assert any(m and is_codes for m, is_codes in zip(moved, codes[1:], strict=True))
    for ours, by_c_kernels, is_codes in zip(results, expected, codes, strict=True):
        if is_codes:
            np.testing.assert_array_equal(ours, by_c_kernels.reshape(ours.shape))
        else:
            np.testing.assert_allclose(ours, by_c_kernels.reshape(ours.shape), atol=1e-6)


LOWERINGS = {
    "by TVM alone": [],
    "lowered": [lowering(microkernels=False)],
    "kernel by kernel": [lowering(fuse=False, microkernels=False)],
    "reordered": [lowering(microkernels=False), ReorderForMemory(STEP_ROLES)],
}
CASES = [(backward, each) for backward in FORMATS for each in ("by TVM alone", "reordered")]
CASES += [(backward, each) for backward in ("float32", "int16") for each in LOWERINGS]


QUICK = [("int16", "kernel by kernel")]


@pytest.mark.parametrize(
    "backward, how",
    [pytest.param(*c, marks=() if c in QUICK else pytest.mark.slow) for c in dict.fromkeys(CASES)],
)
def test_an_int8_step_gives_the_codes_that_c_gives(backward, how):
    step = int8_step(backward)
    module = tvm.transform.Sequential(LOWERINGS[how])(step)
    assert_codes_are_those_of_c(user.run_named(module, arguments_of(step)), backward)


class Network(torch.nn.Module):
    """Convolutions, dense and depthwise, a pool, a residual add, a dense layer."""

    def __init__(self):
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 8, 3, padding=1)
        self.depthwise = torch.nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.project = torch.nn.Conv2d(8, 8, 1)
        self.head = torch.nn.Linear(8, 4)

    def forward(self, x):
        x = functional.max_pool2d(self.stem(x).relu(), 2)
        x = x + self.project(self.depthwise(x).relu())
        return self.head(x.mean((2, 3)))


X = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@cache
def network() -> Network:
    torch.manual_seed(0)
    return Network()


def exported(**options) -> tvm.IRModule:
    return from_exported_program(torch.export.export(network(), (X,)), **options)


def float_step() -> tvm.IRModule:
    """A step of all parameters of the network; the loss is the sum of the outputs' squares."""
    forward, _ = relax.frontend.detach_params(exported(keep_params_as_input=True))
    function = forward["main"]
    data, *parameters = function.params
    output = bindings_of(function)[-1].value.fields[0]

    def body(builder):
        for binding in bindings_of(function)[:-1]:
            builder.emit_normalized(binding)
        square = builder.emit(relax.op.multiply(output, output))
        return builder.emit_output(relax.op.sum(square))

    target = relax.Var("target", relax.TensorType((1,), "int32"))
    loss = tvm.IRModule({"main": function_of([data, target, *parameters], body)})
    passes = differentiation([p.name for p in parameters], "float32")
    return tvm.transform.Sequential(passes)(loss)


@pytest.mark.parametrize("how", slow_after(2, LOWERINGS))
def test_a_float_step_is_that_of_torch(how):
    net, step = copy.deepcopy(network()), float_step()
    loss = net(X).square().sum()
    loss.backward()
    after = [p - float(RATE) * p.grad for p in net.parameters()]
    values = [X, np.zeros(1, np.int32), RATE, SEED, *(p.detach() for p in net.parameters())]
    names = [p.name for p in step["main"].params]
    module = tvm.transform.Sequential(LOWERINGS[how])(step)
    ours = user.run_named(module, dict(zip(names, values, strict=True)))
    for result, expected in zip(ours, [loss, *after], strict=True):
        np.testing.assert_allclose(result, expected.detach(), rtol=1e-6, atol=1e-6)


LEGALIZED = [
    relax.transform.LegalizeOps(),
    relax.transform.AnnotateTIROpPattern(),
    relax.transform.FuseOps(),
    relax.transform.FuseTIR(),
]
ORDERED = [LowerToLoops(), InPlace(), ReorderForMemory()]
INFERENCE = {
    "scheduled": [*LEGALIZED, DefaultSchedule(), *ORDERED],
    "as TVM left it": [*LEGALIZED, *ORDERED],
    "not fused": [*LEGALIZED[:1], *ORDERED],
}


class Normed(torch.nn.Module):
    """Batch norm, of which results are left unread, ReLU6, a gate, concatenation, softmax."""

    def __init__(self):
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False)
        self.norm = torch.nn.BatchNorm2d(8)
        self.gate = torch.nn.Conv2d(8, 8, 1)

    def forward(self, x):
        x = functional.relu6(self.norm(self.stem(x)))
        x = torch.cat([x, x * torch.sigmoid(self.gate(x))], 1)
        return torch.softmax(x.mean((2, 3)), 1)


@pytest.mark.parametrize("passes", INFERENCE.values(), ids=INFERENCE)
@pytest.mark.parametrize("net", [network(), Normed().eval()], ids=["residual", "normed"])
@pytest.mark.parametrize("batch", slow_after(1, [3, 1]))
def test_an_inference_module_of_tvm_is_reordered_and_compiled(net, passes, batch):
    x = X.repeat(batch, 1, 1, 1)
    module = tvm.transform.Sequential(passes)(from_exported_program(torch.export.export(net, (x,))))
    (ours,) = user.run_named(module, {module["main"].params[0].name: x})
    np.testing.assert_allclose(ours, net(x).detach(), rtol=1e-6, atol=1e-6)
    assert module["main"].attrs["peak_bytes"] >= x.numel() * 4


C_ALONE = {
    "lowered": lowering(),
    "legalized": tvm.transform.Sequential([LowerQDQ(), LegalizeOps()]),
}


@pytest.mark.parametrize("for_c", C_ALONE.values(), ids=C_ALONE)
def test_what_is_lowered_for_c_is_refused_in_one_line(for_c):
    module = for_c(int8_step("int16"))
    with pytest.raises(ValueError, match=r"odt_\w+ is a function of the C runtime") as refused:
        tvm.compile(module, target="llvm")
    last = str(refused.value).strip().splitlines()[-1]
    assert last.endswith("lower with lowering(microkernels=False) what TVM shall compile.")


def test_importing_leaves_the_legalizations_of_tvm_as_they_are():
    """In a process of its own: here they were imported long ago."""
    program = """
        from tvm import relax
        from tvm.ir import Op
        names = [name for name in Op.list_op_names() if name.startswith("relax.")]
        before = {name: Op.get(name).get_attr("FLegalize") for name in names}
        call_te = relax.BlockBuilder.call_te
        import tvm_ondevice_train.compiler, relay_passes.pipeline
        after = {name: Op.get(name).get_attr("FLegalize") for name in names}
        changed = [n for n in names if (before[n] is None) != (after[n] is None)
                   or before[n] is not None and not before[n].same_as(after[n])]
        assert len(names) > 100 and relax.BlockBuilder.call_te is call_te
        print(changed)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"


class Perceptron(torch.nn.Module):
    """Linear layers, whose weights PyTorch keeps as (outputs, inputs)."""

    def __init__(self):
        super().__init__()
        self.hidden, self.out = torch.nn.Linear(64, 128), torch.nn.Linear(128, 32)

    def forward(self, x):
        return self.out(self.hidden(x).relu())


@pytest.mark.parametrize(
    "scheme, limit",
    [(None, 1500), ({"p_hidden_weight": [0, 3, 4, 63], "p_hidden_bias": None}, 1000)],
    ids=["all", "channels"],
)
def test_no_gradient_of_a_linear_layer_is_stored(scheme, limit):
    """That of the first is 32 KiB: updates are fused into the products that give them."""
    module, _ = user.imported(user.seeded(Perceptron), user.image(1, 64))
    passes = [
        AppendLoss("cross_entropy"),
        SparseBackward(scheme),
        EliminateDeadGradients(),
        lowering(microkernels=False),
        ReorderForMemory(),
    ]
    step = tvm.transform.Sequential(passes)(module)
    assert step["main"].attrs["peak_bytes"] < limit


def test_channels_of_linear_layers_are_those_of_torch():
    net, x = user.seeded(Perceptron), user.image(3, 64)
    module, values = user.imported(net, x)
    channels = {"p_hidden_weight": [0, 3, 4, 63], "p_out_weight": [1, 2, 127]}
    passes = [AppendLoss("cross_entropy"), SparseBackward(channels), EliminateDeadGradients()]
    step = tvm.transform.Sequential([*passes, *LOWERINGS["reordered"][:1]])(module)
    parts = {n: values[n][:, chosen] for n, chosen in channels.items()}
    parts |= {f"{n}.frozen": np.delete(values[n], chosen, 1) for n, chosen in channels.items()}
    labels = [3, 0, 31]
    inputs = {"x": x.numpy(), "target": np.array(labels, np.int32)}
    found = user.run_step(step, {**values, **parts, **inputs})
    expected = user.torch_step(net, x, labels)
    expected |= {n: expected[n][:, chosen] for n, chosen in channels.items()}
    user.assert_close(found, expected)


def test_a_step_beside_the_network_is_lowered_as_one_alone():
    """TVM's AppendLoss leaves `main` and makes `main_loss`, which is no less fused."""
    net, x = user.seeded(Perceptron), user.image(1, 64)
    module, values = user.imported(net, x)
    output, label = relax.TensorType((1, 32), "float32"), relax.TensorType((1,), "int32")
    losses = TvmAppendLoss("main", CrossEntropyLoss()(output, label))(module)
    passes = [
        SparseBackward(None, "main_loss", -1),
        EliminateDeadGradients("main_loss"),
        lowering(microkernels=False),
        ReorderForMemory(func_name="main_loss"),
    ]
    step = tvm.transform.Sequential(passes)(losses)
    assert step["main_loss"].attrs["peak_bytes"] < 1500
    inputs = {"x": x.numpy(), "targets": np.array([3], np.int32)}
    found = user.run_step(step, {**values, **inputs}, "main_loss")
    user.assert_close(found, user.torch_step(net, x, [3]))
    (predicted,) = user.run_named(step, {**values, **inputs})
    np.testing.assert_allclose(predicted, net(x).detach(), atol=1e-6)
