"""Which input channels of a weight train, where a scheme trains some of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from tvm import relax

from relay_passes.backward import split_parameters
from relay_passes.graph import bindings_of, consumers_of, shape_of
from relay_passes.layer_words import Layer
from relay_passes.ops.registry import operator_of

from ..errors import OdtError
from ..model import Model
from .update_scheme import Channels, UpdateScheme


@dataclass(frozen=True)
class ChannelAxis:
    """Where a convolution's weight (outputs, inputs of a group, height, width) has its channels.

    On axis 1: one position for each input channel of a group, the same in every group. Where each
    group has a single input channel (depthwise), on axis 0: the groups, of `rows` outputs each.
    """

    axis: int
    channels: int
    rows: int
    groups: int


def choose_channels(scheme: UpdateScheme, model: Model) -> dict[str, tuple[int, ...]]:
    """The channels that train, ascending, for each parameter of which only some do.

    scheme: as `resolve` gave it. Raises OdtError where the model has no such channels.
    """
    chosen = {}
    for name, what in scheme.parameters.items():
        if isinstance(what, Channels):
            axis = channel_axis(model, name)
            channels = _chosen(what, name, model, axis)
            if len(channels) < axis.channels:
                chosen[name] = channels
    return chosen


def channel_axis(model: Model, name: str) -> ChannelAxis:
    """The channels of weight `name`; OdtError where it is no convolution's weight alone."""
    function = model.module["main"]
    parameter = next((p for p in function.params[1:] if p.name == name), None)
    calls = [call for layer, call in linear_calls(model) if layer.weight == name]
    try:
        axis, rows = split_parameters.channel_axis(consumers_of(function), parameter)
    except ValueError as error:
        raise OdtError(
            f'scheme: parameter "{name}" is not only the weight of convolutions or fully '
            'connected layers, so that it has no channels to choose from; use "all" or "frozen"'
        ) from error
    channels = shape_of(parameter)[axis] // rows
    return ChannelAxis(axis, channels, rows, int(calls[0].attrs.groups))


def linear_calls(model: Model) -> list[tuple[Layer, relax.Call]]:
    """Each of `model.layers` with its call, whose arguments are input and weight."""
    values = (binding.value for binding in bindings_of(model.module["main"]))
    calls = [value for value in values if operator_of(value).layer]
    return list(zip(model.layers, calls, strict=True))


def _chosen(what: Channels, name: str, model: Model, axis: ChannelAxis) -> tuple[int, ...]:
    try:
        return what.numbered(axis.channels, _squared_norms(model.parameters[name], axis).tolist())
    except OdtError as error:
        raise OdtError(f'scheme: parameter "{name}": {error}') from error


def _squared_norms(weight: np.ndarray, axis: ChannelAxis) -> np.ndarray:
    """Squared L2 norm of the stored weight over all but its input channels: (channels,)."""
    rows = np.moveaxis(weight.astype(np.float64), axis.axis, 0).reshape(axis.channels, -1)
    return (rows**2).sum(axis=1)
