"""Turn a loss function into a training step that updates only what a scheme trains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Protocol, TypeAlias

import tvm
from tvm import relax
from tvm.relax.training.optimizer import Optimizer as RelaxOptimizer

from ..graph import (
    bindings_of,
    consumers_of,
    dependents_of,
    is_call_of,
    main_of,
    rebuilt,
    with_function,
    without_dead_code,
)
from ..layer_words import Layer
from ..layers import layers_of
from ..ops.channels import take_channels
from ..ops.registry import attributes
from ..optimizers import SGD, Optimizer
from ..tvm_pass import Pass, module_pass
from .accumulation import Accumulate, ApplyMean, MeanUpdates, Sums
from .arguments import Arguments, arguments_of, with_num_input
from .cancel_transposes import cancel_transposes
from .differentiate import WITH_GRADIENT, differentiate, without_te_gradient
from .extend import extended
from .forward import Forward, Leaf, forward_of, leaf_of
from .gradients import Gradients
from .relax_optimizer import RelaxUpdates
from .split_parameters import split
from .trim_gradients import trim_gradients
from .updates import Updates
from .what_trains import WhatTrains, checked, parts_of

AnyOptimizer: TypeAlias = Optimizer | Accumulate | ApplyMean | RelaxOptimizer | None
_OWN = Optimizer, Accumulate, ApplyMean
_FLOATS = ("float32",)  # what our optimizers update
_ALL_FLOATS = ("float32", "float16", "bfloat16", "float64")


class Ending(Protocol):
    """What a step does with its gradients: its arguments, its attributes, its results.

    num_input : how many of its arguments are no parameters; None if that has not changed.
    """

    params: list[relax.Var]
    num_input: int | None
    attributes: dict[str, object]

    def results(
        self, builder: relax.BlockBuilder, gradients: Sequence[relax.Var], forward: Forward
    ) -> list[relax.Expr]: ...


@module_pass
class SparseBackward(Pass):
    """Differentiate a loss with respect to the trained parameters and update them.

    Before: ``main(input, target, p0, p1, ...) -> loss``, or ``-> (loss, more...)``; the loss is a
    float scalar. A trained parameter is float32, or int8/int32 read only through one `dequantize`.
    After: ``main(input, target, learning_rate, seed, p0, ...) -> (loss, updated..., more...)``; the
    updated parameters follow the order of the parameters and the attribute ``trained_parameters``
    names them. Further hyper-parameters and states of the optimizer are arguments behind the
    parameters, numbers that it keeps before tensors; the new states are results behind the updated
    parameters, in the order of ``optimizer_states``. Other functions, blocks, variables and
    attributes stay what they are.

    Nothing is differentiated that no update needs: operators that do not depend on a trained
    parameter need no gradient rule. Rules are ours (`ops`) where there is one, else TVM's; TVM's
    own `Gradient` keeps its rules, whether or not this package is imported.

    Quantized parameters are differentiated in the real domain: `dequantize(w)` is the leaf. A
    weight that trains on a subset of its input channels is split first (`SplitParameters`); then
    only that slice of its gradient is computed and stored, and only those channels of its input
    are saved.

    Parameters
    ----------
    scheme : what trains. None: every float parameter that gets a gradient. A word: "full", "head",
        "last:2", "bias:4", see `layer_words`. Names, or variables, of parameters; or a mapping of
        them to ascending input channels, None or "all" for all of them; or an `UpdateScheme`.
    func_name : the function that becomes the step.
    target_index : which of its arguments is the target; None if it has none. Where it is the last,
        as TVM's `AppendLoss` leaves it, -1. Arguments before it are inputs, see `arguments_of`.
    optimizer : how parameters follow their gradients: one of `optimizers`, or of TVM's
        `relax.training.optimizer`, whose states are then one tuple behind the parameters (see
        `RelaxUpdates`). `Accumulate` and `ApplyMean` make the two steps of training in batches
        (see `Sums` and `MeanUpdates`). None: ``main`` keeps its arguments and returns ``(what it
        returned, (gradients...))``, as TVM's `Gradient` has it.

    Raises
    ------
    ValueError, in one line, for what cannot be differentiated or does not exist.

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

        @R.function                                   # after SparseBackward(["w"])
        def main(x, target, learning_rate, seed, w):
            with R.dataflow():
                ...                                   # forward
                w_adjoint = R.multiply(y_adjoint, x)
                updated = R.odt.sgd_update(w, w_adjoint, learning_rate)
                R.output(loss, updated)
            return (loss, updated)
    """

    def __init__(
        self,
        scheme: WhatTrains = None,
        func_name: str = "main",
        target_index: int | None = 1,
        optimizer: AnyOptimizer = SGD(),  # noqa: B008 - a frozen value
    ) -> None:
        with _errors_of_this_pass():
            self.scheme = checked(scheme)
            _check_optimizer(optimizer)
            if not isinstance(func_name, str):
                raise ValueError(f"func_name is {func_name!r}; it must be the name of a function.")
        self.func_name, self.target_index, self.optimizer = func_name, target_index, optimizer

    def transform_module(
        self, module: tvm.IRModule, _context: tvm.transform.PassContext
    ) -> tvm.IRModule:
        function = main_of(module, "SparseBackward", self.func_name)
        with _errors_of_this_pass():
            _check_uncalled(module, self.func_name)
            arguments = arguments_of(function, self.target_index)
            parts = parts_of(self.scheme, function, arguments)
            layers = layers_of(function)
            subsets = {p: channels for p, channels in parts.items() if channels is not None}
            function, pairs = split(function, subsets)
            expanded = [q for p in arguments.parameters for q in pairs.get(p, (p,))]
            arguments = replace(arguments, parameters=tuple(expanded))
            forward = forward_of(function)
            leaves = self._leaves(module, forward, [pairs.get(p, (p,))[0] for p in parts])
            ending = _ending(self.optimizer, function, arguments, leaves, layers)
            return _with_step(module, self.func_name, forward, leaves, ending)

    def _leaves(
        self, module: tvm.IRModule, forward: Forward, trained: Sequence[relax.Var]
    ) -> list[Leaf]:
        floats = _FLOATS if isinstance(self.optimizer, _OWN) else _ALL_FLOATS
        consumers = consumers_of(forward.function)
        leaves = [leaf_of(consumers, p, floats) for p in trained]
        if self.scheme is not None:
            return leaves
        reached = _with_gradient(module, forward, leaves)
        if not reached:
            raise ValueError("the scheme is None, but no float parameter gets a gradient.")
        return reached


@contextmanager
def _errors_of_this_pass() -> Iterator[None]:
    """Say which pass refuses."""
    try:
        yield
    except ValueError as error:
        text = str(error).removeprefix("SplitParameters: ").removeprefix("SparseBackward: ")
        raise ValueError(f"SparseBackward: {text}") from error


def _check_optimizer(optimizer: object) -> None:
    if not isinstance(optimizer, (*_OWN, RelaxOptimizer, type(None))):
        raise ValueError(
            f"optimizer is {optimizer!r}; allowed are None, one of relay.transform, such "
            "as SGD(), and one of relax.training.optimizer."
        )


def _check_uncalled(module: tvm.IRModule, func_name: str) -> None:
    """No other function calls the one whose signature changes."""
    called = module.get_global_var(func_name)
    for gvar, function in module.functions_items():
        if isinstance(function, relax.Function) and called in tvm.relax.analysis.all_global_vars(
            function
        ):
            raise ValueError(
                f'"{func_name}" is called by "{gvar.name_hint}", but its signature changes; let '
                "the loss be a function of its own."
            )


def _ending(
    optimizer: AnyOptimizer,
    function: relax.Function,
    arguments: Arguments,
    leaves: Sequence[Leaf],
    layers: Sequence[Layer],
) -> Ending:
    if optimizer is None:
        return Gradients(function, leaves)
    if isinstance(optimizer, Optimizer):
        return Updates(optimizer, arguments, leaves, layers)
    if isinstance(optimizer, Accumulate):
        return Sums(optimizer.batches, arguments, leaves)
    if isinstance(optimizer, ApplyMean):
        return MeanUpdates(optimizer.batches, arguments, leaves, layers)
    return RelaxUpdates(optimizer, arguments, leaves)


def _with_step(
    module: tvm.IRModule,
    func_name: str,
    forward: Forward,
    leaves: Sequence[Leaf],
    ending: Ending,
) -> tvm.IRModule:
    """`module`, where the step stands for the forward: its blocks, and the backward behind."""

    def body(builder: relax.BlockBuilder) -> relax.Expr:
        gradients = _gradients(builder, forward, leaves)
        return relax.Tuple(ending.results(builder, gradients, forward))

    module = extended(module, func_name, forward.function, ending.params, body)
    step = module[func_name].with_attrs(ending.attributes)
    if ending.num_input is not None:
        step = with_num_input(step, ending.num_input)
    own = {b.var for b in bindings_of(forward.function)}
    step = trim_gradients(_without_te_gradients(step), own)
    step = cancel_transposes(step, own)
    return with_function(module, func_name, without_dead_code(step))


def _with_gradient(module: tvm.IRModule, forward: Forward, leaves: Sequence[Leaf]) -> list[Leaf]:
    """Those of the `leaves` that get one: scales and moving statistics, e.g., are floats, too."""
    found: set[relax.Var] = set()

    def body(builder: relax.BlockBuilder) -> relax.Expr:
        found.update(_adjoints(builder, forward, leaves))
        return forward.loss

    extended(module, "with_gradient", forward.function, forward.function.params, body)
    return [leaf for leaf in leaves if leaf.real in found]


def _adjoints(
    builder: relax.BlockBuilder, forward: Forward, leaves: Sequence[Leaf]
) -> dict[relax.Var, relax.Var]:
    real = [leaf.real for leaf in leaves]
    dependent = dependents_of(forward.function, real)
    return differentiate(builder, dependent, forward.loss, real)


def _gradients(
    builder: relax.BlockBuilder, forward: Forward, leaves: Sequence[Leaf]
) -> list[relax.Var]:
    """Of each leaf, for its channels that train; emitted behind the forward."""
    adjoints = _adjoints(builder, forward, leaves)
    gradients = []
    for leaf in leaves:
        if leaf.real not in adjoints:
            raise ValueError(f'parameter "{leaf.parameter.name}" does not reach the loss.')
        gradient = adjoints[leaf.real]
        if leaf.merge:
            attrs = attributes(leaf.merge.value)
            gradient = builder.emit(take_channels(gradient, attrs["ranges"], attrs["axis"]))
        gradients.append(gradient)
    return gradients


def _without_te_gradients(function: relax.Function) -> relax.Function:
    def rewrite(_emit: object, binding: relax.VarBinding) -> relax.Expr:
        value = binding.value
        return without_te_gradient(value) if is_call_of(value, WITH_GRADIENT) else value

    return rebuilt(function, rewrite)
