"""Append a loss to a network."""

from __future__ import annotations

from inspect import signature
from typing import Any

import tvm
from tvm import relax

from ..graph import free_name, is_static, main_of, results_of
from ..loss_graphs import GRAPHS
from ..loss_parameters import PARAMETERS
from ..tvm_pass import Pass, module_pass
from .arguments import arguments_of, with_num_input
from .extend import extended

REDUCTIONS = ("mean", "sum")


@module_pass
class AppendLoss(Pass):
    """Let a function that predicts return its loss: the short form of TVM's `AppendLoss`.

    Before: ``main(input, p0, ...) -> output``, or ``-> (output, more...)``. After:
    ``main(input, target, p0, ...) -> loss``, or ``-> (loss, more...)``, where `SparseBackward`
    expects the target. TVM's `relax.training.utils.AppendLoss` takes any loss as a function and
    puts the target last: say ``target_index=-1`` to `SparseBackward` behind it.

    Parameters
    ----------
    loss : "cross_entropy", whose target is int32, the number of a class for each sample, or for
        each of its pixels; or "bce", "mse", "l1", "huber", whose target has the output's shape.
    func_name : the function that predicts. Its attribute ``num_input``, which TVM's frontends
        leave, says how many of its arguments are inputs; without it the first is.
    reduction : "mean" or "sum", over labels, where targets are values over elements.
    parameters : of "cross_entropy" class_weights, label_smoothing and ignore_index, of "bce"
        positive_weight, of "huber" delta; see `loss_graphs`.

    Examples
    --------
    .. code-block:: python

        @R.function                                                   # before
        def main(x, w):
            y = R.matmul(x, w)

        @R.function                                                   # after AppendLoss("mse")
        def main(x, target, w):
            y = R.matmul(x, w)
            d = R.subtract(y, target)
            loss = R.mean(R.multiply(d, d))
    """

    def __init__(
        self, loss: str, func_name: str = "main", reduction: str = "mean", **parameters: Any
    ) -> None:
        for what, found, allowed in (("loss", loss, GRAPHS), ("reduction", reduction, REDUCTIONS)):
            if not isinstance(found, str) or found not in allowed:
                raise ValueError(
                    f"AppendLoss: {what} is {found!r}; allowed are {', '.join(allowed)}."
                )
        self.loss, self.func_name, self.reduction = loss, func_name, reduction
        self.parameters = _checked(loss, parameters)

    def transform_module(
        self, module: tvm.IRModule, _context: tvm.transform.PassContext
    ) -> tvm.IRModule:
        function = main_of(module, "AppendLoss", self.func_name)
        graph, type_of = GRAPHS[self.loss]
        output, *further = results_of(function)
        if not isinstance(output, relax.Var) or not is_static(output.ty) or not output.ty.ndim:
            raise ValueError(
                f'AppendLoss: "{self.func_name}" returns {" ".join(str(output.ty).split())}; its '
                "first result must be a prediction, a tensor of known shape and at least one axis."
            )
        target = relax.Var(
            free_name("target", [p.name for p in function.params]), type_of(output.ty)
        )
        arguments = arguments_of(function, None)
        params = [*arguments.inputs, target, *arguments.parameters]

        def body(builder: relax.BlockBuilder) -> relax.Expr:
            scalar = graph(builder.emit, output, target, self.reduction, **self.parameters)
            loss = builder.emit_output(scalar, "loss")
            return relax.Tuple([loss, *further]) if further else loss

        function = with_num_input(function, len(arguments.inputs) + 1)
        return extended(module, self.func_name, function, params, body)


def _checked(loss: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """The parameters of the loss of that name; ValueError for others, and for wrong values."""
    own = list(signature(GRAPHS[loss][0]).parameters)[4:]
    for name in parameters:
        if name not in own:
            has = f"it has {', '.join(own)}" if own else "it has no parameters"
            raise ValueError(f"AppendLoss: loss {loss!r} has no {name}; {has}.")
    try:
        return {name: PARAMETERS[name].check(value) for name, value in parameters.items()}
    except ValueError as error:
        raise ValueError(f"AppendLoss: {error}.") from None
