"""Small readers and writers of Relax functions, shared by the passes."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Protocol, TypeGuard

import numpy as np
import tvm
from tvm import relax

from .tir import tirx

Shape = tuple[int, ...]
Values = Mapping[relax.Var, relax.Expr]  # what each variable is bound to
Consumers = Mapping[relax.Var, Sequence[relax.VarBinding]]  # what reads each variable

ALIGN = 16  # bytes: where buffers of the arena begin, and what their sizes are rounded up to


def aligned_bytes(size: int) -> int:
    """What `size` bytes occupy in the arena."""
    return -(-size // ALIGN) * ALIGN


def main_of(module: tvm.IRModule, name: str, func_name: str = "main") -> relax.Function:
    """The function that pass `name` works on; ValueError where the module has none."""
    functions = {gvar.name_hint: function for gvar, function in module.functions_items()}
    if not isinstance(functions.get(func_name), relax.Function):
        raise ValueError(f'{name}: the module has no Relax function "{func_name}".')
    return functions[func_name]


def check_static_shapes(function: relax.Function, func_name: str, by: str) -> None:
    """ValueError where `by`, a pass, cannot work on the function as it has symbolic shapes."""
    if relax.analysis.defined_symbolic_vars(function):
        raise ValueError(f'{by}: "{func_name}": shapes are not static.')


def with_function(module: tvm.IRModule, name: str, function: tvm.ir.BaseFunc) -> tvm.IRModule:
    """`module` with another function of that name; everything else stays what it is."""
    module = module.clone()
    module[name] = function
    return module


def bindings_of(function: relax.Function) -> list[relax.Binding]:
    """Every binding of every block, in execution order."""
    return [b for block in function.body.blocks for b in block.bindings]


def without_dead_code(function: relax.Function) -> relax.Function:
    """`function` without what no result depends on."""
    return relax.analysis.remove_all_unused(function)


def op_name(expr: relax.Expr | None) -> str:
    """``relax.nn.conv2d`` for a call of that operator, else the empty string."""
    return getattr(expr.op, "name", "") if isinstance(expr, relax.Call) else ""


def is_call_of(expr: relax.Expr | None, name: str) -> TypeGuard[relax.Call]:
    """Whether `expr` calls the operator of that name."""
    return op_name(expr) == name


def shape_of(expr: relax.Expr) -> Shape:
    """Static shape; () for a scalar."""
    return tuple(int(d) for d in expr.ty.shape)


def free_name(name: str, taken: Collection[str]) -> str:
    """`name`, with as many underscores behind it as make it unlike those `taken`."""
    while name in taken:
        name += "_"
    return name


def is_static(type: relax.Type) -> bool:
    """Whether it is that of tensors whose extents are numbers."""
    return (
        isinstance(type, relax.TensorType)
        and type.shape is not None
        and all(isinstance(n, tirx.IntImm) for n in type.shape)
    )


def dtype_of(expr: relax.Expr) -> str:
    """``float32``, ``int8``, ``bool``, ..."""
    return str(expr.ty.dtype)


def variables_in(expr: relax.Expr | None) -> list[relax.Var]:
    """Variables read by a binding's value, in order, repeats kept where it is flat."""
    if isinstance(expr, relax.Var):
        return [expr]
    if isinstance(expr, relax.Tuple):
        return [v for field in expr.fields for v in variables_in(field)]
    if isinstance(expr, relax.TupleGetItem):
        return variables_in(expr.tuple_value)
    if isinstance(expr, relax.Call):
        return [v for arg in (expr.op, *expr.args) for v in variables_in(arg)]
    if isinstance(expr, (relax.If, relax.SeqExpr, relax.Function)):
        return list(relax.analysis.free_vars(expr))
    return []


PERMUTE = "relax.permute_dims"


def axes_of(permute: relax.Call) -> list[int]:
    """For each axis of what a `permute_dims` gives, the axis of its operand."""
    axes = permute.attrs.axes
    count = permute.args[0].ty.ndim
    return [int(n) % count for n in (reversed(range(count)) if axes is None else axes)]


def tensor_bytes(shape: Sequence[int], dtype: str) -> int:
    """Bytes of a tensor on the device; booleans are packed eight to a byte."""
    elements = math.prod(shape)
    return (elements + 7) // 8 if dtype == "bool" else elements * np.dtype(dtype).itemsize


def consumers_of(function: relax.Function) -> dict[relax.Var, list[relax.VarBinding]]:
    """For each variable the bindings that read it, one entry a read."""
    consumers = defaultdict(list)
    for binding in bindings_of(function):
        for var in variables_in(binding.value):
            consumers[var].append(binding)
    return dict(consumers)


def results_of(function: relax.Function) -> list[relax.Expr]:
    """What a function returns: the fields of a tuple, else the one result."""
    values = {b.var: b.value for b in bindings_of(function)}
    result = values.get(function.body.body, function.body.body)
    return list(result.fields) if isinstance(result, relax.Tuple) else [function.body.body]


def loss_of(function: relax.Function) -> relax.Var:
    """The first result of a function, which is the loss of a loss function and of a step.

    Also of ``((loss, more...), gradients)``, which TVM's `Gradient` makes.
    """
    values = {b.var: b.value for b in bindings_of(function)}
    result = function.body.body
    while isinstance(fields := values.get(result, result), relax.Tuple):
        result = fields.fields[0]
    return result


def updated_by(function: relax.Function) -> list[str]:
    """Parameters whose new versions a training step returns behind the loss, in that order.

    The attributes ``trained_parameters`` and ``optimizer_states`` name them.
    """
    attrs = function.attrs or {}
    kinds = "trained_parameters", "optimizer_states"
    return [str(name) for kind in kinds for name in attrs.get(kind, ())]


def ancestors_of(function: relax.Function, var: relax.Var) -> set[relax.Var]:
    """`var` and every variable that it is computed from."""
    values = {b.var: b.value for b in bindings_of(function)}
    found: set[relax.Var] = set()
    frontier = [var]
    while frontier:
        var = frontier.pop()
        if var not in found:
            found.add(var)
            frontier += variables_in(values.get(var))
    return found


def dependents_of(
    function: relax.Function, variables: Iterable[relax.Var]
) -> list[relax.VarBinding]:
    """What is computed from any of the `variables`, in execution order."""
    reached, dependents = set(variables), []
    for binding in bindings_of(function):
        if binding.var not in reached and not reached.isdisjoint(variables_in(binding.value)):
            reached.add(binding.var)
            dependents.append(binding)
    return dependents


def constant(expr: relax.Expr | None) -> np.ndarray | None:
    """The numpy value of a Relax constant, or None."""
    numpy = getattr(getattr(expr, "value", None), "numpy", None)
    return None if numpy is None else numpy()


def constant_value(expr: relax.Expr) -> np.ndarray:
    """As `constant`, of what is one."""
    value = constant(expr)
    assert value is not None, f"{expr} is no constant"
    return value


class Renamer:
    """Replace variables in one (normalized, hence flat) expression."""

    def __init__(self, variables: Values) -> None:
        self.vars = dict(variables)

    def __call__(self, expr: relax.Expr) -> relax.Expr:
        if isinstance(expr, relax.Var):
            return self.vars.get(expr, expr)
        if isinstance(expr, relax.Tuple):
            return relax.Tuple([self(field) for field in expr.fields])
        if isinstance(expr, relax.TupleGetItem):
            return relax.TupleGetItem(self(expr.tuple_value), expr.index)
        if isinstance(expr, relax.Call):
            args = [self(arg) for arg in expr.args]
            return relax.Call(expr.op, args, expr.attrs, expr.ty_args)
        return expr


class Emit(Protocol):
    """Adds a binding before the one that is rewritten."""

    def __call__(self, value: relax.Expr, var: relax.Var | None = None) -> relax.Var:
        """The variable, `var` or a new one, that it binds to `value`."""


def rebuilt(
    function: relax.Function,
    rewrite: Callable[[Emit, relax.VarBinding], relax.Expr | None],
    params: Sequence[relax.Var] | None = None,
) -> relax.Function:
    """`function` with the value of each binding replaced by ``rewrite(emit, binding)``.

    ``emit(value, var=None) -> variable`` adds a binding before the one that `rewrite` is called
    for, which is left out where that gives None. Other variables, blocks, and bindings that a
    `match_cast` makes stay what they are; `params` replaces the parameters.
    """
    builder = relax.BlockBuilder()
    bindings: list[relax.Binding] = []
    block: relax.BindingBlock

    def emit(value: relax.Expr, var: relax.Var | None = None) -> relax.Var:
        value = builder.normalize(value)
        if var is None:
            kind = relax.DataflowVar if isinstance(block, relax.DataflowBlock) else relax.Var
            var = kind("value", value.ty)
        bindings.append(relax.VarBinding(var, value))
        return var

    blocks = []
    for block in function.body.blocks:
        bindings = []
        for binding in block.bindings:
            if isinstance(binding, relax.MatchCast):
                bindings.append(binding)
            elif (value := rewrite(emit, binding)) is not None:
                emit(value, binding.var)
        blocks.append(type(block)(bindings))
    return with_blocks(function, blocks, params=params)


def with_blocks(
    function: relax.Function,
    blocks: Sequence[relax.BindingBlock],
    result: relax.Expr | None = None,
    params: Sequence[relax.Var] | None = None,
) -> relax.Function:
    """`function` with other blocks, and with another result or other parameters where given."""
    result = function.body.body if result is None else result
    body = relax.BlockBuilder().normalize(relax.SeqExpr(list(blocks), result))  # its type
    params = function.params if params is None else params
    return relax.Function(params, body, None, is_pure=function.is_pure, attrs=function.attrs)


def function_of(
    params: Sequence[relax.Var], body: Callable[[relax.BlockBuilder], relax.Expr]
) -> relax.Function:
    """A function with one dataflow block, which `body` fills.

    body : builder -> what the function returns, variables from ``builder.emit_output``.
    """
    builder = relax.BlockBuilder()
    with builder.function("main", list(params)):
        with builder.dataflow():
            result = body(builder)
        builder.emit_func_output(result)
    return builder.get()["main"]
