"""Turn a loss function into a training step that updates only what a scheme trains."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol, TypeAlias, runtime_checkable

import tvm
from tvm import relax

from ..graph import (
    Renamer,
    bindings_of,
    dependents_of,
    dtype_of,
    function_of,
    is_call_of,
    main_of,
    op_name,
    variables_in,
)
from ..ops.registry import without_gradient
from ..optimizers import SGD, Optimizer
from ..tvm_pass import Pass, module_pass
from .split_parameters import SplitParameters, merged_with_frozen
from .trim_gradients import trim_gradients
from .updates import Leaf, Updates

LOSS = "main"


@runtime_checkable
class Scheme(Protocol):
    """What an `UpdateScheme` tells: the parameters that train, and which part of each."""

    @property
    def trained(self) -> Sequence[str]: ...

    @property
    def parameters(self) -> Mapping[str, object]: ...


Names: TypeAlias = Iterable[str] | Mapping[str, Sequence[int] | None]


@module_pass
class SparseBackward(Pass):
    """Differentiate the loss with respect to the trained parameters and update them.

    Before: ``main(input, target, p0, p1, ...) -> loss``, one dataflow block, the loss a float32
    scalar. A trained parameter is float32, or int8/int32 read only through one `dequantize`.
    After: ``main(input, target, learning_rate, seed, p0, ...) -> (loss, updated...)``; the updated
    parameters follow the order of the parameters and the attribute ``trained_parameters`` names
    them. Further hyper-parameters and states of the optimizer are arguments behind the parameters;
    the new states are results behind the updated parameters, in the order of ``optimizer_states``.
    Nothing is computed that no update needs: no gradient of a frozen parameter, and no adjoint
    below the first trained one.

    Quantized parameters are differentiated in the real domain: `dequantize(w)` stands for a
    float32 leaf while TVM's `Gradient` runs, and is put back afterwards. A weight that trains on a
    subset of its input channels is split first (`SplitParameters`); then only that slice of its
    gradient is computed and stored, and only those channels of its input are saved.

    Parameters
    ----------
    scheme : what trains: names of parameters; or name -> ascending input channels, None for all of
        them; or an `UpdateScheme` that trains parameters in whole.
    optimizer : how they follow their gradients, see `optimizers`.

    Examples
    --------
    .. code-block:: python

        @R.function                                   # before
        def main(x, target, w):
            with R.dataflow():
                y = R.multiply(x, w)
                loss = R.sum(R.multiply(y, target))
                R.output(loss)
            return loss

        @R.function                                   # after SparseBackward({"w"})
        def main(x, target, learning_rate, seed, w):
            with R.dataflow():
                ...                                   # forward
                w_adjoint = R.multiply(y_adjoint, x)
                updated = R.odt.sgd_update(w, w_adjoint, learning_rate)
                R.output(loss, updated)
            return (loss, updated)
    """

    def __init__(self, scheme: Names | Scheme, optimizer: Optimizer | None = None) -> None:
        self.optimizer = SGD() if optimizer is None else optimizer
        names = _names_of(scheme)
        self.trained = dict(names if isinstance(names, Mapping) else dict.fromkeys(names))

    def transform_module(
        self, module: tvm.IRModule, _context: tvm.transform.PassContext
    ) -> tvm.IRModule:
        _check_names(main_of(module, "SparseBackward"), self.trained)
        subsets = {name: chosen for name, chosen in self.trained.items() if chosen is not None}
        function = SplitParameters(subsets)(module)[LOSS]
        leaves = [_leaf(function, p) for p in function.params[2:] if p.name in self.trained]
        dependent = dependents_of(function, [leaf.real for leaf in leaves])
        _check_gradients(dependent)
        opened, outside = _open_leaves(function, leaves, dependent)
        differentiated = _differentiate(function, opened, leaves)
        updates = Updates(self.optimizer, function, leaves)
        step = _append_updates(function, differentiated, outside, dependent, updates)
        step = tvm.IRModule({LOSS: step})
        step = relax.transform.CanonicalizeBindings()(step)  # no aliases between a gradient and us
        step = tvm.IRModule({LOSS: trim_gradients(step[LOSS])})
        return relax.transform.DeadCodeElimination()(step)


def _names_of(scheme: Names | Scheme) -> Names:
    """What an `UpdateScheme` trains; anything else as it is."""
    if not isinstance(scheme, Scheme):
        return scheme
    for name in scheme.trained:
        if scheme.parameters[name] != "all":
            raise ValueError(
                f'SparseBackward: the scheme trains a part of "{name}" by a rule that needs its '
                "values; give the channels by number, {name: [0, 1, ...]}."
            )
    return scheme.trained


def _check_names(function: relax.Function, names: Iterable[str]) -> None:
    unknown = sorted(set(names) - {p.name for p in function.params[2:]})
    if unknown:
        raise ValueError(f'SparseBackward: there is no parameter "{unknown[0]}" in the module.')
    if not names:
        raise ValueError("SparseBackward: the scheme trains nothing; name at least one parameter.")


def _check_gradients(dependent: Sequence[relax.VarBinding]) -> None:
    for binding in dependent:
        if without_gradient(binding.value):
            raise ValueError(
                f"SparseBackward: {op_name(binding.value)} has no gradient, and lies between a "
                "parameter that trains and the loss."
            )


def _leaf(function: relax.Function, parameter: relax.Var) -> Leaf:
    merge = merged_with_frozen(function, parameter)
    whole = merge.var if merge else parameter
    readers = [b for b in bindings_of(function) if whole in variables_in(b.value)]
    if not readers:
        raise ValueError(f'SparseBackward: parameter "{parameter.name}" is never used.')
    if dtype_of(parameter) == "float32":
        return Leaf(parameter, merge, None)
    if len(readers) != 1 or not is_call_of(readers[0].value, "relax.dequantize"):
        raise ValueError(
            f'SparseBackward: parameter "{parameter.name}" is {dtype_of(parameter)} and not '
            "read through one dequantize; only float32 and quantized parameters train."
        )
    return Leaf(parameter, merge, readers[0])


def _open_leaves(
    function: relax.Function, leaves: Sequence[Leaf], dependent: Sequence[relax.VarBinding]
) -> tuple[relax.Function, list[relax.Var]]:
    """The `dependent` bindings as a function that `Gradient` can differentiate.

    What they read of the others is an argument of it, behind those of `function`; the real values
    of the `leaves` come first, in their order. Returns these variables, too.
    """
    own = {*function.params, *(binding.var for binding in dependent)}
    read = [v for binding in dependent for v in variables_in(binding.value) if v not in own]
    outside = dict.fromkeys([*(leaf.binding.var for leaf in leaves if leaf.binding), *read])
    renamed = Renamer({var: relax.Var(var.name, var.ty) for var in outside})
    params = [*function.params, *renamed.vars.values()]

    def body(builder: relax.BlockBuilder) -> relax.Expr:
        for binding in dependent:
            renamed.vars[binding.var] = builder.emit(renamed(binding.value))
        return builder.emit_output(renamed(function.body.body))

    return function_of(params, body), list(outside)


def _differentiate(
    function: relax.Function, opened: relax.Function, leaves: Sequence[Leaf]
) -> relax.Function:
    """``(..., real values..., others...) -> (loss, (gradient of each leaf...))``."""
    count = len(function.params)
    arguments = dict(zip(function.params, opened.params[:count], strict=True))
    real = iter(opened.params[count:])
    require = [next(real) if leaf.binding else arguments[leaf.parameter] for leaf in leaves]
    module = relax.transform.Gradient(LOSS, require)(tvm.IRModule({LOSS: opened}))
    return module[LOSS + "_adjoint"]


def _append_updates(
    function: relax.Function,
    differentiated: relax.Function,
    outside: Sequence[relax.Var],
    dependent: Sequence[relax.VarBinding],
    updates: Updates,
) -> relax.Function:
    """Bind what lies `outside` again, add the `updates`, return the new parameters and states."""
    count = len(function.params)
    renamed = Renamer(dict(zip(differentiated.params[:count], function.params, strict=True)))
    arguments = dict(zip(outside, differentiated.params[count:], strict=True))
    copies = iter(bindings_of(differentiated))
    copied = {binding.var for binding in dependent}

    def ordered() -> Iterator[relax.VarBinding]:
        for leaf in updates.leaves:
            yield from filter(None, (leaf.merge, leaf.decode))
        for binding in bindings_of(function):
            if binding.var in copied:
                yield next(copies)
            elif binding.var not in renamed.vars:
                yield binding
        yield from copies

    def body(builder: relax.BlockBuilder) -> relax.Expr:
        for binding in ordered():
            value = builder.emit(renamed(binding.value))
            renamed.vars |= {binding.var: value, arguments.get(binding.var, binding.var): value}
        loss, gradients = _results(differentiated, renamed)
        return relax.Tuple([builder.emit_output(loss), *updates.emit(builder, gradients)])

    return function_of(updates.params, body).with_attrs(updates.attributes)


def _results(
    differentiated: relax.Function, renamed: Renamer
) -> tuple[relax.Expr, list[relax.Expr]]:
    """The loss and the list of gradients behind the adjoint function's result."""
    values = {b.var: b.value for b in bindings_of(differentiated)}
    result = differentiated.body.body
    result = values.get(result, result)
    loss, gradients = result.fields
    gradients = values.get(gradients, gradients)
    return renamed(loss), [renamed(g) for g in gradients.fields]
