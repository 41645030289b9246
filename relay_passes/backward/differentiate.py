"""Reverse-mode differentiation of bindings: what TVM's `Gradient` does, with rules of our own.

TVM keeps gradient rules in a table for the whole process; ours are looked up here instead, so that
whoever calls `relax.transform.Gradient` gets TVM's. Only what depends on the leaves is visited.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

import tvm
from tvm import relax
from tvm_ffi import structural_equal

from ..graph import is_call_of, op_name
from ..ops.registry import gradient_rules

WITH_GRADIENT = "relax.call_tir_with_grad"
_TE_GRADIENT = "tvm.relax.te_grad._register."  # where `relax.training.register_te_gradient` puts it

# The adjoint of a tensor, or those of a tuple's fields, None for a field that has none.
Adjoint: TypeAlias = relax.Var | list["Adjoint | None"]


def differentiate(
    builder: relax.BlockBuilder,
    bindings: Sequence[relax.Binding],
    target: relax.Var,
    leaves: Collection[relax.Var],
) -> dict[relax.Var, relax.Var]:
    """Emit d`target`/d`leaf` for each leaf, of the leaf's shape; leaves without one are left out.

    Parameters
    ----------
    builder : in a dataflow block in which the backward begins.
    bindings : everything that depends on the leaves, in execution order.
    target : a float scalar.

    Raises
    ------
    ValueError : an operator between a leaf and the target has no rule, or its rule fails; its name
        is in the message.
    """
    adjoints = _Adjoints(builder, {*leaves, *(binding.var for binding in bindings)})
    adjoints.add(target, relax.op.ones((), target.ty.dtype.dtype))
    for binding in reversed(bindings):
        adjoint = adjoints.of.get(binding.var)
        if adjoint is not None:
            _propagate(adjoints, binding, adjoint)
    return {leaf: adjoints.whole(leaf) for leaf in leaves if leaf in adjoints.of}


class _Adjoints:
    """Adjoints of `wanted` variables, sums of what their readers give."""

    def __init__(self, builder: relax.BlockBuilder, wanted: Collection[relax.Var]) -> None:
        self.builder, self.wanted = builder, wanted
        self.of: dict[relax.Var, Adjoint] = {}

    def add(self, operand: relax.Expr, partial: relax.Expr | Adjoint) -> None:
        """Add `partial` to the adjoint of `operand`: a variable, or a tuple of them."""
        if isinstance(operand, relax.Tuple):
            for position, field in enumerate(operand.fields):
                self.add_field(field, partial, position)
        elif isinstance(operand, relax.Var) and operand in self.wanted:
            self.of[operand] = self._sum(operand, self.of.get(operand), partial)

    def add_field(self, field: relax.Expr, partial: relax.Expr | Adjoint, position: int) -> None:
        part = _field(partial, position)
        if part is not None:
            self.add(field, part)

    def add_at(self, operand: relax.Expr, position: int, partial: Adjoint) -> None:
        """Add `partial` to the adjoint of that field of `operand`, a tuple."""
        if isinstance(operand, relax.Tuple):
            self.add(operand.fields[position], partial)
        elif operand in self.wanted:
            alone: list[Adjoint | None] = [None] * len(operand.ty.fields)
            alone[position] = partial
            self.add(operand, alone)

    def whole(self, var: relax.Var) -> relax.Var:
        """The adjoint of `var` as one variable, zeros where a field of a tuple has none."""
        return self.packed(self.of[var], var.ty)

    def packed(self, adjoint: Adjoint | None, type: relax.Type) -> relax.Var:
        """An adjoint of that type as one variable."""
        if adjoint is None and isinstance(type, relax.TensorType):
            return self.builder.emit(relax.op.zeros(type.shape, type.dtype.dtype))
        if isinstance(adjoint, relax.Var):
            return adjoint
        parts = adjoint or [None] * len(type.fields)
        pairs = zip(parts, type.fields, strict=True)
        return self.builder.emit(relax.Tuple([self.packed(*pair) for pair in pairs]))

    def _sum(self, var: relax.Var, known: Adjoint | None, partial: relax.Expr | Adjoint) -> Adjoint:
        if isinstance(var.ty, relax.TupleType):
            fields = [_field(partial, i) for i in range(len(var.ty.fields))]
            before = known if isinstance(known, list) else [None] * len(fields)
            pairs = zip(before, fields, var.ty.fields, strict=True)
            return [
                old if new is None else self._sum(relax.Var(var.name, type), old, new)
                for old, new, type in pairs
            ]
        assert isinstance(partial, relax.Expr), "a tensor has one adjoint"
        if known is not None:
            partial = relax.op.add(known, self._emitted(partial, var))
        return self._emitted(partial, var)

    def _emitted(self, value: relax.Expr, var: relax.Var) -> relax.Var:
        if isinstance(value, relax.Var):
            return value
        return self.builder.emit(value, var.name + "_adjoint")


def _field(adjoint: relax.Expr | Adjoint, position: int) -> relax.Expr | Adjoint | None:
    if isinstance(adjoint, list):
        return adjoint[position]
    if isinstance(adjoint, relax.Tuple):
        return adjoint.fields[position]
    return relax.TupleGetItem(adjoint, position)


def _propagate(adjoints: _Adjoints, binding: relax.Binding, adjoint: Adjoint) -> None:
    """Give the operands of what `binding` binds their parts of the `adjoint` of its variable."""
    value, result = binding.value, binding.var
    if isinstance(binding, relax.MatchCast) and not isinstance(adjoint, list):
        result, adjoint = (_of_shape(adjoints.builder, value, var) for var in (result, adjoint))
    if isinstance(value, (relax.Var, relax.Tuple)):
        adjoints.add(value, adjoint)
    elif isinstance(value, relax.TupleGetItem):
        adjoints.add_at(value.tuple_value, value.index, adjoint)
    elif isinstance(value, relax.Call):
        whole = adjoints.packed(adjoint, value.ty)
        with _errors_of(value):
            operands, partials = _partials(adjoints.builder, value, result, whole)
            for operand, partial in zip(operands, partials, strict=True):
                if not is_call_of(partial, "relax.grad.no_grad"):
                    adjoints.add(operand, partial)
    else:
        raise ValueError(_no_rule(type(value).__name__.lower()))


def _of_shape(builder: relax.BlockBuilder, value: relax.Expr, var: relax.Var) -> relax.Var:
    """`var` with the extents of `value`, which a `match_cast` named anew."""
    shape = getattr(value.ty, "shape", None)
    if shape is None or structural_equal(var.ty.shape, shape):
        return var
    return builder.emit(relax.op.reshape(var, shape))


def _partials(
    builder: relax.BlockBuilder, call: relax.Call, result: relax.Var, adjoint: relax.Var
) -> tuple[Iterable[relax.Expr], Iterable[relax.Expr]]:
    """Operands of a call, and what each gets of the `adjoint` of its result."""
    if is_call_of(call, WITH_GRADIENT):
        return call.args[1].fields, _partials_of_kernel(builder, call, result, adjoint)
    rules = gradient_rules(call)
    if not rules:
        raise ValueError(_no_rule(_called(call)))
    for rule in rules:
        partials = rule(result, call, adjoint, builder)
        if partials is not None:
            return call.args, partials
    raise ValueError(_no_rule(_called(call), " for what it is given here"))


@contextmanager
def _errors_of(call: relax.Call) -> Iterator[None]:
    """Name what is differentiated; a rule of TVM's, or what it gives, may fail in its own words."""
    try:
        yield
    except Exception as error:
        said = str(error).strip().splitlines() or [type(error).__name__]
        text = said[0] if isinstance(error, ValueError) else f"its gradient fails: {said[-1]}"
        name = _called(call)
        raise ValueError(text if name in text else f"{name}: {text}") from error


def _partials_of_kernel(
    builder: relax.BlockBuilder, call: relax.Call, result: relax.Var, adjoint: relax.Var
) -> list[relax.Expr]:
    """What `relax.training.register_te_gradient` was given for a kernel."""
    name = str(call.attrs.te_grad_name)
    rule = tvm.get_global_func(_TE_GRADIENT + name, allow_missing=True)
    if rule is None:
        raise ValueError(f'{WITH_GRADIENT}: no gradient is registered under the name "{name}"')
    partials = rule(result, call, adjoint, builder)
    if not isinstance(partials.ty, relax.TupleType):
        return [partials]
    return [relax.TupleGetItem(partials, i) for i in range(len(partials.ty.fields))]


def without_te_gradient(call: relax.Call) -> relax.Call:
    """A `call_tir_with_grad` as the `call_tir` that it is, behind differentiation."""
    return relax.Call(tvm.ir.Op.get("relax.call_tir"), call.args, None, call.ty_args)


def _called(call: relax.Call) -> str:
    if not op_name(call):
        kind = "packed function" if isinstance(call.op, relax.ExternFunc) else "function"
        return f"the {kind} {_function_name(call.op)}"
    named = call.args and isinstance(call.args[0], (tvm.ir.GlobalVar, relax.ExternFunc))
    return f"{op_name(call)} of {_function_name(call.args[0])}" if named else op_name(call)


def _function_name(expr: relax.Expr) -> str:
    """How a function is called: a packed one, one of the module, or a local one."""
    attribute = {relax.ExternFunc: "global_symbol", tvm.ir.GlobalVar: "name_hint"}
    return str(getattr(expr, attribute.get(type(expr), "name")))


def _no_rule(what: str, why: str = "") -> str:
    return f"{what} has no gradient{why}, and lies between a parameter that trains and the loss."
