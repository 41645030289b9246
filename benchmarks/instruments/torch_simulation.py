"""A lean simulation in PyTorch: codes as floats, float latents, only the gradients that are needed.

What a careful user would write without this compiler: the network of an int8 ONNX file with a fresh
float32 head, batch 1, without autograd. Frozen layers save nothing, adjoints go no further than the
first layer that trains, and a weight's gradient is that of its trained input channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper

_NO_SUM = (False, True, False)  # of convolution_backward: the weight's gradient alone


@dataclass
class Layer:
    """An operator and the quantization behind it; adjoints and weights are in the real domain.

    scale, zero_point : of its result. factor : from its sums to codes of the result.
    channels : those of a trained weight's input; None where it does not train. latent : codes.
    """

    kind: str
    inputs: tuple[str, ...]
    output: str
    scale: float
    zero_point: int
    name: str = ""
    weight: torch.Tensor | None = None
    bias: torch.Tensor | None = None
    weight_scale: torch.Tensor | None = None
    factor: torch.Tensor | None = None
    geometry: tuple[Any, ...] = ()
    channels: torch.Tensor | None = None
    latent: torch.Tensor | None = None
    trains_bias: bool = False
    saved: dict[str, Any] = field(default_factory=dict)


class TorchSimulation:
    """Trains the network of `path` with `scheme`: parameter -> "all", or {"ratio": share}."""

    def __init__(self, path: Path, scheme: Mapping[str, Any], classes: int, seed: int = 0):
        torch.set_num_threads(1)
        torch.manual_seed(seed)
        self.scales: dict[str, tuple[float, int]] = {}
        self.layers = list(self._read(path))
        for layer in self.layers:
            self._choose(layer, scheme)
        trains = [
            i for i, la in enumerate(self.layers) if la.trains_bias or la.channels is not None
        ]
        self.first = min(trains, default=len(self.layers))
        features = self.layers[-1].inputs[0]
        width = next(la for la in self.layers if la.output == features).bias.shape[0]
        self.head = torch.randn(classes, width) * 0.01
        self.head_bias = torch.zeros(classes)

    def step(self, codes: np.ndarray, label: int, rate: float) -> float:
        """Forward, backward and update for one sample, its int8 codes; the loss before."""
        values = self._forward(codes)
        features = values[self.layers[-1].output].reshape(-1) * self.layers[-1].scale
        logits = self.head @ features + self.head_bias
        log = torch.log_softmax(logits, 0)
        adjoint = log.exp()
        adjoint[label] -= 1
        below = self.head.t() @ adjoint
        self.head -= rate * torch.outer(adjoint, features)
        self.head_bias -= rate * adjoint
        if self.first < len(self.layers):
            self._backward(below, rate)
        return -float(log[label])

    def predict(self, codes: np.ndarray) -> int:
        """The class of one sample."""
        last = self.layers[-1]
        features = self._forward(codes)[last.output].reshape(-1) * last.scale
        return int((self.head @ features + self.head_bias).argmax())

    def _forward(self, codes: np.ndarray) -> dict[str, torch.Tensor]:
        """Codes less their zero points, by name."""
        _, zero_point = self.scales["input"]
        values = {"input": torch.from_numpy(codes[None].astype(np.float32)) - zero_point}
        for index, layer in enumerate(self.layers):
            x = [values[name] for name in layer.inputs]
            if layer.kind == "Conv":
                weight = layer.latent.round() if layer.latent is not None else layer.weight
                stride, pad, groups = layer.geometry
                y = torch.conv2d(x[0], weight, layer.bias.round(), stride, pad, 1, groups)
                y = y * layer.factor
            elif layer.kind == "Add":
                scales = [self.scales[name][0] / layer.scale for name in layer.inputs]
                y = x[0] * scales[0] + x[1] * scales[1]
            else:
                y = x[0].mean((2, 3), keepdim=True) * (
                    self.scales[layer.inputs[0]][0] / layer.scale
                )
            y = y.round_()
            low, high = -128 - layer.zero_point, 127 - layer.zero_point
            if index >= self.first:
                layer.saved = {"mask": (y >= low) & (y <= high), "x": x[0]}
            values[layer.output] = y.clamp_(low, high)
        return values

    def _backward(self, below: torch.Tensor, rate: float) -> None:
        adjoints = {self.layers[-1].output: below.reshape(1, -1, 1, 1)}
        for layer in reversed(self.layers[self.first :]):
            adjoint = adjoints.pop(layer.output) * layer.saved["mask"]
            x = layer.saved["x"]
            if layer.kind == "Add":
                found = [adjoint, adjoint]
            elif layer.kind == "Conv":
                found = [self._of_convolution(layer, adjoint, x)]
                self._update(layer, adjoint, x, rate)
            else:
                found = [(adjoint / x[0, 0].numel()).expand_as(x)]
            for name, one in zip(layer.inputs, found, strict=True):
                adjoints[name] = adjoints[name] + one if name in adjoints else one

    def _of_convolution(self, layer: Layer, adjoint: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        if layer is self.layers[self.first]:
            return adjoint.new_zeros(1)
        codes = layer.latent.round() if layer.latent is not None else layer.weight
        stride, pad, groups = layer.geometry
        return torch.ops.aten.convolution_backward(
            *(adjoint * layer.weight_scale.reshape(1, -1, 1, 1), x, codes, None),
            *(stride, pad, (1, 1), False, (0, 0), groups, (True, False, False)),
        )[0]

    def _update(self, layer: Layer, adjoint: torch.Tensor, x: torch.Tensor, rate: float) -> None:
        scale = self.scales[layer.inputs[0]][0]
        if layer.trains_bias:
            layer.bias -= rate * adjoint.sum((0, 2, 3)) / (scale * layer.weight_scale)
        if layer.channels is not None:
            stride, pad, groups = layer.geometry
            some = x[:, layer.channels]
            part = layer.latent[:, layer.channels]
            gradient = torch.ops.aten.convolution_backward(
                *(adjoint, some, part, None, stride, pad, (1, 1), False, (0, 0), groups, _NO_SUM)
            )[1]
            step = rate * scale * gradient / layer.weight_scale.reshape(-1, 1, 1, 1)
            layer.latent[:, layer.channels] = (part - step).clamp_(-127, 127)

    def _choose(self, layer: Layer, scheme: Mapping[str, Any]) -> None:
        layer.trains_bias = f"{layer.name}.bias" in scheme
        wanted = scheme.get(f"{layer.name}.weight")
        if wanted is not None:
            norms = layer.weight.abs().sum((0, 2, 3))
            share = 1.0 if wanted == "all" else wanted["ratio"]
            layer.channels = norms.argsort(descending=True)[: max(1, round(share * len(norms)))]
            layer.latent = layer.weight.clone()

    def _read(self, path: Path) -> Iterator[Layer]:
        """The operators of a QDQ file before its classifier."""
        graph = onnx.load(path).graph
        values = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
        source = {o: n for n in graph.node for o in n.output}
        behind = {n.input[0]: n for n in graph.node if n.op_type == "QuantizeLinear"}
        entry = next(n for n in graph.node if n.input[0] == graph.input[0].name)
        self.scales["input"] = float(values[entry.input[1]]), int(values[entry.input[2]])

        def codes_of(name: str) -> str:
            """The name of the codes that a dequantized value stands for."""
            codes = source[name].input[0]
            return "input" if codes == entry.output[0] else codes

        for node in graph.node:
            if node.op_type not in ("Conv", "Add", "GlobalAveragePool"):
                continue
            quantize = behind[node.output[0]]
            scale, zero_point = float(values[quantize.input[1]]), int(values[quantize.input[2]])
            output = quantize.output[0]
            self.scales[output] = scale, zero_point
            inputs = tuple(codes_of(n) for n in node.input[: 2 if node.op_type == "Add" else 1])
            layer = Layer(node.op_type, inputs, output, scale, zero_point)
            if node.op_type == "Conv":
                self._read_convolution(layer, node, source, values)
            yield layer
            if node.op_type == "GlobalAveragePool":
                return  # what follows is the classifier, which the head replaces

    def _read_convolution(
        self, layer: Layer, node: Any, source: Mapping[str, Any], values: Mapping[str, np.ndarray]
    ) -> None:
        weight, bias = source[node.input[1]], source[node.input[2]]
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        pads = tuple(attributes["pads"][:2])
        layer.name = weight.input[0].removesuffix(".weight")
        layer.geometry = tuple(attributes["strides"]), pads, attributes["group"]
        layer.weight = torch.from_numpy(values[weight.input[0]].astype(np.float32))
        layer.bias = torch.from_numpy(values[bias.input[0]].astype(np.float32))
        layer.weight_scale = torch.from_numpy(values[weight.input[1]].copy())
        factor = self.scales[layer.inputs[0]][0] * layer.weight_scale / layer.scale
        layer.factor = factor.reshape(1, -1, 1, 1)
