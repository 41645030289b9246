"""Leave out a transpose that undoes another."""

from __future__ import annotations

from collections.abc import Collection

from tvm import relax

from ..graph import Emit, Renamer, Values, bindings_of, is_call_of, rebuilt, shape_of

PERMUTE = "relax.permute_dims"


def cancel_transposes(function: relax.Function, kept: Collection[relax.Var]) -> relax.Function:
    """``permute_dims(permute_dims(x))`` that is x becomes x; bindings of `kept` variables stay.

    Gradients of ``matmul(x, permute_dims(w))``, and of layers in another layout, are full of them.
    """
    values = {b.var: b.value for b in bindings_of(function)}
    renamed = Renamer({})

    def rewrite(_emit: Emit, binding: relax.VarBinding) -> relax.Expr | None:
        value = renamed(binding.value)
        origin = None if binding.var in kept else _origin(value, values)
        if origin is None or not isinstance(binding.var, relax.DataflowVar):
            return value
        renamed.vars[binding.var] = renamed(origin)
        return None

    return rebuilt(function, rewrite)


def _origin(value: relax.Expr, values: Values) -> relax.Expr | None:
    """What `value` is a transpose of a transpose of, if it has its axes again."""
    inner = values.get(value.args[0]) if is_call_of(value, PERMUTE) else None
    if not is_call_of(inner, PERMUTE):
        return None
    first, second = _axes(inner), _axes(value)
    same = [first[axis] for axis in second] == list(range(len(first)))
    return inner.args[0] if same else None


def _axes(call: relax.Call) -> list[int]:
    axes = call.attrs.axes
    count = len(shape_of(call.args[0]))
    return [int(n) % count for n in (reversed(range(count)) if axes is None else axes)]
