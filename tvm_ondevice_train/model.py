"""A model in the one representation that everything behind the frontend reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import tvm
from tvm import relax

from relay_passes.graph import bindings_of, constant_value, is_call_of, op_name, shape_of
from relay_passes.layer_words import Layer
from relay_passes.layers import layers_of

from .tensor_spec import TensorSpec

_OF_WINDOWS = {"relax.nn.conv2d", "relax.nn.max_pool2d", "relax.nn.avg_pool2d"}


@dataclass(frozen=True)
class FreshHead:
    """A head that was made here: names of its parameters, and what it is.

    unused : the vector that takes classes out of use, where they can be added on the device.
    counts : of the samples that each row was imprinted from, of a cosine head. It lies beside the
        network, which does not read it.
    described : in words, where it is not the usual one.
    """

    weight: str
    unused: str | None = None
    counts: str | None = None
    described: str | None = None


@dataclass(frozen=True)
class Model:
    """A trained network as canonical Relax.

    ``module["main"]`` takes the input (in the source model's own layout, batch 1) and every
    parameter by name, and returns the file's output in float32. Activations are NCHW, convolution
    weights OIHW, a fully connected layer is a 1x1 convolution. Int8 parts stay
    dequantize -> float op -> quantize (QDQ). ``parameters`` holds the value of each parameter as
    stored: int8 weights, int32 biases, float32 otherwise.

    ``learned`` names those that training can change beside the weights and biases of layers and
    the slopes of activations: gamma and beta of a batch norm that does not fold, learned scales and
    shifts. ``numbers`` names single numbers of the file that are constants of the graph here.
    ``computed`` has the parameters that are computed from others of the file, with the names of
    those. ``head`` is known of a head that does not come from the file.
    """

    name: str
    module: tvm.IRModule
    parameters: dict[str, np.ndarray]
    input: TensorSpec
    learned: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    computed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    head: FreshHead | None = None

    @property
    def output_shape(self) -> tuple[int, ...]:
        return tuple(int(d) for d in self.module["main"].ret_ty.shape)

    @property
    def input_layout(self) -> str | None:
        """The axes of a sample with two spatial ones: "NCHW" or "NHWC".

        Its first use tells, behind what keeps its shape: a layer of windows reads channels first,
        and a transpose to that says that the file has them last. None where neither comes first.
        """
        value = self.module["main"].params[0]
        for binding in bindings_of(self.module["main"]):
            call = binding.value
            if not isinstance(call, relax.Call) or value not in call.args:
                continue
            if op_name(call) in _OF_WINDOWS:
                return "NCHW"
            if is_call_of(call, "relax.permute_dims"):
                return "NHWC" if tuple(map(int, call.attrs.axes or ())) == (0, 3, 1, 2) else None
            if shape_of(binding.var) != self.input.shape:
                return None
            value = binding.var
        return None

    @property
    def of_classes(self) -> dict[str, np.ndarray]:
        """What of a fresh head changes besides training, by name, as it is at the start."""
        head, found = self.head, {}
        if head is not None and head.unused is not None:
            found[head.unused] = self.parameters[head.unused]
        if head is not None and head.counts is not None:
            found[head.counts] = np.zeros(self.output_shape[-1], np.float32)
        return found

    @property
    def scales(self) -> dict[str, np.ndarray]:
        """Scale of each quantized parameter: a scalar, or one for each output channel."""
        return self._decoded_with(1)

    @property
    def zero_points(self) -> dict[str, np.ndarray]:
        """Zero point of each quantized parameter, as `scales`; 0 but for asymmetric weights."""
        return self._decoded_with(2)

    def _decoded_with(self, operand: int) -> dict[str, np.ndarray]:
        decoded = (
            binding.value.args
            for binding in bindings_of(self.module["main"])
            if is_call_of(binding.value, "relax.dequantize")
        )
        return {
            arguments[0].name: constant_value(arguments[operand])
            for arguments in decoded
            if getattr(arguments[0], "name", None) in self.parameters
        }

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Every convolution or fully connected layer in execution order, with its parameters."""
        found = layers_of(self.module["main"], self.learned)
        return tuple(
            replace(layer, weight=self._own(layer.weight), bias=self._own(layer.bias))
            for layer in found
        )

    def _own(self, name: str | None) -> str | None:
        """A parameter; None for the sample, which a layer can multiply or add as well."""
        return name if name in self.parameters else None
