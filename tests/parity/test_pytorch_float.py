"""Float networks exported from PyTorch: loss, every gradient and SGD against autograd."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
import torch_nets
from torch import nn

from tvm_ondevice_train.compile import build_programs
from tvm_ondevice_train.frontend import load
from tvm_ondevice_train.interpreter import Interpreter
from tvm_ondevice_train.scheme import ALL, UpdateScheme

IMAGE, VECTOR = (1, 3, 12, 12), (1, 20)
CASES = {  # network -> shape of a sample, loss
    torch_nets.residual_cnn: (IMAGE, "cross_entropy"),
    torch_nets.separable_cnn: (IMAGE, "cross_entropy"),
    torch_nets.branching_cnn: (IMAGE, "cross_entropy"),
    torch_nets.pooling_cnn: (IMAGE, "cross_entropy"),
    torch_nets.batch_norm_cnn: (IMAGE, "cross_entropy"),
    torch_nets.sigmoid_mlp: (VECTOR, "cross_entropy"),
    torch_nets.autoencoder: (VECTOR, "mse"),
}
LEARNING_RATE = 0.05
STEPS = 5


class Case:
    """One network as exported, compiled, and in PyTorch."""

    def __init__(self, build, exporter: str, directory):
        self.shape, self.loss = CASES[build]
        torch.manual_seed(0)
        net = torch_nets.randomized(build())
        path = directory / f"{build.__name__}.onnx"
        export(net, self.shape, path, exporter)
        self.model = load(path)
        self.net = torch_nets.folded(net)
        self.scheme = UpdateScheme(dict.fromkeys(self.model.parameters, ALL))

    def interpreter(self, fuse: bool) -> Interpreter:
        program, _ = build_programs(self.model, self.scheme, self.loss, fuse)
        return Interpreter(program, self.model.parameters)

    def parameters(self) -> dict[str, nn.Parameter]:
        """PyTorch's parameters under the names that ours have; layers come in the same order."""
        modules = list(self.net.modules())
        linear = [m for m in modules if isinstance(m, (nn.Conv2d, nn.Linear))]
        affine = [m for m in modules if isinstance(m, torch_nets.Affine)]
        ours = [name for layer in self.model.layers for name in layer.parameters]
        ours += [name for name in self.model.parameters if name not in ours]
        theirs = [p for m in (*linear, *affine) for p in m.parameters()]
        return dict(zip(ours, theirs, strict=True))

    def samples(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        generator = torch.Generator().manual_seed(1)
        inputs = torch.rand((STEPS, *self.shape), generator=generator) * 2 - 0.5
        if self.loss == "mse":
            return [(x, x) for x in inputs]
        return [(x, torch.tensor([index % 5])) for index, x in enumerate(inputs)]

    def torch_loss(self, x, target) -> torch.Tensor:
        function = {"mse": nn.functional.mse_loss, "cross_entropy": nn.functional.cross_entropy}
        return function[self.loss](self.net(x), target)


def export(net, shape, path, exporter: str):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net, (torch.zeros(shape),), str(path), dynamo=exporter == "dynamo", verbose=False
        )


@pytest.fixture(params=["dynamo", "legacy"])
def exporter(request):
    return request.param


@pytest.fixture(params=CASES, ids=lambda build: build.__name__)
def case(request, exporter, tmp_path) -> Case:
    return Case(request.param, exporter, tmp_path)


def run(ours: Interpreter, x, target, learning_rate: float) -> dict[str, np.ndarray]:
    kind = np.int32 if target.dtype == torch.int64 else np.float32
    return ours.run(
        input=x.numpy(), target=target.numpy().astype(kind), learning_rate=learning_rate, seed=0
    )


def relative_difference(ours: np.ndarray, theirs: torch.Tensor) -> float:
    reference = theirs.detach().numpy().ravel()
    return np.abs(ours.ravel() - reference).max() / np.abs(reference).max()


def test_loss_and_every_gradient(case):
    ours = case.interpreter(fuse=False)
    x, target = case.samples()[0]
    values = run(ours, x, target, 0)
    loss = case.torch_loss(x, target)
    loss.backward()
    assert values[ours.program.results[0].name] == pytest.approx(loss.item(), rel=1e-5)
    gradients = {op.outputs[0].name: op.inputs[1].name for op in ours.program.ops if op.in_place}
    reference = case.parameters()
    assert set(gradients) == set(reference)
    differences = {
        name: relative_difference(values[gradients[name]], parameter.grad)
        for name, parameter in reference.items()
    }
    assert max(differences.values()) < 1e-4, differences


def test_sgd_over_several_steps(case):
    ours = case.interpreter(fuse=True)
    reference = case.parameters()
    optimizer = torch.optim.SGD(reference.values(), lr=LEARNING_RATE)
    for x, target in case.samples():
        values = run(ours, x, target, LEARNING_RATE)
        optimizer.zero_grad()
        loss = case.torch_loss(x, target)
        loss.backward()
        optimizer.step()
        assert values[ours.program.results[0].name] == pytest.approx(loss.item(), rel=1e-4)
    differences = {
        name: relative_difference(ours.parameters[name], parameter)
        for name, parameter in reference.items()
    }
    assert max(differences.values()) < 1e-5, differences
