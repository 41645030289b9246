"""Float networks exported from PyTorch: loss, every gradient and SGD against autograd."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
import torch
import torch_nets
from instruments.interpreter import Interpreter
from shared import slow_after
from torch import nn

from tvm_ondevice_train.frontend import load
from tvm_ondevice_train.scheme.update_scheme import ALL, UpdateScheme
from tvm_ondevice_train.steps import build_steps

IMAGE, SERIES, VECTOR = (1, 3, 12, 12), (1, 3, 32), (1, 20)
CASES = {  # network -> shape of a sample, loss
    torch_nets.residual_cnn: (IMAGE, "cross_entropy"),
    torch_nets.separable_cnn: (IMAGE, "cross_entropy"),
    torch_nets.branching_cnn: (IMAGE, "cross_entropy"),
    torch_nets.pooling_cnn: (IMAGE, "cross_entropy"),
    torch_nets.gated_cnn: (IMAGE, "cross_entropy"),
    torch_nets.batch_norm_cnn: (IMAGE, "cross_entropy"),
    torch_nets.gelu_cnn: (IMAGE, "cross_entropy"),
    torch_nets.prelu_cnn: (IMAGE, "cross_entropy"),
    torch_nets.one_dimensional_cnn: (SERIES, "cross_entropy"),
    torch_nets.sigmoid_mlp: (VECTOR, "cross_entropy"),
    torch_nets.autoencoder: (VECTOR, "mse"),
}
LOSSES = {"cross_entropy": nn.functional.cross_entropy, "mse": nn.functional.mse_loss}
LEARNING_RATE = 0.05
STEPS = 5


class Case:
    """One network as exported and read again, and what PyTorch trains in its place."""

    def __init__(self, build, exporter: str, directory):
        self.shape, self.loss = CASES[build]
        torch.manual_seed(0)
        net = torch_nets.randomized(build())
        path = directory / f"{build.__name__}.onnx"
        export(net, self.shape, path, exporter)
        self.model = load(path)
        self.net = torch_nets.folded(net)

    def interpreter(self, fuse: bool) -> Interpreter:
        scheme = UpdateScheme(dict.fromkeys(self.trained, ALL))
        program, _ = build_steps(self.model, scheme.trained, self.loss, fuse)
        return Interpreter(program, self.model.parameters)

    @property
    def trained(self) -> list[str]:
        """Layers in their order, each once, with the batch norms that are not folded."""
        names = [name for layer in self.model.layers for name in layer.parameters]
        return list(dict.fromkeys(names))

    def samples(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        generator = torch.Generator().manual_seed(1)
        inputs = torch.rand((STEPS, *self.shape), generator=generator) * 2 - 0.5
        if self.loss == "mse":
            return [(x, x) for x in inputs]
        return [(x, torch.tensor([index % 5])) for index, x in enumerate(inputs)]


class Reference:
    """The case in PyTorch, with its parameters under the names that ours have."""

    def __init__(self, case: Case):
        self.net = copy.deepcopy(case.net)
        self.function = LOSSES[case.loss]
        kinds = nn.Conv1d | nn.Conv2d | nn.Linear | nn.PReLU | nn.BatchNorm2d
        modules = [m for m in self.net.modules() if isinstance(m, kinds)]
        if isinstance(modules[0], nn.BatchNorm2d):  # it belongs to the first layer
            modules[:2] = modules[1::-1]
        parameters = [p for m in modules for p in m.parameters()]
        self.parameters = dict(zip(case.trained, parameters, strict=True))

    def backward(self, x, target) -> float:
        self.net.zero_grad()
        loss = self.function(self.net(x), target)
        loss.backward()
        return loss.item()


def export(net, shape, path, exporter: str):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net, (torch.zeros(shape),), str(path), dynamo=exporter == "dynamo", verbose=False
        )


@pytest.fixture(scope="module", params=slow_after(1, ["dynamo", "legacy"]))
def exporter(request):
    return request.param


@pytest.fixture(scope="module", params=CASES, ids=lambda build: build.__name__)
def case(request, exporter, tmp_path_factory) -> Case:
    return Case(request.param, exporter, tmp_path_factory.mktemp("exported"))


def run(ours: Interpreter, x, target, learning_rate: float) -> dict[str, np.ndarray]:
    kind = np.int32 if target.dtype == torch.int64 else np.float32
    return ours.run(
        input=x.numpy(), target=target.numpy().astype(kind), learning_rate=learning_rate, seed=0
    )


def relative_difference(ours: np.ndarray, theirs: torch.Tensor) -> float:
    reference = theirs.detach().numpy().ravel()
    return np.abs(ours.ravel() - reference).max() / np.abs(reference).max()


def test_loss_and_every_gradient(case):
    ours, reference = case.interpreter(fuse=False), Reference(case)
    x, target = case.samples()[0]
    values = run(ours, x, target, 0)
    loss = reference.backward(x, target)
    assert values[ours.step.results[0].name] == pytest.approx(loss, rel=1e-5)
    gradients = {op.outputs[0].name: op.inputs[1].name for op in ours.step.tasks if op.updates}
    assert set(gradients) == set(reference.parameters)
    differences = {
        name: relative_difference(values[gradients[name]], parameter.grad)
        for name, parameter in reference.parameters.items()
    }
    print(f"gradients differ by {max(differences.values()):.1e} at most")
    assert max(differences.values()) < 1e-4, differences


def test_sgd_over_several_steps(case):
    """With fused kernels, as they run on a device."""
    ours, reference = case.interpreter(fuse=True), Reference(case)
    optimizer = torch.optim.SGD(reference.parameters.values(), lr=LEARNING_RATE)
    for x, target in case.samples():
        values = run(ours, x, target, LEARNING_RATE)
        loss = reference.backward(x, target)
        optimizer.step()
        assert values[ours.step.results[0].name] == pytest.approx(loss, rel=1e-5)
    differences = {
        name: relative_difference(ours.parameters[name], parameter)
        for name, parameter in reference.parameters.items()
    }
    print(f"parameters differ by {max(differences.values()):.1e} at most")
    assert max(differences.values()) < 1e-5, differences
