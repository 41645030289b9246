"""The arithmetic of an optimizer as operators: one for each state, and one for the direction."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache, partial

from tvm import relax, te

from ..graph import op_name, shape_of
from ..optimizers import OPTIMIZERS, Optimizer, State
from ..tir import tirx
from .block_states import block_values, coded, decoded, flat_index, index_of
from .registry import Attributes, call, operand_names, register

DIRECTION = "direction"
_GRADIENT, _VALUE = "gradient", "value"
SCALE, SEED = "scale", "seed"  # what operators of codes read besides
Operands = dict[str, Callable[[], relax.Var]]
Kept = tuple[relax.Var, ...]  # a state: its values, or codes and scales
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
    states: Mapping[str, Kept],
    hyper: Mapping[str, relax.Var],
    seed: relax.Var,
    emit: Emit,
) -> tuple[relax.Var, list[relax.Var]]:
    """The direction of `optimizer`, and the tensors of its new states, emitted as they are needed.

    Of the operands each operator gets those that its arithmetic reads.

    value : gives the real value of what trains; called where it is read.
    states : by name; of the gradient's shape, or codes and scales (see `block_states`).
    hyper : 0-d tensors by name: hyper-parameters, and what `next_scalars` gave.
    seed : of stochastic rounding, where there are codes.
    """
    real = partial(_real, gradient, emit)
    operands: Operands = {_GRADIENT: lambda: gradient, _VALUE: value}
    operands |= {one.name: real(one, states[one.name]) for one in optimizer.states}
    operands |= _constantly(hyper)
    new: dict[str, Kept] = {}
    for one in optimizer.states:
        kept = states[one.name]
        if len(kept) == 1:
            new[one.name] = (_result(optimizer, one.name, operands, emit),)
        else:
            new[one.name] = _codes(optimizer, one, kept, operands, seed, emit)
    operands |= {one.name: real(one, new[one.name]) for one in optimizer.states}
    direction = _result(optimizer, DIRECTION, operands, emit)
    return direction, [var for kept in new.values() for var in kept]


def _real(gradient: relax.Var, emit: Emit, state: State, kept: Kept) -> Callable[[], relax.Var]:
    """What gives the values of a state; of codes whenever they are read."""
    if len(kept) == 1:
        return partial(_same, kept[0])
    codes, scale = kept
    shape = shape_of(gradient)
    return lambda: emit(block_values(codes, scale, shape, state.rooted), False)


def _result(optimizer: Optimizer, name: str, operands: Operands, emit: Emit) -> relax.Var:
    reads, element = _reads(optimizer, name, operands)
    if len(reads) == 1 and isinstance(element, tirx.Var):
        return operands[reads[0]]()
    operator = _registered(optimizer.name, name)
    read = call(operator, *(operands[one]() for one in reads), reads=reads)
    return emit(read, name != DIRECTION)


def _codes(
    optimizer: Optimizer,
    state: State,
    kept: Kept,
    operands: Operands,
    seed: relax.Var,
    emit: Emit,
) -> Kept:
    """The new codes and scales of `state`, whose old ones its operator reads as they are."""
    reads, _ = _reads(optimizer, state.name, operands)
    old = dict(zip((state.name, SCALE), kept, strict=True)) if state.name in reads else {}
    read = {one: operands[one]() for one in reads if one != state.name} | old | {SEED: seed}
    pair = emit(
        call(
            _registered_codes(optimizer.name, state.name),
            *read.values(),
            reads=list(read),
            blocks=list(shape_of(kept[0])),
            salt=zlib.crc32(kept[0].name.encode()),
        ),
        False,
    )
    codes, scale = (emit(relax.TupleGetItem(pair, place), True) for place in range(2))
    return codes, scale


def _reads(
    optimizer: Optimizer, name: str, operands: Collection[str]
) -> tuple[list[str], tirx.Expr]:
    """Which of the `operands` result `name` reads, and an element of it."""
    traced = {one: tirx.Var(one, "float32") for one in operands}
    element = _element(optimizer, name, traced)
    return [one for one, var in traced.items() if _occurs(var, element)], element


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


@cache
def _registered_codes(optimizer: str, state: str) -> str:
    """Name of the operator that gives codes and scales of `state`; registered where not yet."""
    name = f"{optimizer}_{state}_codes"
    computed_by = register(name, _type_of_codes, ("reads", "blocks", "salt"))
    computed_by(
        lambda attrs, *tensors: _compute_codes(OPTIMIZERS[optimizer](), state, attrs, tensors)
    )
    return name


def _type_of_codes(expr: relax.Call) -> relax.Type:
    blocks = [int(n) for n in expr.attrs["blocks"]]
    kinds = relax.TensorType(blocks, "int8"), relax.TensorType(blocks[:1], "float32")
    return relax.TupleType(list(kinds))


def _compute_codes(
    optimizer: Optimizer, name: str, attrs: Attributes, tensors: Sequence[te.Tensor]
) -> tuple[te.Tensor, te.Tensor]:
    """Codes and scales of state `name`, of `tensors`, whose names are ``attrs["reads"]``."""
    blocks = [int(n) for n in attrs["blocks"]]
    (state,) = (one for one in optimizer.states if one.name == name)
    read = dict(zip((str(one) for one in attrs["reads"]), tensors, strict=True))
    scale, seed = read.pop(SCALE, None), read.pop(SEED)

    def element(block: tirx.Var, place: tirx.Var) -> tirx.Expr:
        flat = flat_index([block, place], blocks)
        operands = {
            one: tensor(*index_of(flat, tensor.shape)) if tensor.shape else tensor()
            for one, tensor in read.items()
            if one != name
        }
        if scale is not None:
            operands[name] = decoded(read[name], scale, state.rooted)(block, place)
        return _element(optimizer, name, operands)

    salted = seed() + tirx.const(attrs["salt"], "uint32")
    return coded(element, blocks, state.rooted, salted)


for _optimizer in list(OPTIMIZERS.values()):  # of a step that was made elsewhere, too
    for _state in _optimizer.states:
        _registered_codes(_optimizer.name, _state.name)
    _results = *_optimizer.states, *_optimizer.scalars
    for _result_name in (DIRECTION, *_names(_results)):
        _registered(_optimizer.name, _result_name)
