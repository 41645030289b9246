"""The list of what is read of PyTorch's operators, against PyTorch itself."""

import re

import numpy as np
import pytest
import tiny

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn import functional as f  # noqa: E402

from tvm_ondevice_train.errors import ModelError, OdtError  # noqa: E402
from tvm_ondevice_train.frontend import load  # noqa: E402
from tvm_ondevice_train.frontend.torch import decomposed, one_sample  # noqa: E402
from tvm_ondevice_train.frontend.torch.accepted import ACCEPTED, inspect_program  # noqa: E402

aten = torch.ops.aten
SHAPE = (1, 4, 7, 6)
X = torch.linspace(-2, 2, 168).reshape(SHAPE)


class Branches(nn.Module):
    """Each function of the same map, one behind the other."""

    def __init__(self, functions):
        super().__init__()
        self.functions = list(functions)
        torch.manual_seed(0)
        self.conv = nn.Conv2d(4, 4, 3, padding="same", groups=2, dilation=2)
        self.line = nn.Conv1d(4, 2, 3, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(4, eps=0.5)
        self.norm.running_mean.normal_()
        self.norm.running_var.uniform_(0.3, 2)
        self.linear = nn.Linear(6, 3)
        self.slopes = nn.PReLU(4)
        self.frozen = nn.Parameter(torch.randn(1, 4, 1, 1), requires_grad=False)
        self.eval()

    def parts(self, x):
        return [function(self, x).flatten() for function in self.functions]

    def forward(self, x):
        return torch.cat(self.parts(x)).unsqueeze(0)


def row(x):
    return x.mean((1, 2))


READ = {
    "abs": lambda m, x: x.abs(),
    "add alpha": lambda m, x: torch.add(x, x * x, alpha=2),
    "add.Scalar alpha": lambda m, x: aten.add.Scalar(x, 0.5, 3),
    "addmm": lambda m, x: m.linear(row(x)),
    "addmm beta, alpha": lambda m, x: torch.addmm(
        m.linear.bias, row(x), m.linear.weight.t(), beta=0.5, alpha=2
    ),
    "avg_pool": lambda m, x: f.avg_pool2d(x, 3, 2, 1),
    "avg_pool without pads": lambda m, x: f.avg_pool2d(
        x, 3, 2, 1, ceil_mode=True, count_include_pad=False
    ),
    "avg_pool by another number": lambda m, x: f.avg_pool2d(x, (2, 3), 2, 1, divisor_override=5),
    "avg_pool of all by another number": lambda m, x: f.avg_pool2d(x, (7, 6), divisor_override=2),
    "batch_norm": lambda m, x: m.norm(x),
    "bmm": lambda m, x: torch.bmm(x.squeeze(0), x.squeeze(0).mT),
    "cat": lambda m, x: torch.cat([x, -x], -3),
    "clamp": lambda m, x: x.clamp(-0.5, 0.25),
    "clamp max": lambda m, x: x.clamp_max(0.25),
    "clamp crossed": lambda m, x: x.clamp(0.5, -0.5),
    "conv": lambda m, x: m.conv(x),
    "conv1d": lambda m, x: m.line(x.flatten(2)),
    "detach of a constant": lambda m, x: x * torch.tensor([2.0, 3, 4, 5]).view(1, 4, 1, 1),
    "div": lambda m, x: x / 3,
    "div.Scalar": lambda m, x: aten.div.Scalar(x, 3),
    "elu": lambda m, x: f.elu(x, 0.3),
    "erf": lambda m, x: torch.erf(x),
    "exp": lambda m, x: torch.exp(x),
    "expm1": lambda m, x: torch.expm1(x),
    "gelu": lambda m, x: f.gelu(x),
    "gelu tanh": lambda m, x: f.gelu(x, approximate="tanh"),
    "hardswish": lambda m, x: f.hardswish(x),
    "hardtanh": lambda m, x: f.hardtanh(x, -0.5, 0.7),
    "leaky_relu": lambda m, x: f.leaky_relu(x, 0.2),
    "log": lambda m, x: torch.log(x.abs() + 1),
    "log10": lambda m, x: torch.log10(x.abs() + 1),
    "log1p": lambda m, x: torch.log1p(x.abs()),
    "log2": lambda m, x: torch.log2(x.abs() + 1),
    "log_softmax": lambda m, x: f.log_softmax(x, 1),
    "max_pool": lambda m, x: torch.max_pool2d(x, 2),
    "max_pool ceil, dilated": lambda m, x: f.max_pool2d(x, 2, 3, 1, dilation=2, ceil_mode=True),
    "maximum": lambda m, x: torch.maximum(x, m.frozen),
    "mean": lambda m, x: x.mean(),
    "mean of no axes": lambda m, x: x.mean([], keepdim=True),
    "mean of the last": lambda m, x: x.mean(-1, dtype=torch.float32),
    "minimum": lambda m, x: torch.minimum(x, -x),
    "mm": lambda m, x: row(x) @ m.linear.weight.t(),
    "mul.Scalar": lambda m, x: aten.mul.Scalar(x, 3),
    "permute": lambda m, x: x.permute(0, -1, 1, 2),
    "prelu": lambda m, x: m.slopes(x),
    "reciprocal": lambda m, x: torch.reciprocal(x.abs() + 1),
    "relu": lambda m, x: f.relu(x),
    "rsub alpha": lambda m, x: torch.rsub(x, 1.5, alpha=2),
    "selu": lambda m, x: f.selu(x),
    "sigmoid": lambda m, x: torch.sigmoid(x),
    "softmax": lambda m, x: f.softmax(x, -1),
    "softplus": lambda m, x: f.softplus(x),
    "sqrt": lambda m, x: torch.sqrt(x.abs()),
    "squeeze": lambda m, x: x.mean(1, keepdim=True).squeeze((1, 2)),
    "squeeze of nothing": lambda m, x: torch.squeeze(x.unsqueeze(1), ()),
    "sub alpha": lambda m, x: torch.sub(x, x * x, alpha=0.5),
    "sub.Scalar": lambda m, x: aten.sub.Scalar(x, 0.5, 2),
    "tanh": lambda m, x: torch.tanh(x),
    "to float32": lambda m, x: x.to(torch.float32, copy=True),
    "view": lambda m, x: x.contiguous().view(1, -1),
}


def test_each_operator_of_the_list_computes_what_pytorch_does():
    network, x = Branches(READ.values()), torch.randn(SHAPE)
    program = torch.export.export(network, (x,))
    nodes = decomposed(program).graph.nodes
    names = {node.target.__name__ for node in nodes if node.op == "call_function"}
    assert set(ACCEPTED) - names == {"alias.default"}  # of one that PyTorch makes at will
    model = load(program)
    (found,) = tiny.run(model.module, x=x.numpy(), **model.parameters)
    parts = network.parts(x)
    found = np.split(found.reshape(-1), np.cumsum([len(part) for part in parts])[:-1])
    for name, ours, theirs in zip(READ, found, parts, strict=True):
        theirs = theirs.detach().numpy()
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5, err_msg=name)


REFUSED = {
    "avg_pool": (
        lambda m, x: f.avg_pool2d(x, 2, ceil_mode=True, divisor_override=3),
        "divisor_override with ceil_mode; supported is one of them",
    ),
    "clamp_tensor": (
        lambda m, x: x.clamp(m.frozen, m.frozen + 1),
        "it needs operator clamp.Tensor, which cannot be compiled; use another one",
    ),
    "conv3d": (
        lambda m, x: f.conv3d(x.unsqueeze(2), m.frozen.reshape(1, 4, 1, 1, 1)),
        "it runs over three axes; supported are convolutions over one and two",
    ),
    "conv_transpose": (
        lambda m, x: f.conv_transpose2d(x, m.frozen.expand(4, 4, 1, 1).clone()),
        "transposed is True; supported is False",
    ),
    "double": (
        lambda m, x: x.double().sqrt().float(),
        "dtype is torch.float64; supported is None or float32",
    ),
    "elu": (
        lambda m, x: aten.elu(x, 1.0, 1.0, 2.0),
        "input_scale is 2.0; supported is 1",
    ),
    "indices": (
        lambda m, x: f.max_pool2d(x, 2, return_indices=True)[1] * 0.5,
        "its result 1 is read; only the first can be",
    ),
    "leaky_relu": (
        lambda m, x: f.leaky_relu(x, 1.5),
        "negative_slope is 1.5; supported is 0 to 1",
    ),
    "not_a_number": (
        lambda m, x: x.clamp(float("nan"), 1),
        "min is nan; supported is a number",
    ),
    "softmax": (
        lambda m, x: f.softmax(x, 1, dtype=torch.float64).float(),
        "dtype is torch.float64",
    ),
    "softplus": (lambda m, x: f.softplus(x, 2, 0.5), "beta is 2; supported is 1"),
}


def test_what_is_not_on_the_list_is_refused_all_at_once():
    program = torch.export.export(Branches(f for f, _ in REFUSED.values()), (X,))
    found = "\n".join(map(str, inspect_program(program)))
    for name, (_, text) in REFUSED.items():
        assert text in found, name
    with pytest.raises(
        ModelError, match=r"model: aten.avg_pool2d.default \(node .* more: see"
    ) as e:
        load(program)
    assert "\n".join(map(str, e.value.obstacles)) == found


def test_a_network_of_another_type():
    program = torch.export.export(nn.Linear(3, 2).double(), (torch.zeros(1, 3).double(),))
    text = 'input or parameter "input": it is float64; supported is float32'
    assert text in map(str, inspect_program(program))


def test_a_refusal_names_node_module_and_line():
    program = torch.export.export(nn.Sequential(nn.Sequential(nn.GLU(1))), (X,))
    pattern = r'aten.glu.default \(node "glu", module "0.0", [\w.]+:\d+\): it needs operator slice'
    assert re.match(pattern, str(inspect_program(program)[0]))


def test_training_mode_says_eval():
    network = nn.Sequential(nn.BatchNorm2d(4), nn.Dropout(), nn.Dropout2d())
    found = inspect_program(torch.export.export(network.train(), (X,)))
    assert len(found) == 3
    for obstacle in found:
        assert "it is exported in training mode; call model.eval() before" in str(obstacle)
    assert inspect_program(torch.export.export(network.eval(), (X,))) == []


def without_gradients(m, x):
    with torch.no_grad():
        y = x * 2
    return x + y


class Counter(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, x):
        self.seen.add_(1)
        return x * self.seen


def test_what_training_could_not_keep():
    stops = Branches([lambda m, x: x.detach() + x, without_gradients])
    found = inspect_program(torch.export.export(stops, (X,)))
    assert [obstacle.found for obstacle in found] == [
        "it stops gradients",
        "torch.no_grad() stops gradients",
    ]
    by_batch = torch.export.export(nn.BatchNorm2d(4, track_running_stats=False).eval(), (X,))
    (alone,) = inspect_program(by_batch)
    assert "it normalizes by the batch alone; a step has one sample; train with" in str(alone)
    (state,) = inspect_program(torch.export.export(Counter(), (X,)))
    assert 'buffer "seen": the network changes it as it runs; a step keeps no state' in str(state)


def with_free(network, shape, axis):
    free = {axis: torch.export.Dim("free")}
    return torch.export.export(network, (torch.randn(shape),), dynamic_shapes=(free,))


class Sizes(Branches):
    def forward(self, x):
        b, c, h, w = x.shape
        return self.conv(x).reshape(b, c * h * w)


def test_a_free_batch_is_one_sample():
    network, x = Sizes([]), torch.randn(SHAPE)
    model = load(with_free(network, (3, *SHAPE[1:]), 0))
    (found,) = tiny.run(model.module, x=x.numpy(), **model.parameters)
    expected = network(x).detach().numpy()
    np.testing.assert_allclose(found.reshape(1, -1), expected, rtol=1e-5, atol=1e-5)
    assert {"conv.weight", "conv.bias"} <= set(model.parameters)


def test_other_shapes_are_refused():
    with pytest.raises(OdtError, match=r'^model: input "x" has the dynamic shape \(1, 4, .*, 6\);'):
        load(with_free(Sizes([]), SHAPE, 2))
    with pytest.raises(OdtError, match='model: input "x" has batch 4; training runs one sample'):
        load(torch.export.export(Sizes([]), (torch.randn(4, *SHAPE[1:]),)))


def test_two_inputs_are_refused():
    class Sum(nn.Module):
        def forward(self, x, y):
            return x + y

    program = torch.export.export(Sum(), (torch.randn(1, 2), torch.randn(1, 2)))
    with pytest.raises(OdtError, match="the model has 2 inputs; exactly one tensor is supported"):
        one_sample(program)
