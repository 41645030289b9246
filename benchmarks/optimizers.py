"""How optimizers learn and what they keep: turned digits, states in float32 and in 8 bits.

    make demo && python benchmarks/optimizers.py build/demo [--seeds N] [--epochs N]

The network and the 400 turned digits are those of `make demo`; accuracy is that on 397 others. The
peer is PyTorch, which trains the float32 network that the int8 one was made from, with its own
optimizer, sample by sample in the same order.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch.nn import functional

import tvm_ondevice_train as odt
from relay_passes.optimizers import SGD, Adam, Momentum, Optimizer
from tvm_ondevice_train.device import Session

OPTIMIZERS = (SGD(0.01), Momentum(0.002), Adam(0.001))


def order_of(epochs: int, samples: int, seed: int) -> np.ndarray:
    """The samples of a run by their numbers."""
    generator = np.random.default_rng(seed)
    return np.concatenate([generator.permutation(samples) for _ in range(epochs)])


def on_the_device(model: Path, optimizer: Optimizer, data: dict, epochs: int, seeds: int):
    """Accuracy of each seed, and the SRAM of the training step."""
    compiled = odt.compile(model, scheme="full", sram_bytes=1 << 20, optimizer=optimizer)
    found = []
    with (
        tempfile.TemporaryDirectory() as directory,
        Session(compiled.save(Path(directory, "project"), platform="host")) as device,
    ):
        for seed in range(seeds):
            device.reset()
            device.set_seed(seed)
            for at in order_of(epochs, len(data["y"]), seed):
                device.train(data["x"][at], data["y"][at])
            right = [device.predict(x).argmax() for x in data["x_test"]] == data["y_test"]
            found.append(np.mean(right))
    return found, compiled.report


def in_torch(model: Path, optimizer: Optimizer, data: dict, epochs: int, seeds: int) -> list[float]:
    """Accuracy of each seed of the float32 network in PyTorch."""
    values = {
        one.name: torch.tensor(numpy_helper.to_array(one))
        for one in onnx.load(model).graph.initializer
        if one.name.endswith((".weight", ".bias"))
    }
    return [_trained(values, optimizer, data, epochs, seed) for seed in range(seeds)]


def _trained(values: dict, optimizer: Optimizer, data: dict, epochs: int, seed: int) -> float:
    values = {name: value.clone().requires_grad_() for name, value in values.items()}
    rate = optimizer.learning_rate
    peer = (
        torch.optim.Adam(values.values(), rate)
        if isinstance(optimizer, Adam)
        else torch.optim.SGD(values.values(), rate, getattr(optimizer, "momentum", 0.0))
    )
    x, y = torch.tensor(data["x"]), torch.tensor(data["y"])
    for at in order_of(epochs, len(y), seed):
        loss = functional.cross_entropy(_logits(values, x[at : at + 1]), y[at : at + 1])
        peer.zero_grad()
        loss.backward()
        peer.step()
    with torch.no_grad():
        predicted = _logits(values, torch.tensor(data["x_test"])).argmax(1).numpy()
    return float(np.mean(predicted == data["y_test"]))


def _logits(values: dict, x: torch.Tensor) -> torch.Tensor:
    def convolved(layer: str, y: torch.Tensor) -> torch.Tensor:
        weight, bias = values[f"{layer}.weight"], values[f"{layer}.bias"]
        return functional.conv2d(y, weight, bias, padding=1).relu()

    pooled = functional.max_pool2d(convolved("conv2", convolved("conv1", x)), 2)
    features = (convolved("conv3", pooled) + pooled).mean((2, 3))
    return functional.linear(features, values["fc.weight"].reshape(10, 32), values["fc.bias"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("demo", type=Path, help="the directory that `make demo` wrote")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = dict(np.load(arguments.demo / "sideways.npz"))
    run = data, arguments.epochs, arguments.seeds
    print("| optimizer | states | accuracy, % | SRAM | trainable state |\n|---|---|---|---|---|")
    for optimizer in OPTIMIZERS:
        found = in_torch(arguments.demo / "digits.onnx", optimizer, *run)
        _print(optimizer, "PyTorch, float32 network", found, None)
        for state_dtype in ("float32", "int8") if optimizer.states else ("none",):
            kept = {"state_dtype": state_dtype} if optimizer.states else {}
            own = type(optimizer)(optimizer.learning_rate, **kept)
            found, report = on_the_device(arguments.demo / "digits_int8.onnx", own, *run)
            _print(own, state_dtype, found, report)


def _print(optimizer: Optimizer, states: str, accuracy: list[float], report: dict | None) -> None:
    measured = f"{100 * np.mean(accuracy):.1f} ± {100 * np.std(accuracy):.1f}"
    keys = "peak_sram_bytes", "trainable_state_bytes"
    sizes = [f"{report[key]:,}" if report else "" for key in keys]
    cells = [optimizer.name, states, measured, *sizes]
    print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
