"""Six steps of SGD with scheme `full` against PyTorch: nothing comes apart, nothing is left out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from instruments.interpreter import Interpreter
from torch import nn
from torch.nn import functional

from tvm_ondevice_train.frontend import load
from tvm_ondevice_train.losses import loss_of
from tvm_ondevice_train.scheme.sliced_model import slice_model
from tvm_ondevice_train.scheme.update_scheme import resolve
from tvm_ondevice_train.steps import build_steps
from tvm_ondevice_train.training_graph import before_loss

VECTOR, PLANES = (1, 4), (1, 3, 5, 5)
RATE, STEPS = 0.05, 6


def parameter(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape) * 0.4)


class Net(nn.Module):
    """`function` of the module and its input, over the given parts."""

    def __init__(self, function, **parts):
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self.function(self, x)


def pooled(x):
    return x.mean([2, 3])


def norm(channels: int) -> nn.BatchNorm2d:
    """A batch norm that has seen data."""
    bn = nn.BatchNorm2d(channels)
    for tensor in (bn.weight, bn.bias, bn.running_mean, bn.running_var):
        nn.init.uniform_(tensor, 0.5, 1.5)
    return bn


def conv() -> nn.Conv2d:
    return nn.Conv2d(3, 3, 3, padding=1)


TIED = {
    "weight and transpose": lambda: (
        Net(
            lambda s, x: functional.linear(functional.linear(x, s.w).tanh(), s.w.t()),
            w=parameter(6, 4),
        ),
        VECTOR,
    ),
    "transpose first": lambda: (
        Net(lambda s, x: functional.linear((x @ s.w).tanh(), s.w), w=parameter(4, 6)),
        VECTOR,
    ),
    "convolution and its transpose": lambda: (
        Net(
            lambda s, x: functional.conv2d(functional.conv2d(x, s.w).tanh(), s.w.transpose(0, 1)),
            w=parameter(4, 3, 2, 2),
        ),
        PLANES,
    ),
    "layer and factor": lambda: (
        Net(lambda s, x: s.l((x * s.w).tanh()), w=parameter(1, 4), l=nn.Linear(4, 3)),
        VECTOR,
    ),
    "weight and factor": lambda: (
        Net(lambda s, x: functional.linear(x, s.w) * s.w.reshape(-1)[None], w=parameter(1, 4)),
        VECTOR,
    ),
    "weight and map": lambda: (
        Net(
            lambda s, x: functional.linear((x * s.w).flatten(1), s.w.reshape(1, 16)).tanh(),
            w=parameter(4, 4),
        ),
        (1, 4, 4),
    ),
    "batch norm behind one of two uses": lambda: (
        Net(lambda s, x: pooled(s.c(torch.relu(s.n(s.c(x))))), c=conv(), n=norm(3)),
        PLANES,
    ),
    "batch norm used twice": lambda: (
        Net(lambda s, x: pooled(s.n(s.d(torch.relu(s.n(s.c(x)))))), c=conv(), d=conv(), n=norm(3)),
        PLANES,
    ),
}
LEFT_OUT = {
    "learned scale": lambda: (
        Net(lambda s, x: pooled(torch.relu(s.c(x) * s.g)), c=conv(), g=parameter(3, 1, 1)),
        PLANES,
    ),
    "one number": lambda: (
        Net(lambda s, x: pooled(torch.relu(s.c(x)) * s.g), c=conv(), g=parameter(1)),
        PLANES,
    ),
    "map and bias alone": lambda: (
        Net(
            lambda s, x: pooled(s.c(x + s.p).tanh()) + s.b,
            c=conv(),
            p=parameter(1, 3, 5, 5),
            b=parameter(3),
        ),
        PLANES,
    ),
    "batch norm that does not fold": lambda: (
        Net(lambda s, x: pooled(s.n(torch.relu(s.c(s.m(x))))), c=conv(), m=norm(3), n=norm(3)),
        PLANES,
    ),
}
ENDS = {
    "softmax": (lambda y: functional.softmax(y, 1), "mse"),
    "log_softmax": (lambda y: functional.log_softmax(y, 1), "mse"),
    "log_softmax, cross entropy": (lambda y: functional.log_softmax(y, 1), "cross_entropy"),
}


def check(net: nn.Module, shape, loss: str = "mse") -> None:
    """Losses of `STEPS` steps, the output before them and every parameter behind them agree."""
    net.eval()
    model = load(torch.export.export(net, (torch.zeros(shape),)))
    sliced = slice_model(before_loss(model, loss_of(loss)), resolve("full", model.layers))
    step, evaluation = build_steps(sliced.model, list(sliced.slices), loss)
    ours = Interpreter(step, sliced.model.parameters)
    generator = torch.Generator().manual_seed(1)
    inputs = torch.rand((STEPS, *shape), generator=generator) * 2 - 1
    output = net(inputs[0])
    target = torch.tensor([1]) if loss == "cross_entropy" else torch.full_like(output, 0.3)
    ours_target = target.numpy().astype(np.int32 if loss == "cross_entropy" else np.float32)
    values = Interpreter(evaluation, sliced.model.parameters).run(
        input=inputs[0].numpy(), target=ours_target
    )
    predicted = values[evaluation.results[0].name].ravel()
    np.testing.assert_allclose(predicted, output.detach().numpy().ravel(), rtol=1e-5, atol=1e-6)
    optimizer = torch.optim.SGD(net.parameters(), lr=RATE)
    compare = functional.cross_entropy if loss == "cross_entropy" else functional.mse_loss
    for x in inputs:
        values = ours.run(input=x.numpy(), target=ours_target, learning_rate=RATE, seed=0)
        optimizer.zero_grad()
        theirs = compare(net(x), target)
        theirs.backward()
        optimizer.step()
        assert values[step.results[0].name] == pytest.approx(theirs.item(), rel=1e-5)
    learned = dict(net.named_parameters())
    assert set(sliced.slices) == set(learned)
    for name, value in learned.items():
        # sorted: a matrix that `x @ w` reads is stored as a layer's weight, transposed
        pair = np.sort(ours.parameters[name].ravel()), np.sort(value.detach().numpy().ravel())
        np.testing.assert_allclose(*pair, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", [*TIED, *LEFT_OUT])
def test_every_parameter_trains_as_one(name):
    torch.manual_seed(0)
    check(*(TIED | LEFT_OUT)[name]())


@pytest.mark.parametrize("name", ENDS)
def test_the_end_of_the_network_stays(name):
    end, loss = ENDS[name]
    torch.manual_seed(0)
    check(Net(lambda s, x: end(s.l(torch.tanh(x))), l=nn.Linear(4, 3)), VECTOR, loss)
