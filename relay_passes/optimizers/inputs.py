"""What a step reads besides its parameters: hyper-parameters and states of the optimizer."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from .blocks import blocks_of
from .optimizer import Optimizer


@dataclass(frozen=True)
class Inputs:
    """Their names, unlike those of any parameter, and their values at the start.

    hyper : hyper-parameter -> name of its tensor, which is 0-d.
    scalars : state of one number -> name of its tensor, which is 0-d.
    states : trained parameter -> state -> names of its tensor and, in 8 bits, of their scales.
    starts : name of a tensor -> its start.
    """

    hyper: dict[str, str]
    scalars: dict[str, str]
    states: dict[str, dict[str, tuple[str, ...]]]
    starts: dict[str, float]

    def kept(self, parameter: str, shape: Sequence[int]) -> dict[str, tuple[Kept, ...]]:
        """The tensors of each state beside `parameter`: one of its `shape`, or codes and scales.

        Codes are of shape (blocks, elements of a block), scales of (blocks,), see `blocks_of`.
        """
        return {state: _kept(names, shape) for state, names in self.states[parameter].items()}


def _kept(names: tuple[str, ...], shape: Sequence[int]) -> tuple[Kept, ...]:
    if len(names) == 1:
        return (Kept(names[0], tuple(shape), "float32"),)
    try:
        blocks = blocks_of([int(extent) for extent in shape])
    except TypeError:
        raise ValueError(f"{names[0]} in 8 bits needs a static shape, not {list(shape)}") from None
    if blocks is None:
        return (Kept(names[0], tuple(shape), "float32"),)
    return Kept(names[0], blocks, "int8"), Kept(names[1], blocks[:1], "float32")


@dataclass(frozen=True)
class Kept:
    """A tensor of the optimizer."""

    name: str
    shape: tuple[int, ...]
    dtype: str


def inputs_of(
    optimizer: Optimizer, trained: Collection[str], parameters: Collection[str]
) -> Inputs:
    """The further inputs of a step of `optimizer` over `parameters`, of which `trained` train."""
    taken, starts = set(parameters), {}

    def named(wanted: str, start: float) -> str:
        while wanted in taken:
            wanted += "_"
        taken.add(wanted)
        starts[wanted] = start
        return wanted

    hyper = {name: named(name, start) for name, start in optimizer.kept.items()}
    scalars = {scalar.name: named(scalar.name, scalar.start) for scalar in optimizer.scalars}
    ends = ("", "_scale") if optimizer.state_dtype == "int8" else ("",)
    states = {
        parameter: {
            state.name: tuple(named(f"{parameter}.{state.name}{end}", state.start) for end in ends)
            for state in optimizer.states
        }
        for parameter in parameters
        if parameter in trained
    }
    return Inputs(hyper, scalars, states, starts)
