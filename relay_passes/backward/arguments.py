"""Which arguments of a loss function are inputs, target and parameters."""

from __future__ import annotations

from dataclasses import dataclass

from tvm import relax

NUM_INPUT = "num_input"  # the attribute that TVM's frontends leave


@dataclass(frozen=True)
class Arguments:
    """The arguments of a loss function by what they are, each in the function's order."""

    inputs: tuple[relax.Var, ...]
    target: relax.Var | None
    parameters: tuple[relax.Var, ...]

    @property
    def leading(self) -> list[relax.Var]:
        """Inputs and target."""
        return [*self.inputs, *([] if self.target is None else [self.target])]


def arguments_of(function: relax.Function, target_index: int | None) -> Arguments:
    """The arguments of `function`, whose target stands at `target_index` (None: it has none).

    How many arguments, from the left, are no parameters is what the attribute ``num_input`` of
    TVM's frontends says, the target among them if it stands there; without it those left of the
    target are, or the first where the target comes last, as TVM's `AppendLoss` has it. ValueError
    where there is no argument of that index.
    """
    params = list(function.params)
    if target_index is None:
        target, left = None, 1
    else:
        _check_index(target_index, len(params))
        target_index %= len(params)
        target, left = params.pop(target_index), target_index
        left = 1 if left == len(params) else max(left, 1)
    inputs = int((function.attrs or {}).get(NUM_INPUT, left))
    if NUM_INPUT in (function.attrs or {}) and target_index is not None:
        inputs -= target_index < inputs  # the target counts as an input there
    return Arguments(tuple(params[:inputs]), target, tuple(params[inputs:]))


def _check_index(target_index: object, count: int) -> None:
    if not isinstance(target_index, int) or not -count <= target_index < count:
        raise ValueError(
            f"target_index is {target_index!r}; it must be the position of the target among the "
            f"function's {count} arguments, or None where it has none."
        )


def with_num_input(function: relax.Function, count: int) -> relax.Function:
    """`function`, whose first `count` arguments are no parameters; said where it was said before.

    TVM's `BundleModelParams` and its like read it.
    """
    return function.with_attr(NUM_INPUT, count) if NUM_INPUT in (function.attrs or {}) else function
