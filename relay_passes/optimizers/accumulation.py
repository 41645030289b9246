"""What a step that learns from batches keeps between samples, by its names."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from .inputs import inputs_of
from .optimizer import Optimizer

ACCUMULATORS = ("auto", "float32", "int16")
LEAST_OF_ROW = 4  # elements; of shorter rows sums stay float32, which takes less than peaks
MOST_SAMPLES = (1 << 24) - 1  # of a batch: a float32 counts no further


@dataclass(frozen=True)
class Accumulation:
    """Gradients of the samples of a batch are added; `optimizer` follows their mean.

    accumulator : the format of the sums, of `ACCUMULATORS`. int16 has a peak for each row of axis
        0, the largest magnitude that was in it since the sums were cleared, and codes of ``peak /
        32767``: each sample rounds an element by half of that at most. auto is int16 for parameters
        of codes and float32 for those of float32: codes learned as well from either sum.
    """

    optimizer: Optimizer
    accumulator: str = "auto"

    def is_coded(self, shape: Sequence[int], dtype: str) -> bool:
        """Whether the sum for a parameter of that `shape` and `dtype` is int16."""
        wanted = self.accumulator == "int16" or (self.accumulator == "auto" and dtype != "float32")
        return wanted and math.prod(shape[1:]) >= LEAST_OF_ROW


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
    accumulation: Accumulation,
    trained: Collection[str],
    parameters: Mapping[str, tuple[Sequence[int], str]],
) -> BatchTensors:
    """What `accumulation` keeps beside `parameters` (shape, dtype), of which `trained` train."""
    taken = {*parameters, *inputs_of(accumulation.optimizer, trained, parameters).starts}

    def named(wanted: str) -> str:
        while wanted in taken:
            wanted += "_"
        taken.add(wanted)
        return wanted

    def sum_of(name: str) -> GradientSum:
        (shape, dtype), called = parameters[name], named(f"{name}.accumulator")
        coded = accumulation.is_coded(shape, dtype)
        peaks = named(f"{name}.accumulator_peak") if coded else None
        return GradientSum(called, tuple(shape), peaks)

    sums = {name: sum_of(name) for name in parameters if name in trained}
    return BatchTensors(sums, named("accumulated"), named("batch"))
