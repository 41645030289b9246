"""Leave out transposes that undo another, and those of whole gradients."""

from __future__ import annotations

from collections.abc import Collection

from tvm import relax

from ..graph import PERMUTE, Emit, Renamer, Values, axes_of, bindings_of, is_call_of, rebuilt


def cancel_transposes(function: relax.Function, kept: Collection[relax.Var]) -> relax.Function:
    """``permute_dims(permute_dims(x))`` that is x becomes x; bindings of `kept` variables stay.

    Gradients of ``matmul(x, permute_dims(w))``, and of layers in another layout, are full of them.
    That of such a w is ``permute_dims(matmul(permute_dims(x), dy))`` and becomes
    ``matmul(permute_dims(dy), x)``, into which its update can be fused.
    """
    values = {b.var: b.value for b in bindings_of(function)}
    renamed = Renamer({})

    def rewrite(emit: Emit, binding: relax.VarBinding) -> relax.Expr | None:
        value = renamed(binding.value)
        if binding.var in kept:
            return value
        product = _turned_product(value, values)
        if product is not None:
            left, right = map(renamed, product.args)
            turned = emit(relax.op.permute_dims(right))
            return relax.Call(product.op, [turned, left], product.attrs)
        origin = _origin(value, values)
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
    first, second = axes_of(inner), axes_of(value)
    same = [first[axis] for axis in second] == list(range(len(first)))
    return inner.args[0] if same else None


def _turned_product(value: relax.Expr, values: Values) -> relax.Call | None:
    """``matmul(a, b)`` where `value` is ``permute_dims(matmul(permute_dims(a), b))``."""
    product = values.get(value.args[0]) if is_call_of(value, PERMUTE) else None
    if not is_call_of(product, "relax.matmul") or axes_of(value) != [1, 0]:
        return None
    left, right = product.args
    turned = values.get(left)
    if not is_call_of(turned, PERMUTE) or axes_of(turned) != [1, 0] or right.ty.ndim != 2:
        return None
    return relax.Call(product.op, [turned.args[0], right], product.attrs)
