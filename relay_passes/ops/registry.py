"""One record an operator: what the passes know of it, TVM's own and those registered here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from inspect import Parameter, Signature, signature
from types import MappingProxyType
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


Attributes = dict[str, Any]  # of a call: numbers, strings and lists of them
Outputs: TypeAlias = te.Tensor | tuple[te.Tensor, ...]
Compute = Callable[..., Outputs]
Gradient = Callable[
    [relax.Var, relax.Call, relax.Var, relax.BlockBuilder], Sequence[relax.Expr] | None
]
Integer = Callable[[Values, relax.Var, "Epilogue"], tuple[relax.Call | None, list[relax.Var]]]
Trim = Callable[[relax.Expr, int], relax.Call]
Trimmed = Callable[[Trim, relax.Call, list[int], int], relax.Call | None]


@dataclass(frozen=True)
class Operator:
    """What the passes know of an operator; the defaults suit one of which they know nothing.

    gradient : rule for `differentiate`, as TVM's are: (result, call, adjoint, builder) -> what each
        operand gets, `no_grad` for none; None, the rule or what it gives, leaves it to TVM's.
    integer : (values, result, epilogue) -> (call on codes or None, variables inside the group).
    bounds : call -> (low, high, whether the gradient at `low` is 0), of an activation that clamps.
    channels : call -> what numbers its channels alike, see `ops.numbering`; None mixes them.
    trimmed : (trim, call, ranges, axis) -> a call for these channels of the result alone, or
        None; ``trim(operand, axis)`` is the same of an operand, see `trim_gradients`.
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
_TVMS_GRADIENTS: dict[
    str, Gradient | None
] = {}  # of operators with a record, when that was entered
_SIGNATURES: dict[str, Signature] = {}  # of our own, without OWN: operands, then attributes
# of our operators: kernels that call the C runtime, where `FLegalize` has formulas in TIR
LEGALIZATIONS_FOR_C: dict[str, Callable[[relax.BlockBuilder, relax.Call], relax.Expr]] = {}


def operator_of(expr: relax.Expr | None) -> Operator:
    """The record of the operator that `expr` calls."""
    return _OPERATORS.get(op_name(expr), _UNKNOWN)


def gradient_rules(call: relax.Call) -> list[Gradient]:
    """Rules for the gradient of the operator that `call` calls, ours before TVM's.

    Ours are not registered with TVM: its own `Gradient` is to work as it does without us. One that
    was registered since, by whoever uses TVM, comes first.
    """
    own, name = operator_of(call).gradient, op_name(call)
    if not isinstance(call.op, Op) or name.startswith(OWN):
        return [own] if own else []
    registered = call.op.get_attr("FPrimalGradient")
    theirs = registered is not None and not registered.same_as(_TVMS_GRADIENTS.get(name))
    rules = (registered, own) if theirs else (own, registered)
    return [rule for rule in rules if rule is not None]


def without_gradient(expr: relax.Expr) -> bool:
    """Whether `expr` calls what has no rule for its gradient."""
    return isinstance(expr, relax.Call) and not gradient_rules(expr)


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
    name: str,
    infer: Callable[[relax.Call], relax.Type],
    attribute_names: Sequence[str] = (),
    **facts: Any,
) -> Callable[[Compute], Compute]:
    """Register ``relax.odt.<name>`` and its record; decorates its TE function.

    Parameters
    ----------
    infer : call -> relax.Type, the type of the result.
    attribute_names : those that every call has.
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
        operands = list(signature(compute).parameters.values())[1:]
        for operand in operands:
            Op.get(OWN + name).add_argument(operand.name, "Tensor", "")
        _SIGNATURES[name] = _signature_of(operands, attribute_names)

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


def _entered(name: str, facts: dict[str, Any]) -> None:
    operator = _OPERATORS[name] = Operator(**facts)
    if not name.startswith(OWN):
        _TVMS_GRADIENTS[name] = Op.get(name).get_attr("FPrimalGradient")
    elif operator.gradient is not None:
        register_gradient(name, operator.gradient)  # TVM's `Gradient` may meet it, too


def _signature_of(operands: Sequence[Parameter], attribute_names: Sequence[str]) -> Signature:
    """Of a call in Python: nothing but operands by their place, all attributes by their names."""
    placed = [
        each
        if each.kind is Parameter.VAR_POSITIONAL
        else each.replace(kind=Parameter.POSITIONAL_ONLY)
        for each in (operand.replace(annotation=Parameter.empty) for operand in operands)
    ]
    named = [Parameter(name, Parameter.KEYWORD_ONLY) for name in attribute_names]
    saved = Parameter("saved", Parameter.KEYWORD_ONLY, default=False)
    return Signature([*placed, *named, saved])


def signatures() -> Mapping[str, Signature]:
    """How each of our own operators is called, by its name behind ``relax.odt.``."""
    return MappingProxyType(_SIGNATURES)


def float_of_shape(expr: relax.Call) -> relax.Type:
    """Type rule of a result of the attribute ``shape`` and the first operand's dtype, a float."""
    return relax.TensorType([int(n) for n in expr.attrs["shape"]], expr.args[0].ty.dtype)


def like_first(expr: relax.Call) -> relax.Type:
    """Type rule of an operator whose result is of its first operand's type."""
    return expr.args[0].ty


def call(name: str, *operands: relax.Expr, **attrs: Any) -> relax.Call:
    """``relax.odt.<name>(*operands)`` with compile-time attributes.

    TypeError, in one line, for operands or attributes that the operator does not have or lacks.
    """
    try:
        _SIGNATURES[name].bind(*operands, **attrs)
    except TypeError as error:
        raise TypeError(f"odt.{name}{_SIGNATURES[name]}: {error}") from None
    return relax.Call(Op.get(OWN + name), list(operands), tvm.ir.make_node("ir.DictAttrs", **attrs))


def attributes(expr: relax.Call) -> Attributes:
    """Attributes of a ``relax.odt.*`` call as plain Python numbers, strings and lists."""
    return {key: _plain(value) for key, value in expr.attrs.items()}


def with_attributes(expr: relax.Call, **changed: Any) -> relax.Call:
    """The same ``relax.odt.*`` call with other or further attributes."""
    attrs = dict(expr.attrs.items()) | changed
    return call(op_name(expr).removeprefix(OWN), *expr.args, **attrs)


def _plain(value: Any) -> Any:
    if isinstance(value, (str, int, float, bool)):
        return value
    if hasattr(value, "value"):
        return value.value
    return [_plain(item) for item in value]
