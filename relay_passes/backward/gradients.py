"""A step without an optimizer: the gradients are its results."""

from __future__ import annotations

from collections.abc import Sequence

from tvm import relax

from .forward import Forward, Leaf


class Gradients:
    """``(what the function returned, (gradient of each leaf...))``, as TVM's `Gradient` has it.

    The arguments stay what they are.
    """

    def __init__(self, function: relax.Function, leaves: Sequence[Leaf]) -> None:
        self.params = list(function.params)
        self.num_input: int | None = None
        self.attributes: dict[str, object] = {
            "differentiated_parameters": [leaf.parameter.name for leaf in leaves]
        }

    def results(
        self, builder: relax.BlockBuilder, gradients: Sequence[relax.Var], forward: Forward
    ) -> list[relax.Expr]:
        """What the function returned, and the tuple of gradients."""
        return [forward.result, relax.Tuple([builder.emit_output(one) for one in gradients])]
