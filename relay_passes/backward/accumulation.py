"""Training in batches: a step that adds gradients, and one that follows their mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tvm import relax

from ..layer_words import Layer
from ..ops.accumulation import accumulate, reciprocal
from ..optimizers import Accumulation, kept_of
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


class Sums:
    """What `Accumulate` adds to a function: the sums as arguments, and their new values.

    The step takes inputs and target, a learning rate and a seed, which it does not read, the
    parameters and, behind them, the sum of the gradients of each of the `leaves`.
    """

    def __init__(
        self, accumulation: Accumulation, arguments: Arguments, leaves: Sequence[Leaf]
    ) -> None:
        self.sums = _sums(accumulation, arguments, leaves)
        leading = [*arguments.leading, *_rate_and_seed()]
        self.num_input: int | None = len(leading)
        self.params = [*leading, *arguments.parameters, *self.sums]
        self.attributes: dict[str, object] = {"optimizer_states": [v.name for v in self.sums]}

    def results(
        self, builder: relax.BlockBuilder, gradients: Sequence[relax.Var], forward: Forward
    ) -> list[relax.Expr]:
        """The loss, the new sums, and what else the function returned."""
        new = [
            builder.emit_output(accumulate(total, gradient))
            for total, gradient in zip(self.sums, gradients, strict=True)
        ]
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
        self.sums = _sums(accumulation, arguments, leaves)
        names = [p.name for p in arguments.parameters]
        kept = kept_of(accumulation, [leaf.parameter.name for leaf in leaves], names)
        self.count = relax.Var(kept.count, relax.TensorType((), "uint32"))
        self.params += [*self.sums, self.count]
        self.attributes["gradient_sums"] = [v.name for v in self.sums]

    def results(
        self, builder: relax.BlockBuilder, _gradients: Sequence[relax.Var], _forward: Forward
    ) -> list[relax.Expr]:
        """The count, the updated parameters and the new states."""
        factor = builder.emit(reciprocal(self.count))
        return [self.count, *self.updated(builder, self.sums, factor)]


def _rate_and_seed() -> list[relax.Var]:
    kinds = {"learning_rate": "float32", "seed": "uint32"}
    return [relax.Var(name, relax.TensorType((), dtype)) for name, dtype in kinds.items()]


def _sums(
    accumulation: Accumulation, arguments: Arguments, leaves: Sequence[Leaf]
) -> list[relax.Var]:
    trained = [leaf.parameter for leaf in leaves]
    names = [p.name for p in arguments.parameters]
    sums = kept_of(accumulation, [p.name for p in trained], names).sums
    return [
        relax.Var(sums[p.name], relax.TensorType(p.ty.shape, accumulation.accumulator))
        for p in trained
    ]
