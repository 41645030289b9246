"""The arithmetic of an optimizer as operators: one for each state, and one for the direction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial

from tvm import relax, te

from ..graph import op_name
from ..optimizers import OPTIMIZERS, Optimizer, State
from ..tir import tirx
from .registry import Attributes, call, operand_names, register

DIRECTION = "direction"
_GRADIENT, _VALUE = "gradient", "value"
Operands = dict[str, Callable[[], relax.Var]]
Emit = Callable[[relax.Expr, bool], relax.Var]  # (value, whether it is a new state) -> its variable


def next_scalars(
    optimizer: Optimizer,
    scalars: Mapping[str, relax.Var],
    hyper: Mapping[str, relax.Var],
    emit: Emit,
) -> dict[str, relax.Var]:
    """The new values of `scalars`, 0-d tensors by name, once for the whole step."""
    operands = _constantly({**scalars, **hyper})
    return {one: _result(optimizer, one, operands, emit) for one in scalars}


def optimizer_step(
    optimizer: Optimizer,
    gradient: relax.Var,
    value: Callable[[], relax.Var],
    states: Mapping[str, relax.Var],
    hyper: Mapping[str, relax.Var],
    emit: Emit,
) -> tuple[relax.Var, dict[str, relax.Var]]:
    """The direction of `optimizer`, and its new states by name, emitted as they are needed.

    Of the operands each operator gets those that its arithmetic reads.

    value : gives the real value of what trains; called where it is read.
    states : tensors of the gradient's shape, by name.
    hyper : 0-d tensors by name: hyper-parameters, and what `next_scalars` gave.
    """
    operands: Operands = {_GRADIENT: lambda: gradient, _VALUE: value}
    operands |= _constantly({**states, **hyper})
    new = {one.name: _result(optimizer, one.name, operands, emit) for one in optimizer.states}
    operands |= _constantly(new)
    return _result(optimizer, DIRECTION, operands, emit), new


def _result(optimizer: Optimizer, name: str, operands: Operands, emit: Emit) -> relax.Var:
    traced = {one: tirx.Var(one, "float32") for one in operands}
    element = _element(optimizer, name, traced)
    reads = [one for one, var in traced.items() if _occurs(var, element)]
    if len(reads) == 1 and element.same_as(traced[reads[0]]):
        return operands[reads[0]]()
    operator = _registered(optimizer.name, name)
    read = call(operator, *(operands[one]() for one in reads), reads=reads)
    return emit(read, name != DIRECTION)


def _constantly(variables: Mapping[str, relax.Var]) -> Operands:
    return {name: partial(_same, var) for name, var in variables.items()}


def _same(var: relax.Var) -> relax.Var:
    return var


class _Named(dict[str, tirx.Expr]):
    """Elements by the names of their operands; 0 stands for those that a result does not read."""

    def __missing__(self, name: str) -> tirx.Expr:
        return tirx.const(0, "float32")


def _element(optimizer: Optimizer, name: str, operands: Mapping[str, tirx.Expr]) -> tirx.Expr:
    """What `optimizer` says of an element of result `name`, its operands by their names.

    Those that it does not read may be missing.
    """
    named = _Named(operands)
    if name in _names(optimizer.scalars):
        return optimizer.next_scalars(named, named)[name]
    arguments = named[_GRADIENT], named[_VALUE], named, named
    if name == DIRECTION:
        return optimizer.direction(*arguments)
    return optimizer.next_states(*arguments)[name]


def _names(states: Sequence[State]) -> list[str]:
    return [state.name for state in states]


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

    def element(*index: tirx.Var) -> tirx.Expr:
        operands = {
            name: tensor(*index) if tensor.shape else tensor()
            for name, tensor in zip(names, tensors, strict=True)
        }
        return _element(optimizer, result, operands)

    return te.compute(tensors[0].shape, element, name=result)


for _optimizer in list(OPTIMIZERS.values()):  # of a step that was made elsewhere, too
    _results = *_optimizer.states, *_optimizer.scalars
    for _result_name in (DIRECTION, *_names(_results)):
        _registered(_optimizer.name, _result_name)
