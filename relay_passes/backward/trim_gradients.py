"""Compute only those channels of a weight's gradient that somebody reads."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from tvm import relax

from ..graph import PERMUTE, Emit, Values, axes_of, bindings_of, constant, is_call_of, rebuilt
from ..ops.channels import take_channels
from ..ops.registry import attributes, operator_of

TAKE = "relax.odt.take_channels"


def trim_gradients(function: relax.Function, forward: Collection[relax.Var]) -> relax.Function:
    """Move every `take_channels` of a gradient into what computes the gradient.

    ``take(weight_grad(dy, x))`` becomes ``weight_grad(dy, take(x))``: the saved input is as narrow
    as the slice that trains. A sum of gradients (a weight that two layers share) is trimmed term
    by term. What no rule covers (`Operator.trimmed`) stays as it is, correct and wide. What the
    `forward` computes is never computed anew: channels are taken of it.
    """
    values = {b.var: b.value for b in bindings_of(function)}
    gradients = {var: value for var, value in values.items() if var not in forward}

    def rewrite(emit: Emit, binding: relax.VarBinding) -> relax.Expr:
        value = binding.value
        if is_call_of(value, TAKE):
            attrs = attributes(value)
            trim = _Trim(emit, values, gradients, attrs["ranges"])
            return trim(value.args[0], attrs["axis"])
        return value

    return rebuilt(function, rewrite)


@dataclass(frozen=True)
class _Trim:
    """Channels `ranges` of a gradient; called as rules of `Operator.trimmed` do."""

    emit: Emit
    values: Values
    gradients: Values  # those of `values` that are no activations
    ranges: list[int]

    def __call__(self, gradient: relax.Expr, axis: int) -> relax.Call:
        value = self.gradients.get(gradient)
        rule = operator_of(value).trimmed
        call = rule(self, value, self.ranges, axis) if rule else None
        if call is None:
            return take_channels(gradient, self.ranges, axis)
        args = [self._emitted(a) if isinstance(a, relax.Call) else a for a in call.args]
        return relax.Call(call.op, args, call.attrs)

    def _emitted(self, call: relax.Call) -> relax.Var:
        """Of what was decoded, or turned for a gradient, take channels before that.

        Of decoded activations these are int8 codes: a quarter of the bytes.
        """
        moved = self._move(call.args[0]) if is_call_of(call, TAKE) else None
        if moved is None:
            return self.emit(call)
        attrs = attributes(call)
        axis = axes_of(moved)[attrs["axis"]] if is_call_of(moved, PERMUTE) else attrs["axis"]
        taken = self._emitted(take_channels(moved.args[0], attrs["ranges"], axis))
        return self.emit(relax.Call(moved.op, [taken, *moved.args[1:]], moved.attrs))

    def _move(self, var: relax.Expr) -> relax.Call | None:
        """What leaves channels channels: a decoding by one scale, a transpose for a gradient."""
        value = self.values.get(var)
        if is_call_of(value, "relax.dequantize"):
            scale = constant(value.args[1])
            return value if scale is not None and scale.size == 1 else None
        turned = self.gradients.get(var)
        return turned if is_call_of(turned, PERMUTE) else None
