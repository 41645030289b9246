"""A loss function as a training step sees it: what trains of it, the loss, what else it returns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tvm import relax

from ..graph import Consumers, constant, dtype_of, is_call_of, results_of, shape_of
from .split_parameters import merged_with_frozen


@dataclass(frozen=True)
class Leaf:
    """A trained parameter and how the function gets its real value from it.

    `merge` puts it together with its frozen channels, `decode` is its dequantize; None where there
    is none. The last of the three is what is differentiated.
    """

    parameter: relax.Var
    merge: relax.VarBinding | None
    decode: relax.VarBinding | None

    @property
    def real(self) -> relax.Var:
        """The real value."""
        binding = self.decode or self.merge
        return binding.var if binding else self.parameter


@dataclass(frozen=True)
class Forward:
    """A loss function, its loss, and what else it returns."""

    function: relax.Function
    loss: relax.Var
    further: tuple[relax.Expr, ...]

    @property
    def result(self) -> relax.Expr:
        """What the function returns."""
        return relax.Tuple([self.loss, *self.further]) if self.further else self.loss


def forward_of(function: relax.Function) -> Forward:
    """`function`, whose first result is its loss; ValueError where that is no float scalar."""
    loss, *further = results_of(function)
    scalar = isinstance(loss, relax.Var) and isinstance(loss.ty, relax.TensorType)
    if not scalar or loss.ty.ndim != 0 or not dtype_of(loss).startswith(("float", "bfloat")):
        raise ValueError(
            f"the function returns {' '.join(str(getattr(loss, 'ty', loss)).split())}; the first "
            "result must be the loss, a float scalar: append one, as `AppendLoss` does."
        )
    return Forward(function, loss, tuple(further))


def leaf_of(consumers: Consumers, parameter: relax.Var, floats: Iterable[str]) -> Leaf:
    """How a function reads a parameter that trains, of one of those dtypes or quantized.

    ValueError where it does not, or where it cannot train so.
    """
    merge = merged_with_frozen(consumers, parameter)
    whole = merge.var if merge else parameter
    readers = consumers.get(whole, [])
    if not readers:
        raise ValueError(f'parameter "{parameter.name}" is never used.')
    if dtype_of(parameter) in floats:
        return Leaf(parameter, merge, None)
    if dtype_of(parameter) not in ("int8", "int32") or [
        is_call_of(reader.value, "relax.dequantize") for reader in readers
    ] != [True]:
        raise ValueError(
            f'parameter "{parameter.name}" is {dtype_of(parameter)} and not read through one '
            f"dequantize; only {' and '.join(floats)} and quantized parameters (int8, int32) train."
        )
    _check_scale(parameter, readers[0].value)
    return Leaf(parameter, merge, readers[0])


def _check_scale(parameter: relax.Var, decode: relax.Call) -> None:
    """Scales of trained codes are constants: one, or one for each row of axis 0."""
    scale = constant(decode.args[1])
    rows = shape_of(decode.args[0])[0]
    axis_is_first = int(decode.attrs.axis) == 0
    if scale is None:
        raise ValueError(
            f'the scale of parameter "{parameter.name}" is no constant; bind scales and zero '
            "points by relax.transform.BindParams, as docs/passes.md shows for ONNX."
        )
    if scale.size != 1 and (scale.shape != (rows,) or not axis_is_first):
        raise ValueError(
            f'the scale of parameter "{parameter.name}" is not one, nor one for each row of '
            "axis 0; such codes cannot train."
        )
