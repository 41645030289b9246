"""What ties an ONNX operator's attributes to its operands, as ONNX Runtime holds it.

A rule gives pairs (what was found, what is allowed) of one node; shapes are known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from .accepted import STORED_CODES
from .words import numbers, quoted, word_of


@dataclass
class Tensor:
    """What is known of a tensor: element "" and shape None where nothing is; of constants value."""

    name: str
    element: str = ""
    shape: tuple[int, ...] | None = None
    value: Callable[[], np.ndarray] | None = None

    @property
    def constant(self) -> bool:
        return self.value is not None


@dataclass(frozen=True)
class Node:
    """A node with its operands (None: left out) and its attributes as Python has them."""

    proto: onnx.NodeProto
    operands: tuple[Tensor | None, ...]
    attributes: dict[str, Any]

    def operand(self, position: int) -> Tensor | None:
        return self.operands[position] if position < len(self.operands) else None

    def shape(self, position: int) -> tuple[int, ...]:
        operand = self.operand(position)
        assert operand is not None and operand.shape is not None, "rules run on known shapes"
        return operand.shape

    def value(self, position: int) -> np.ndarray | None:
        operand = self.operand(position)
        return operand.value() if operand is not None and operand.value is not None else None


Problems = Iterator[tuple[str, str]]


def _window(node: Node) -> Problems:
    """Of a convolution or pool: one or two axes, one number of each attribute for each."""
    spatial = len(node.shape(0)) - 2
    if spatial not in (1, 2):
        yield f"data of shape {numbers(node.shape(0))}", "maps of one or two dimensions are read"
        return
    lengths = {"kernel_shape": 1, "strides": 1, "dilations": 1, "pads": 2}
    for name, each in lengths.items():
        found = node.attributes.get(name)
        if found is not None and len(found) != each * spatial:
            yield f"{name} {found}", f"it needs {each * spatial} numbers"
            return
    if node.attributes.get("auto_pad", "NOTSET") == "NOTSET":
        return
    if any(node.attributes.get("pads", ())):
        yield "both auto_pad and pads", "give one of them"
    if any(n != 1 for n in node.attributes.get("dilations", ())):
        yield "auto_pad with dilations", "give explicit pads"


def _convolution(node: Node) -> Problems:
    yield from _window(node)
    data, weight = node.shape(0), node.shape(1)
    group = node.attributes.get("group", 1)
    if len(weight) != len(data):
        yield f"a weight of shape {numbers(weight)} for {numbers(data)}", "ranks must be the same"
        return
    kernel = node.attributes.get("kernel_shape", weight[2:])
    if tuple(kernel) != weight[2:]:
        yield f"kernel_shape {list(kernel)} for a weight of {numbers(weight)}", "they must agree"
    if weight[1] * group != data[1] or weight[0] % group:
        found = f"{data[1]} channels, group {group}, a weight of {numbers(weight)}"
        yield found, "the weight's second axis times group must be the channels"
    if node.operand(2) is not None and node.shape(2) != (weight[0],):
        yield f"a bias of shape {numbers(node.shape(2))}", f"it needs {weight[0]} values"


def _pool(node: Node) -> Problems:
    yield from _window(node)
    kernel, pads = node.attributes["kernel_shape"], node.attributes.get("pads", [])
    if any(pad >= kernel[axis % len(kernel)] for axis, pad in enumerate(pads)):
        yield f"pads {pads} of a window {kernel}", "pads must be smaller than the window"


def _axes(node: Node) -> Problems:
    """Axes in an attribute, or in the second operand, that are named once."""
    operand = node.value(1)
    axes = node.attributes.get("axes", [] if operand is None else operand.reshape(-1).tolist())
    rank = len(node.shape(0)) + (len(axes) if node.proto.op_type == "Unsqueeze" else 0)
    if any(not -rank <= axis < rank for axis in axes):
        yield f"axes {list(axes)} of {rank}", "they must be axes of the tensor"
    elif len({axis % rank for axis in axes}) < len(axes):
        yield f"axes {list(axes)}", "each may be named once"


def _axis(node: Node) -> Problems:
    rank, axis = len(node.shape(0)), node.attributes.get("axis", 0)
    if not -rank <= axis < rank:
        yield f"axis {axis} of {rank}", "it must be an axis of the tensor"


def _transpose(node: Node) -> Problems:
    rank = len(node.shape(0))
    perm = list(node.attributes.get("perm", range(rank)))
    if sorted(perm) != list(range(rank)):
        yield f"perm {perm}", f"it must name each axis from 0 to {rank - 1} once"


def _batch_norm(node: Node) -> Problems:
    channels = node.shape(0)[1] if len(node.shape(0)) > 1 else 0
    for position, name in enumerate(("scale", "B", "mean", "var"), 1):
        if node.shape(position) != (channels,):
            found = f"{name} of shape {numbers(node.shape(position))}"
            yield found, f"it needs {channels} values, one for each channel"
            return
    variance = node.value(4)
    if variance is not None and not (variance > -node.attributes.get("epsilon", 1e-5)).all():
        yield "a variance that is not above -epsilon", "it divides by its root; export it anew"


def _clip(node: Node) -> Problems:
    for position, name in ((1, "min"), (2, "max")):
        if node.operand(position) is not None and np.prod(node.shape(position)) != 1:
            yield f"{name} of shape {numbers(node.shape(position))}", "it must be one number"
    low, high = (node.attributes.get(name) for name in ("min", "max"))
    if low is not None and high is not None and low > high:  # as operands ONNX allows it
        yield f"min {low:g} above max {high:g}", "the lower bound may not be above the upper"


def _dropout(node: Node) -> Problems:
    training = node.value(2)
    if training is not None and training.any():
        yield "training_mode", "the model was exported in training mode: call model.eval() first"


def _blocks(node: Node) -> Problems:
    shape, size = node.shape(0), node.attributes["blocksize"]
    deep = node.proto.op_type == "DepthToSpace"
    divided = (shape[1] // size,) if deep else shape[2:]
    if len(shape) != 4:
        yield f"data of shape {numbers(shape)}", "it needs four axes"
    elif shape[1] % size**2 if deep else any(n % size for n in shape[2:]):
        yield f"blocksize {size} of {numbers(shape)}", f"it must divide {numbers(divided)}"


def _matmul(node: Node) -> Problems:
    if min(len(node.shape(0)), len(node.shape(1))) < 2:
        yield "an operand of one axis", "it needs two axes or more"


def _quantization(node: Node) -> Problems:
    codes, zero_point = node.operands[0], node.operand(2)
    scale, values = node.shape(1), node.value(1)
    decodes = node.proto.op_type == "DequantizeLinear"
    if decodes and codes and codes.constant and codes.element not in STORED_CODES:
        yield f"{quoted(codes.name)} is {word_of(codes.element)}", "codes have 8, 16 or 32 bits"
    if values is not None and not np.isfinite(values * np.float32(128)).all():
        yield "a scale that is no finite number", "quantize the model anew"
    if zero_point is not None and np.prod(node.shape(2)) != np.prod(scale):
        found = f"scale of shape {numbers(scale)}, zero point of {numbers(node.shape(2))}"
        yield found, "they must have the same shape"
    if len(scale) > 1:
        yield f"scale of shape {numbers(scale)}", "one number, or one for each channel, is read"
    if np.prod(scale) > 1:
        rank, axis = len(node.shape(0)), node.attributes.get("axis", 1)
        axis = 0 if rank == 1 and axis == 1 else axis
        if not -rank <= axis < rank:
            yield f"axis {axis} of {rank}", "it must be an axis of the tensor"
        elif scale != (node.shape(0)[axis],):
            yield f"{scale[0]} scales for {node.shape(0)[axis]} channels", "one for each is needed"


RULES: dict[str, Callable[[Node], Problems]] = {
    "AveragePool": _pool,
    "BatchNormalization": _batch_norm,
    "Clip": _clip,
    "Concat": _axis,
    "Conv": _convolution,
    "DepthToSpace": _blocks,
    "DequantizeLinear": _quantization,
    "Dropout": _dropout,
    "LogSoftmax": _axis,
    "MatMul": _matmul,
    "MaxPool": _pool,
    "QuantizeLinear": _quantization,
    "ReduceMean": _axes,
    "Softmax": _axis,
    "SpaceToDepth": _blocks,
    "Squeeze": _axes,
    "Transpose": _transpose,
    "Unsqueeze": _axes,
}
