"""What a step that learns from batches keeps between samples, by its names."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from .inputs import inputs_of
from .optimizer import Optimizer

ACCUMULATORS = ("float32", "int16")
LEAST_OF_ROW = 4  # elements; of shorter rows sums stay float32, which takes less than peaks
MOST_SAMPLES = (1 << 24) - 1  # of a batch: a float32 counts no further


@dataclass(frozen=True)
class Accumulation:
    """Gradients of the samples of a batch are added; `optimizer` follows their mean.

    accumulator : the format of the sums, of `ACCUMULATORS`. int16 has a peak for each row of axis
        0, the largest magnitude that was in it since the sums were cleared, and codes of ``peak /
        32767``: each sample rounds an element by half of that at most.
    """

    optimizer: Optimizer
    accumulator: str = "float32"


@dataclass(frozen=True)
class GradientSum:
    """The sum of the gradients of one parameter; 0 at the start, as its peaks.

    peaks : name of the float32 vector with the peak of each row; None for a float32 sum.
    """

    name: str
    shape: tuple[int, ...]
    peaks: str | None

    @property
    def dtype(self) -> str:
        """float32 or int16."""
        return "float32" if self.peaks is None else "int16"


@dataclass(frozen=True)
class BatchTensors:
    """Tensors by their names, unlike those of parameters and of what the optimizer keeps.

    sums : by the trained parameter.
    count : how many samples the sums hold; uint32, 0-d; 0 at the start.
    size : how many samples make a batch, as `count`; no step reads it.
    """

    sums: dict[str, GradientSum]
    count: str
    size: str


def batch_tensors(
    accumulation: Accumulation, trained: Collection[str], shapes: Mapping[str, Sequence[int]]
) -> BatchTensors:
    """What `accumulation` keeps beside parameters of `shapes`, of which `trained` train."""
    taken = {*shapes, *inputs_of(accumulation.optimizer, trained, shapes).starts}

    def named(wanted: str) -> str:
        while wanted in taken:
            wanted += "_"
        taken.add(wanted)
        return wanted

    def sum_of(name: str) -> GradientSum:
        shape, called = tuple(map(int, shapes[name])), named(f"{name}.accumulator")
        coded = accumulation.accumulator == "int16" and math.prod(shape[1:]) >= LEAST_OF_ROW
        return GradientSum(called, shape, named(f"{name}.accumulator_peak") if coded else None)

    sums = {name: sum_of(name) for name in shapes if name in trained}
    return BatchTensors(sums, named("accumulated"), named("batch"))
