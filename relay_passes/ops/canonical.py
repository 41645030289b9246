"""Gradient rules for operands in other layouts and dtypes than those that a rule computes in."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tvm import relax
from tvm.ir import Op
from tvm_ffi import structural_equal

from ..graph import dtype_of, is_call_of, op_name
from ..tir import tirx
from .registry import PREFIX

# a rule for every call of its operator: it gives a partial for each operand
Rule = Callable[[relax.Var, relax.Call, relax.Var, relax.BlockBuilder], Sequence[relax.Expr]]

_NARROW = "float16", "bfloat16"


def refusal(call: relax.Call, case: str) -> ValueError:
    """What a rule raises that computes no gradient of `call`; `case` says where it does not."""
    return ValueError(f"{op_name(call)} has no gradient {case}.")


def tvm_gradient(name: str) -> Rule:
    """TVM's own rule for ``relax.<name>``."""
    return Op.get(PREFIX + name).get_attr("FPrimalGradient")


def widened(rule: Rule) -> Rule:
    """`rule` in float32 where a call has narrower floats: sums of these lose too many bits.

    Partials are of the operands' dtypes, as every rule's must be.
    """

    def gradient(
        var: relax.Var, call: relax.Call, adjoint: relax.Var, builder: relax.BlockBuilder
    ) -> Sequence[relax.Expr]:
        if not any(map(_is_narrow, (*call.args, adjoint))):
            return rule(var, call, adjoint, builder)
        operands = [as_float(builder, "float32", arg) for arg in call.args]
        wide = builder.normalize(relax.Call(call.op, operands, call.attrs))
        result, adjoint = (as_float(builder, "float32", tensor) for tensor in (var, adjoint))
        partials = rule(result, wide, adjoint, builder)
        return [
            as_float(builder, dtype_of(arg), partial) if _is_narrow(arg) else partial
            for arg, partial in zip(call.args, map(builder.normalize, partials), strict=True)
        ]

    return gradient


def _is_narrow(expr: relax.Expr) -> bool:
    return isinstance(expr.ty, relax.TensorType) and dtype_of(expr) in _NARROW


def as_float(builder: relax.BlockBuilder, dtype: str, expr: relax.Expr) -> relax.Expr:
    """`expr` in `dtype`, unless it is one of integers or no gradient at all."""
    if is_call_of(expr, "relax.grad.no_grad") or not isinstance(expr.ty, relax.TensorType):
        return expr
    if dtype_of(expr) == dtype or dtype_of(expr) not in (*_NARROW, "float32"):
        return expr
    return builder.emit(relax.op.astype(expr, dtype))


def summed_to(builder: relax.BlockBuilder, partial: relax.Expr, operand: relax.Expr) -> relax.Expr:
    """`partial` summed over the axes along which `operand` was broadcast."""
    partial = builder.normalize(partial)
    if structural_equal(partial.ty.shape, operand.ty.shape):
        return partial
    return relax.op.collapse_sum_to(partial, operand.ty.shape)


def relaid(
    rule: Rule,
    canonical: Callable[[relax.Call, Sequence[relax.Expr]], relax.Call],
    **layouts: str,
) -> Rule:
    """`rule`, written for some `layouts`, for calls of any other.

    canonical : (call, its operands in the layouts of the rule) -> the call in these layouts.
    layouts : attribute that names a layout -> that of the rule; of each operand, then the result.
    """

    def gradient(
        var: relax.Var, call: relax.Call, adjoint: relax.Var, builder: relax.BlockBuilder
    ) -> Sequence[relax.Expr]:
        own = [str(call.attrs[name]) for name in layouts]
        wanted = list(layouts.values())
        if own == wanted:
            return rule(var, call, adjoint, builder)
        for layout, letters in zip(own, wanted, strict=True):
            if sorted(layout) != sorted(letters):
                raise refusal(call, f'in layout "{layout}", only in permutations of "{letters}"')

        operands = [
            permuted(builder, *each) for each in zip(call.args, own, wanted[:-1], strict=False)
        ]
        result, out_adjoint = (
            permuted(builder, tensor, own[-1], wanted[-1]) for tensor in (var, adjoint)
        )
        like = builder.normalize(canonical(call, operands))
        partials = map(builder.emit, rule(result, like, out_adjoint, builder))
        return [permuted(builder, *each) for each in zip(partials, wanted[:-1], own, strict=False)]

    return gradient


def permuted(builder: relax.BlockBuilder, expr: relax.Expr, layout: str, wanted: str) -> relax.Expr:
    """`expr`, whose axes are the letters of `layout`, with those of `wanted`."""
    if layout == wanted:
        return expr
    return builder.emit(relax.op.permute_dims(expr, [layout.index(axis) for axis in wanted]))


def only_batch_is_symbolic(call: relax.Call) -> bool:
    """Whether the first extent of the first operand is no number; ValueError if another is."""
    batch, *extents = (extent for operand in call.args for extent in operand.ty.shape)
    for extent in extents:
        if not isinstance(extent, tirx.IntImm):
            raise refusal(call, f"where an extent is {extent} and no number")
    return not isinstance(batch, tirx.IntImm)
