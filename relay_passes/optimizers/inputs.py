"""What a step reads besides its parameters: hyper-parameters and states of the optimizer."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from .optimizer import Optimizer


@dataclass(frozen=True)
class Inputs:
    """Their names, unlike those of any parameter, and their values at the start.

    hyper : hyper-parameter -> name of its tensor, which is 0-d.
    scalars : state of one number -> name of its tensor, which is 0-d.
    states : trained parameter -> state -> name of its tensor, which is of the parameter's shape.
    starts : name of a tensor -> its start.
    """

    hyper: dict[str, str]
    scalars: dict[str, str]
    states: dict[str, dict[str, str]]
    starts: dict[str, float]


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
    states = {
        parameter: {
            state.name: named(f"{parameter}.{state.name}", state.start)
            for state in optimizer.states
        }
        for parameter in parameters
        if parameter in trained
    }
    return Inputs(hyper, scalars, states, starts)
