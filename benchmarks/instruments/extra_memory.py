"""The analytic extra memory of a scheme, after Lin et al. 2022: what a search of schemes costs by.

It counts what training adds for an int8 network: a byte for each saved input and each trained
weight, four for each trained bias, a bit for each output whose range mask is kept. The head's own
parameters and mask are not counted: a fresh head is there whatever else trains. Adjoints, work
space and the forward pass are not in it; the memory plan of a compiled step has everything.
"""

from __future__ import annotations

import math
import os
from dataclasses import astuple, dataclass
from fractions import Fraction

from relay_passes.graph import shape_of
from tvm_ondevice_train.model import Model
from tvm_ondevice_train.scheme.channel_choice import channel_axis, choose_channels, linear_calls
from tvm_ondevice_train.scheme.update_scheme import UpdateScheme, resolve


@dataclass(frozen=True)
class ExtraMemory:
    """Bytes of saved inputs, of range masks, of trained weights and of trained biases."""

    activation_bytes: int
    mask_bytes: int
    weight_bytes: int
    bias_bytes: int

    @property
    def total_bytes(self) -> int:
        return sum(astuple(self))


def extra_memory(model: Model, scheme: str | os.PathLike | UpdateScheme) -> ExtraMemory:
    """The extra memory of training `model` by `scheme`, which is what `resolve` takes.

    A trained weight of c x k x k for each output, of which n input channels train, saves
    ``height * width * n`` bytes of its input and takes ``outputs * n * k * k`` (depthwise:
    ``n * k * k``); a trained bias takes ``4 * outputs`` and saves ``output elements / 8``.
    """
    scheme = resolve(scheme, model.layers)
    chosen, trained = choose_channels(scheme, model), set(scheme.trained)
    activation = mask = 0
    *_, (head, _) = calls = linear_calls(model)
    for layer, call in calls:
        data = call.args[0]
        if layer.weight in trained:
            activation += math.prod(shape_of(data)) * _share(model, chosen, layer.weight)
        if layer.bias in trained and layer is not head:
            mask += math.ceil(math.prod(shape_of(call)) / 8)
    counted = trained.difference(head.parameters)
    weights = counted & {layer.weight for layer, _ in calls}
    biases = counted & {layer.bias for layer, _ in calls}
    return ExtraMemory(
        int(activation),
        mask,
        int(sum(model.parameters[w].size * _share(model, chosen, w) for w in weights)),
        sum(4 * model.parameters[b].size for b in biases),
    )


def _share(model: Model, chosen: dict[str, tuple[int, ...]], weight: str) -> Fraction:
    """The part of a trained weight's input channels that trains."""
    if weight not in chosen:
        return Fraction(1)
    return Fraction(len(chosen[weight]), channel_axis(model, weight).channels)
