"""What a step that learns from batches keeps between samples, by its names."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from .inputs import inputs_of
from .optimizer import Optimizer

ACCUMULATORS = ("float32",)
MOST_SAMPLES = (1 << 24) - 1  # of a batch: a float32 counts no further


@dataclass(frozen=True)
class Accumulation:
    """Gradients of the samples of a batch are added; `optimizer` follows their mean.

    accumulator : the format of the sums, of `ACCUMULATORS`.
    """

    optimizer: Optimizer
    accumulator: str = "float32"


@dataclass(frozen=True)
class BatchTensors:
    """Names of tensors, unlike those of parameters and of what the optimizer keeps.

    sums : trained parameter -> the sum of its gradients, of its shape; 0 at the start.
    count : how many samples the sums hold; uint32, 0-d; 0 at the start.
    size : how many samples make a batch, as `count`; no step reads it.
    """

    sums: dict[str, str]
    count: str
    size: str


def kept_of(
    accumulation: Accumulation, trained: Collection[str], parameters: Collection[str]
) -> BatchTensors:
    """What `accumulation` keeps beside `parameters`, of which `trained` train."""
    taken = {*parameters, *inputs_of(accumulation.optimizer, trained, parameters).starts}

    def named(wanted: str) -> str:
        while wanted in taken:
            wanted += "_"
        taken.add(wanted)
        return wanted

    sums = {name: named(f"{name}.accumulator") for name in parameters if name in trained}
    return BatchTensors(sums, named("accumulated"), named("batch"))
