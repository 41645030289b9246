"""One record an operator: what the passes know of it, TVM's own and those registered here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from inspect import signature
from typing import TYPE_CHECKING, Any, TypeAlias

import tvm
from tvm import relax, te
from tvm.ir import Op
from tvm.ir import _ffi_api as _ir_ffi
from tvm.ir.op import register_op_attr
from tvm.relax.op.base import register_gradient
from tvm.relax.utils import gen_call_tir_inputs

from ..graph import Values, op_name
from ..tir import tirx
from .runtime_functions import portable

if TYPE_CHECKING:
    from .groups import Epilogue
    from .numbering import Pairs

PREFIX = "relax."
OWN = PREFIX + "odt."
OPAQUE = 8  # TVM's OpPatternKind: never fused with a reader
_OVERRIDE = 20  # TVM registers its own rules at level 10


Attributes = dict[str, Any]  # of a call: numbers, strings and lists of them
Outputs: TypeAlias = te.Tensor | tuple[te.Tensor, ...]
Compute = Callable[..., Outputs]
Gradient = Callable[[relax.Var, relax.Call, relax.Var, relax.BlockBuilder], list[relax.Expr]]
Integer = Callable[[Values, relax.Var, "Epilogue"], tuple[relax.Call | None, list[relax.Var]]]
Trim = Callable[[relax.Expr], relax.Call]
Trimmed = Callable[[Trim, relax.Call, list[int], int], relax.Call | None]


@dataclass(frozen=True)
class Operator:
    """What the passes know of an operator; the defaults suit one of which they know nothing.

    gradient : rule for `relax.transform.Gradient`; None leaves TVM's, if there is one.
    integer : (values, result, epilogue) -> (call on codes or None, variables inside the group).
    bounds : call -> (low, high, whether the gradient at `low` is 0), of an activation that clamps.
    channels : call -> what numbers its channels alike, see `ops.numbering`; None mixes them.
    trimmed : (trim, call, ranges, axis) -> a call for these channels of the result alone, or
        None; ``trim(operand)`` is the same of an operand, see `trim_gradients`.
    macs : call -> multiply-accumulates.
    cheap : recomputing an element costs a reader little more than a load: no exponential, no
        division, no search.
    elementwise : an element of the result depends on the operands' elements of its index.
    mask : says where a gradient passes.
    restates : the result stands for the numbers of its first operand, as codes or in another shape.
    stored : False where whoever reads the result computes it anew.
    adjoint : whether in a backward the result may be the adjoint of an activation.
    layer : a scheme counts it as a layer.
    learned : the operand that is a parameter, if one is.
    """

    gradient: Gradient | None = None
    integer: Integer | None = None
    bounds: Callable[[relax.Call], tuple[float, float, bool]] | None = None
    channels: Callable[[relax.Call], Pairs | None] | None = None
    trimmed: Trimmed | None = None
    macs: Callable[[relax.Call], int] = lambda _: 0
    cheap: bool = True
    elementwise: bool = False
    mask: bool = False
    restates: bool = False
    stored: bool = True
    adjoint: bool = True
    layer: bool = False
    learned: int | None = None


_UNKNOWN = Operator()
_OPERATORS: dict[str, Operator] = {}
# of our operators: kernels that call the C runtime, where `FLegalize` has formulas in TIR
LEGALIZATIONS_FOR_C: dict[str, Callable[[relax.BlockBuilder, relax.Call], relax.Expr]] = {}


def operator_of(expr: relax.Expr | None) -> Operator:
    """The record of the operator that `expr` calls."""
    return _OPERATORS.get(op_name(expr), _UNKNOWN)


def without_gradient(expr: relax.Expr) -> bool:
    """Whether `expr` calls an operator for which `relax.transform.Gradient` has no rule."""
    if not isinstance(expr, relax.Call):
        return False
    return not isinstance(expr.op, Op) or expr.op.get_attr("FPrimalGradient") is None


def operand_names(call: relax.Call) -> list[str]:
    """What each operand is to the operator; one whose operands vary names them in ``reads``."""
    if call.attrs is not None and "reads" in getattr(call.attrs, "keys", list)():
        return [str(name) for name in call.attrs["reads"]]
    return [str(argument.name) for argument in Op.get(op_name(call)).arguments]


def describe(name: str, **facts: Any) -> None:
    """Enter the record of TVM's ``relax.<name>``; `facts` are fields of `Operator`."""
    if PREFIX + name not in Op.list_op_names():
        raise ValueError(f"TVM has no operator {PREFIX}{name}; `register` makes one")
    _entered(PREFIX + name, facts)


def register(
    name: str, infer: Callable[[relax.Call], relax.Type], **facts: Any
) -> Callable[[Compute], Compute]:
    """Register ``relax.odt.<name>`` and its record; decorates its TE function.

    Parameters
    ----------
    infer : call -> relax.Type, the type of the result.
    facts : fields of `Operator`.

    The decorated function takes the call's attributes (a dict) and its operands as TE tensors, and
    returns one or several TE tensors. The operands are called as its parameters are.
    A call whose attribute ``saved`` is true becomes a kernel of its own: its result, and not its
    operand, is kept until the backward.
    """
    _ir_ffi.RegisterOp(OWN + name, "")
    register_op_attr(OWN + name, "FInferType", lambda call, _context: infer(call))
    register_op_attr(OWN + name, "FPurity", True)
    register_op_attr(OWN + name, "TScriptPrinterName", "odt." + name, level=20)
    _entered(OWN + name, facts)

    def decorate(compute: Compute) -> Compute:
        for parameter in list(signature(compute).parameters)[1:]:
            Op.get(OWN + name).add_argument(parameter, "Tensor", "")

        legalization = _legalization(name, compute)
        register_op_attr(OWN + name, "FLegalize", partial(legalization, portable))
        LEGALIZATIONS_FOR_C[OWN + name] = partial(legalization, lambda kernel: kernel)
        return compute

    return decorate


def _legalization(name: str, compute: Compute) -> Callable[..., relax.Expr]:
    """(finish, builder, call) -> call of the kernel that ``finish`` makes of TE's."""

    def legalize(
        finish: Callable[[tirx.PrimFunc], tirx.PrimFunc],
        builder: relax.BlockBuilder,
        call: relax.Call,
    ) -> relax.Expr:
        attrs = attributes(call)
        kernel, operands, outputs = gen_call_tir_inputs(
            lambda *operands: compute(attrs, *operands),
            *call.args,
            primfunc_attrs={"op_pattern": OPAQUE} if attrs.get("saved") else {},
        )
        return relax.call_tir(builder.add_func(finish(kernel), name), operands, outputs)

    return legalize


def _entered(name: str, facts: dict[str, Any]) -> Operator:
    operator = _OPERATORS[name] = Operator(**facts)
    if operator.gradient is not None:
        register_gradient(name, operator.gradient, level=_OVERRIDE)
    return operator


def float_of_shape(expr: relax.Call) -> relax.Type:
    """Type rule of an operator whose result is float32 of its attribute ``shape``."""
    return relax.TensorType([int(n) for n in expr.attrs["shape"]], "float32")


def like_first(expr: relax.Call) -> relax.Type:
    """Type rule of an operator whose result is of its first operand's type."""
    return expr.args[0].ty


def call(name: str, *operands: relax.Expr, **attrs: Any) -> relax.Call:
    """``relax.odt.<name>(*operands)`` with compile-time attributes."""
    return relax.Call(Op.get(OWN + name), list(operands), tvm.ir.make_node("ir.DictAttrs", **attrs))


def attributes(expr: relax.Call) -> Attributes:
    """Attributes of a ``relax.odt.*`` call as plain Python numbers, strings and lists."""
    return {key: _plain(value) for key, value in expr.attrs.items()}


def with_attributes(expr: relax.Call, **changed: Any) -> relax.Call:
    """The same ``relax.odt.*`` call with other or further attributes."""
    attrs = dict(expr.attrs.items()) | changed
    return relax.Call(expr.op, expr.args, tvm.ir.make_node("ir.DictAttrs", **attrs))


def _plain(value: Any) -> Any:
    if isinstance(value, (str, int, float, bool)):
        return value
    if hasattr(value, "value"):
        return value.value
    return [_plain(item) for item in value]
