"""The arithmetic of an optimizer as operators: one for each state, and one for the direction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial

from tvm import relax, te

from ..graph import op_name
from ..optimizers import OPTIMIZERS, Optimizer
from ..tir import tirx
from .registry import Attributes, call, operand_names, register

DIRECTION = "direction"
_GRADIENT, _VALUE = "gradient", "value"


def optimizer_step(
    optimizer: Optimizer,
    gradient: relax.Var,
    value: Callable[[], relax.Var],
    states: Mapping[str, relax.Var],
    hyper: Mapping[str, relax.Var],
    emit: Callable[[relax.Expr, bool], relax.Var],
) -> tuple[relax.Var, dict[str, relax.Var]]:
    """The direction of `optimizer`, and its new states by name, emitted as they are needed.

    Of the operands each operator gets those that its arithmetic reads.

    value : gives the real value of what trains; called where it is read.
    states, hyper : tensors of the gradient's shape, and 0-d tensors, by name.
    emit : (value, whether it is a new state) -> the variable that binds it.
    """
    operands: dict[str, Callable[[], relax.Var]] = {_GRADIENT: lambda: gradient, _VALUE: value}
    operands |= _constantly({**states, **hyper})

    def result(name: str) -> relax.Var:
        traced = {one: tirx.Var(one, "float32") for one in operands}
        element = _element(optimizer, name, traced, list(hyper))
        reads = [one for one, var in traced.items() if _occurs(var, element)]
        if len(reads) == 1 and element.same_as(traced[reads[0]]):
            return operands[reads[0]]()
        operator = _registered(optimizer.name, name)
        read = call(operator, *(operands[one]() for one in reads), reads=reads)
        return emit(read, name != DIRECTION)

    new = {state.name: result(state.name) for state in optimizer.states}
    operands |= _constantly(new)
    return result(DIRECTION), new


def _constantly(variables: Mapping[str, relax.Var]) -> dict[str, Callable[[], relax.Var]]:
    return {name: partial(_same, var) for name, var in variables.items()}


def _same(var: relax.Var) -> relax.Var:
    return var


def _element(
    optimizer: Optimizer, name: str, operands: Mapping[str, tirx.Expr], hyper: Sequence[str]
) -> tirx.Expr:
    """What `optimizer` says of an element of result `name`, its operands by their names.

    Those that it does not read may be missing.
    """
    unread = tirx.const(0, "float32")
    arguments = (
        *(operands.get(one, unread) for one in (_GRADIENT, _VALUE)),
        {state.name: operands.get(state.name, unread) for state in optimizer.states},
        {one: operands[one] for one in hyper},
    )
    if name == DIRECTION:
        return optimizer.direction(*arguments)
    return optimizer.next_states(*arguments)[name]


def _occurs(var: tirx.Var, element: tirx.Expr) -> bool:
    return any(var.same_as(used) for used in tirx.analysis.undefined_vars(element))


@cache
def _registered(optimizer: str, result: str) -> str:
    """Name of the operator that gives `result`; registered where it is not yet."""
    name = f"{optimizer}_{result}"
    computed_by = register(name, _type_of, ("reads",))
    computed_by(lambda attrs, *tensors: _compute(OPTIMIZERS[optimizer](), result, attrs, tensors))
    return name


def _type_of(expr: relax.Call) -> relax.Type:
    names = operand_names(expr)
    if len(names) != len(expr.args):
        raise TypeError(
            f"{op_name(expr)} reads {', '.join(names)}; found {len(expr.args)} operands"
        )
    return relax.TensorType(expr.args[0].ty.shape, "float32")


def _compute(
    optimizer: Optimizer, result: str, attrs: Attributes, tensors: Sequence[te.Tensor]
) -> te.Tensor:
    """`result` of `tensors`, whose names are ``attrs["reads"]``; the first has its shape."""
    names = [str(name) for name in attrs["reads"]]
    kept = {one.name for one in optimizer.described()}

    def element(*index: tirx.Var) -> tirx.Expr:
        operands = {
            name: tensor() if name in kept else tensor(*index)
            for name, tensor in zip(names, tensors, strict=True)
        }
        return _element(optimizer, result, operands, [name for name in names if name in kept])

    return te.compute(tensors[0].shape, element, name=result)


for _optimizer in list(OPTIMIZERS.values()):  # of a step that was made elsewhere, too
    for _result in (DIRECTION, *(state.name for state in _optimizer.states)):
        _registered(_optimizer.name, _result)
