"""Renumber channels at compile time, so that those which train lie side by side.

A tensor's channels can be in any order as long as everything that writes or reads the tensor
agrees: rows of the convolution before it (weight, scale, bias), columns of the one behind it, and
whatever shares its numbering through residual adds, depthwise convolutions, pools or elementwise
operators. Permuting constants costs the device nothing, a gather would.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np
import tvm
from tvm import relax

from relay_passes.backward.split_parameters import channel_axis
from relay_passes.graph import Emit, constant_value, consumers_of, rebuilt
from relay_passes.ops.channels import ranges_of

from ..model import Model
from .channel_spaces import Orders, Spaces, channel_spaces

MAX_SETS_TRIED = 5  # ranks of the sets: 5! = 120


@dataclass(frozen=True)
class ChannelNumbering:
    """How the model was renumbered.

    axes : parameter name -> for each of its first two axes the original index of every position,
        None where the order is the original one. Parameters that kept theirs are left out.
    """

    axes: Mapping[str, Orders]


def number_channels(
    model: Model, channels: Mapping[str, Sequence[int]]
) -> tuple[Model, dict[str, tuple[int, ...]], ChannelNumbering]:
    """Renumber `model` so that each weight's trained channels are as few ranges as possible.

    channels : weight name -> original numbers of the input channels that train.

    Returns the model, the same channels by their new numbers (ascending), and what was moved. The
    model's own input and output keep their order; so does whatever shares a numbering with them or
    with an operator that mixes channels in another way (concat, transpose): channels there may stay
    several ranges, which costs the device a comparison for each.
    """
    function = model.module["main"]
    spaces = channel_spaces(function)
    wanted: dict[int, list[tuple[int, ...]]] = {}
    for name, chosen in channels.items():
        space = spaces.of_channels(name, _axis(function, name))
        if space is not None:
            wanted.setdefault(space, []).append(tuple(chosen))
    numberings = {
        space: numbering
        for space, sets in wanted.items()
        if not _is_identity(numbering := _numbering(spaces.extent[space], sets))
    }
    renumbered = {
        name: _renumbered(chosen, spaces.numberings_of(name, numberings)[_axis(function, name)])
        for name, chosen in channels.items()
    }
    axes = {name: spaces.numberings_of(name, numberings) for name in model.parameters}
    axes = {name: pair for name, pair in axes.items() if any(o is not None for o in pair)}
    return _permuted(model, spaces, numberings, axes), renumbered, ChannelNumbering(axes)


def _is_identity(numbering: np.ndarray) -> bool:
    return np.array_equal(numbering, np.arange(len(numbering)))


def _axis(function: relax.Function, name: str) -> int:
    parameter = next(p for p in function.params if p.name == name)
    return channel_axis(consumers_of(function), parameter)[0]


def _renumbered(chosen: Sequence[int], order: np.ndarray | None) -> tuple[int, ...]:
    if order is None:
        return tuple(chosen)
    return tuple(int(i) for i in np.flatnonzero(np.isin(order, chosen)))


def _numbering(extent: int, sets: list[tuple[int, ...]]) -> np.ndarray:
    """Original channel of each position: each set side by side, as far as that is possible."""
    distinct = sorted(set(sets), key=lambda s: (-len(s), s))
    first, others = distinct[:MAX_SETS_TRIED], distinct[MAX_SETS_TRIED:]
    channels = list(range(extent))
    tried = (_side_by_side(channels, [*ranked, *others]) for ranked in permutations(first))
    return min(map(np.array, [channels, *tried]), key=lambda order: _cost(order, distinct))


def _side_by_side(
    channels: list[int], sets: Sequence[tuple[int, ...]], members_last: bool = False
) -> list[int]:
    """Members of the first set on one side, and in both parts those of the next at the border."""
    if not sets or not channels:
        return channels
    inside = [c for c in channels if c in sets[0]]
    outside = [c for c in channels if c not in sets[0]]
    left, right = (outside, inside) if members_last else (inside, outside)
    return [*_side_by_side(left, sets[1:], True), *_side_by_side(right, sets[1:], False)]


def _cost(order: np.ndarray, sets: Iterable[tuple[int, ...]]) -> tuple[int, int]:
    """Ranges of all sets, and how many sets do not begin at channel 0."""
    found = [ranges_of(_renumbered(chosen, order)) for chosen in sets]
    return sum(len(ranges) for ranges in found), sum(ranges[0] > 0 for ranges in found)


def _permuted(
    model: Model, spaces: Spaces, numberings: Mapping[int, np.ndarray], axes: Mapping[str, Orders]
) -> Model:
    """`model` with every value in its new order; its graph but for constants is the same."""
    if not numberings:
        return model
    values = dict(model.parameters)
    for name, pair in axes.items():
        for axis, order in enumerate(pair):
            if order is not None:
                values[name] = np.ascontiguousarray(np.take(values[name], order, axis))

    def rewrite(_emit: Emit, binding: relax.VarBinding) -> relax.Expr:
        value = binding.value
        moved = {}
        for position, axis, space in spaces.constants.get(binding.var, ()):
            if space in numberings:
                known = constant_value(value.args[position])
                moved[position] = relax.const(np.take(known, numberings[space], axis))
        if not moved:
            return value
        args = [moved.get(position, arg) for position, arg in enumerate(value.args)]
        return relax.Call(value.op, args, value.attrs, value.ty_args)

    function = rebuilt(model.module["main"], rewrite)
    return replace(model, module=tvm.IRModule({"main": function}), parameters=values)
