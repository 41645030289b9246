"""A model in the one representation that everything behind the frontend reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tvm

from relay_passes.graph import bindings_of, constant_value, is_call_of
from relay_passes.layer_words import Layer
from relay_passes.layers import layers_of

from .tensor_spec import TensorSpec


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
    """

    name: str
    module: tvm.IRModule
    parameters: dict[str, np.ndarray]
    input: TensorSpec
    learned: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()

    @property
    def output_shape(self) -> tuple[int, ...]:
        return tuple(int(d) for d in self.module["main"].ret_ty.shape)

    @property
    def scales(self) -> dict[str, np.ndarray]:
        """Scale of each quantized parameter: a scalar, or one for each output channel."""
        decoded = (
            binding.value.args
            for binding in bindings_of(self.module["main"])
            if is_call_of(binding.value, "relax.dequantize")
        )
        return {
            data.name: constant_value(scale)
            for data, scale, _ in decoded
            if getattr(data, "name", None) in self.parameters
        }

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Every convolution or fully connected layer in execution order, with its parameters."""
        return layers_of(self.module["main"], self.learned)
