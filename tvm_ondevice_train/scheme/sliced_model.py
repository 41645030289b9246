"""A model whose weights are cut into what trains and what stays in flash."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from relay_passes.backward.split_parameters import SplitParameters, channel_axis, split_values
from relay_passes.graph import consumers_of

from ..model import Model
from .channel_choice import choose_channels
from .channel_numbering import number_channels
from .frozen_values import compute_frozen
from .slices import Slice
from .update_scheme import UpdateScheme


@dataclass(frozen=True)
class SlicedModel:
    """`model` computes what `source` does, with other parameters: a weight that trains in part is
    two, its trained channels under its own name and the frozen ones. `slices` says, for each
    trained parameter, what of the source's it holds.
    """

    source: Model
    model: Model
    slices: Mapping[str, Slice]


def slice_model(model: Model, scheme: UpdateScheme) -> SlicedModel:
    """Choose the channels that train, renumber so that they are side by side, and split.

    scheme : as `scheme.resolve` gave it.
    """
    channels = choose_channels(scheme, model)
    reduced = compute_frozen(model, scheme.trained)
    ordered, channels, order = number_channels(reduced, channels)
    function = ordered.module["main"]
    parameters, consumers = {p.name: p for p in function.params}, consumers_of(function)
    slices = {}
    for name in scheme.trained:
        axes = list(order.axes.get(name, (None, None)))
        if name in channels:
            axis, rows = channel_axis(consumers, parameters[name])
            kept = np.array([c * rows + r for c in channels[name] for r in range(rows)])
            moved = axes[axis]
            axes[axis] = kept if moved is None else moved[kept]
        slices[name] = Slice(model.parameters[name].shape, *axes)
    module = SplitParameters(channels)(ordered.module)
    values = split_values(function, ordered.parameters, channels)
    return SlicedModel(model, replace(ordered, module=module, parameters=values), slices)
