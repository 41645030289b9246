"""What a TVM user does: import a network, compile a step, run it; PyTorch beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
import tvm
from tvm import relax
from tvm.relax.frontend.torch import from_exported_program

RATE = 0.1
LABEL = 2


class Residual(torch.nn.Module):
    """Two convolutions, one depthwise and beside a shortcut, a pool, a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.a = torch.nn.Conv2d(3, 8, 3, padding=1)
        self.b = torch.nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.fc = torch.nn.Linear(8, 4)

    def forward(self, x):
        x = torch.relu(self.a(x))
        x = torch.nn.functional.max_pool2d(x + torch.relu(self.b(x)), 2)
        return self.fc(x.mean((2, 3)))


def seeded(build=Residual) -> torch.nn.Module:
    torch.manual_seed(0)
    return build().eval()


def image(*shape: int) -> torch.Tensor:
    return torch.randn(*(shape or (1, 3, 8, 8)), generator=torch.Generator().manual_seed(1))


def imported(network: torch.nn.Module, data: torch.Tensor) -> tuple[tvm.IRModule, dict]:
    """``main(input, parameters...)`` as TVM's frontend makes it, and the parameters' values."""
    program = torch.export.export(network, (data,))
    module = from_exported_program(
        program, keep_params_as_input=True, unwrap_unit_return_tuple=True
    )
    module, values = relax.frontend.detach_params(module)
    names = [p.name for p in module["main"].params[1:]]
    return module, {n: v.numpy() for n, v in zip(names, values["main"], strict=True)}


def compiled(module: tvm.IRModule, function: str = "main", **options) -> Callable[..., list]:
    """A function compiled by TVM for the CPU: numpy arrays in and out, tuples as lists."""
    machine = relax.VirtualMachine(tvm.compile(module, target="llvm", **options), tvm.cpu())
    return lambda *operands: _numpy(machine[function](*map(_tensor, operands)))


def run(module: tvm.IRModule, *operands, **options) -> list:
    """What `compiled` gives for these operands."""
    return compiled(module, **options)(*operands)


def run_named(module: tvm.IRModule, operands: Mapping, function: str = "main", **options) -> list:
    """The same for operands by the names of the function's parameters; one result as a list."""
    ordered = [operands[p.name] for p in module[function].params]
    results = run(module, *ordered, function=function, **options)
    return results if isinstance(results, list) else [results]


def run_step(
    module: tvm.IRModule,
    operands: Mapping[str, np.ndarray],
    function: str = "main",
    **options,
) -> dict[str, np.ndarray]:
    """The loss and the updated parameters by their names, of a step at learning rate RATE."""
    operands = {"learning_rate": np.float32(RATE), "seed": np.uint32(0), **operands}
    results = run_named(module, operands, function, **options)
    trained = [str(name) for name in module[function].attrs["trained_parameters"]]
    return dict(zip(["loss", *trained], results, strict=False))


def torch_step(network: torch.nn.Module, data: torch.Tensor, labels: Sequence[int] = (LABEL,)):
    """As `run_step`, by PyTorch; parameters have the names that TVM's frontend gives them."""
    network.zero_grad()
    loss = torch.nn.functional.cross_entropy(network(data), torch.tensor(labels))
    loss.backward()
    updated = {
        "p_" + name.replace(".", "_"): (p - RATE * p.grad).detach().numpy()
        for name, p in network.named_parameters()
        if p.grad is not None
    }
    return {"loss": loss.item(), **updated}


def assert_close(found: Mapping, expected: Mapping, tolerance: float = 1e-6) -> None:
    """Whether each of `found` is what is expected of it."""
    assert found
    for name, value in found.items():
        np.testing.assert_allclose(value, expected[name], rtol=0, atol=tolerance, err_msg=name)


def _tensor(value):
    if isinstance(value, (tuple, list)):
        return tuple(map(_tensor, value))
    return tvm.runtime.tensor(np.array(value, order="C"))


def _numpy(value):
    return value.numpy() if hasattr(value, "numpy") else [_numpy(one) for one in value]
