"""Small readers of a Relax function with one dataflow block, shared by the passes."""

from __future__ import annotations

from collections import defaultdict

from tvm import relax


def bindings_of(function: relax.Function) -> list[relax.VarBinding]:
    """Every binding in execution order."""
    return [b for block in function.body.blocks for b in block.bindings]


def op_name(expr) -> str:
    """``relax.nn.conv2d`` for a call of that operator, else the empty string."""
    return getattr(expr.op, "name", "") if isinstance(expr, relax.Call) else ""


def shape_of(expr) -> tuple[int, ...]:
    """Static shape; () for a scalar."""
    return tuple(int(d) for d in expr.ty.shape)


def dtype_of(expr) -> str:
    """``float32``, ``int8``, ``bool``, ..."""
    return str(expr.ty.dtype)


def variables_in(expr) -> list[relax.Var]:
    """Variables read by a binding's value, in order, repeats kept."""
    if isinstance(expr, relax.Var):
        return [expr]
    if isinstance(expr, relax.Tuple):
        return [v for field in expr.fields for v in variables_in(field)]
    if isinstance(expr, relax.TupleGetItem):
        return variables_in(expr.tuple_value)
    if isinstance(expr, relax.Call):
        return [v for arg in expr.args for v in variables_in(arg)]
    return []


def consumers_of(function: relax.Function) -> dict[relax.Var, list[relax.VarBinding]]:
    """For each variable the bindings that read it, one entry a read."""
    consumers = defaultdict(list)
    for binding in bindings_of(function):
        for var in variables_in(binding.value):
            consumers[var].append(binding)
    return dict(consumers)


def constant(expr):
    """The numpy value of a Relax constant, or None."""
    return expr.value.numpy() if hasattr(expr, "value") and hasattr(expr.value, "numpy") else None
