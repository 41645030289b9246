"""Training in batches: a step that adds gradients, and one that follows their mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tvm import relax

from ..graph import dtype_of, shape_of
from ..layer_words import Layer
from ..ops.accumulation import (
    accumulate,
    accumulate_codes,
    accumulated_peak,
    new_value,
    reciprocal,
    sum_of_codes,
)
from ..optimizers import Accumulation, BatchTensors, GradientSum, batch_tensors
from .arguments import Arguments
from .forward import Forward, Leaf
from .updates import Updates


@dataclass(frozen=True)
class Accumulate:
    """In place of an optimizer: a sample's step, which adds gradients and updates nothing else."""

    batches: Accumulation


@dataclass(frozen=True)
class ApplyMean:
    """In place of an optimizer: a batch's step, which reads sums in place of a sample."""

    batches: Accumulation


@dataclass(frozen=True)
class _Sum:
    """The arguments that hold the sum of the gradients of one parameter: see `GradientSum`."""

    total: relax.Var
    peak: relax.Var | None

    @property
    def variables(self) -> list[relax.Var]:
        return [self.total] if self.peak is None else [self.total, self.peak]

    def value(self, builder: relax.BlockBuilder) -> relax.Var:
        """float32."""
        if self.peak is None:
            return self.total
        return builder.emit(sum_of_codes(self.total, self.peak))

    def plus(self, builder: relax.BlockBuilder, gradient: relax.Var) -> list[relax.Expr]:
        """The new values of `variables`."""
        if self.peak is None:
            return [builder.emit_output(accumulate(self.total, gradient))]
        peak = builder.emit(accumulated_peak(self.peak, self.total, gradient))
        codes = accumulate_codes(self.total, self.peak, peak, gradient)
        return [builder.emit_output(codes), builder.emit_output(new_value(peak))]


class Sums:
    """What `Accumulate` adds to a function: the sums as arguments, and their new values.

    The step takes inputs and target, a learning rate and a seed, which it does not read, the
    parameters and, behind them, the sum of the gradients of each of the `leaves`.
    """

    def __init__(
        self, accumulation: Accumulation, arguments: Arguments, leaves: Sequence[Leaf]
    ) -> None:
        self.sums = _sums(_tensors(accumulation, arguments, leaves))
        leading = [*arguments.leading, *_rate_and_seed()]
        variables = [var for one in self.sums for var in one.variables]
        self.num_input: int | None = len(leading)
        self.params = [*leading, *arguments.parameters, *variables]
        self.attributes: dict[str, object] = {"optimizer_states": [v.name for v in variables]}

    def results(
        self, builder: relax.BlockBuilder, gradients: Sequence[relax.Var], forward: Forward
    ) -> list[relax.Expr]:
        """The loss, the new sums, and what else the function returned."""
        new: list[relax.Expr] = []
        for one, gradient in zip(self.sums, gradients, strict=True):
            new += one.plus(builder, gradient)
        return [forward.loss, *new, *forward.further]


class MeanUpdates(Updates):
    """What `ApplyMean` makes of a function: `Updates` whose gradients are means of sums.

    The step takes what that of `Updates` does, though it reads no sample, then the sums, and how
    many samples they hold, which is also its first result. The sums stay what they are: who calls
    the step clears them.
    """

    def __init__(
        self,
        accumulation: Accumulation,
        arguments: Arguments,
        leaves: Sequence[Leaf],
        layers: Sequence[Layer],
    ) -> None:
        super().__init__(accumulation.optimizer, arguments, leaves, layers)
        tensors = _tensors(accumulation, arguments, leaves)
        self.sums = _sums(tensors)
        self.count = relax.Var(tensors.count, relax.TensorType((), "uint32"))
        variables = [var for one in self.sums for var in one.variables]
        self.params += [*variables, self.count]
        self.attributes["gradient_sums"] = [v.name for v in variables]

    def results(
        self, builder: relax.BlockBuilder, _gradients: Sequence[relax.Var], _forward: Forward
    ) -> list[relax.Expr]:
        """The count, the updated parameters and the new states."""
        factor = builder.emit(reciprocal(self.count))
        sums = [one.value(builder) for one in self.sums]
        return [self.count, *self.updated(builder, sums, factor)]


def _rate_and_seed() -> list[relax.Var]:
    kinds = {"learning_rate": "float32", "seed": "uint32"}
    return [relax.Var(name, relax.TensorType((), dtype)) for name, dtype in kinds.items()]


def _tensors(
    accumulation: Accumulation, arguments: Arguments, leaves: Sequence[Leaf]
) -> BatchTensors:
    parameters = {p.name: (shape_of(p), dtype_of(p)) for p in arguments.parameters}
    return batch_tensors(accumulation, [leaf.parameter.name for leaf in leaves], parameters)


def _sums(tensors: BatchTensors) -> list[_Sum]:
    """In the order of the parameters, which is that of the leaves."""

    def made(one: GradientSum) -> _Sum:
        total = relax.Var(one.name, relax.TensorType(one.shape, one.dtype))
        if one.peaks is None:
            return _Sum(total, None)
        return _Sum(total, relax.Var(one.peaks, relax.TensorType(one.shape[:1], "float32")))

    return [made(one) for one in tensors.sums.values()]
