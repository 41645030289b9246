"""What training changes of a model: its end, and the loss."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from math import prod

import tvm
from tvm import relax

from relay_passes.graph import bindings_of, function_of, is_call_of, op_name, shape_of
from relay_passes.ops.registry import operator_of

from .errors import OdtError
from .losses import LABEL_MAP, Loss, loss_of
from .model import Model

OUTPUT = "logits or values"  # what a prediction is, for whoever reads it
SOFTMAX, LOG_SOFTMAX = "relax.nn.softmax", "relax.nn.log_softmax"
SIGMOID = "relax.sigmoid"


def before_loss(model: Model, loss: Loss) -> Model:
    """What the device computes: `model` without an activation that ends it and `loss` brings.

    Its output are logits then. Log-probabilities are logits, too: a log-softmax stays.
    """
    return model if loss.activation is None else without_end(model, loss.activation)


def logits(loss: Loss) -> str:
    """What a prediction is where `before_loss` took the activation that ends a model."""
    activation = str(loss.activation).rpartition(".")[2]
    return f"logits; the {activation} that ends the file's model is left to the loss"


def without_end(model: Model, *kinds: str) -> Model:
    """`model` up to an operator of these that ends it, over classes; itself where none does."""
    function = model.module["main"]
    end = _end(function, kinds)
    if end is None:
        return model

    def body(builder: relax.BlockBuilder) -> relax.Var:
        for binding in bindings_of(function):
            builder.emit_normalized(binding)
        return builder.emit_output(_scores(builder, function, end))

    module = tvm.IRModule({"main": function_of(function.params, body)})
    return replace(model, module=relax.transform.DeadCodeElimination()(module))


def _end(function: relax.Function, kinds: Collection[str]) -> relax.Call | None:
    """The operator of these that ends a network, behind which lie at most codes and reshapes.

    Those over an axis count where that is of classes: all elements, or the channels of a map.
    """
    values = {b.var: b.value for b in bindings_of(function)}
    var = function.body.body
    while (value := values.get(var)) is not None:
        if isinstance(value, relax.Var):
            var = value
        elif isinstance(value, relax.Call) and operator_of(value).restates:
            var = value.args[0]
        else:
            break
    if not isinstance(value, relax.Call) or op_name(value) not in kinds:
        return None
    if op_name(value) == SIGMOID:
        return value
    shape, axis = shape_of(value.args[0]), int(value.attrs.axis)
    is_map = len(shape) == 4 and axis % 4 == 1 and shape == shape_of(function.body.body)
    return value if is_map or shape[axis] == prod(shape) else None


def _scores(builder: relax.BlockBuilder, function: relax.Function, end: relax.Call) -> relax.Expr:
    """What `end` reads, of the output's shape; where it is decoded from codes those are moved."""
    scores, shape = end.args[0], shape_of(function.body.body)
    if shape_of(scores) == shape:
        return scores
    value = {b.var: b.value for b in bindings_of(function)}.get(scores)
    if not isinstance(value, relax.Call) or not is_call_of(value, "relax.dequantize"):
        return relax.op.reshape(scores, shape)
    codes = builder.emit(relax.op.reshape(value.args[0], shape))
    return relax.Call(value.op, [codes, *value.args[1:]], value.attrs)


def _unlike(model: Model, loss: Loss) -> str | None:
    """Why the output of `model` is not what `loss` reads, or None."""
    softmax = _end(model.module["main"], [SOFTMAX, LOG_SOFTMAX])
    if loss.activation == SIGMOID and softmax is not None:
        return f"{loss.name} is of a sigmoid, and the model ends in a softmax; use cross_entropy"
    if loss.kind_of(model.output_shape) == LABEL_MAP and model.input_layout == "NHWC":
        return (
            f"its maps have channels last, {model.output_shape}; {loss.name} of a map takes "
            "(1, classes, height, width)"
        )
    return None


def loss_module(model: Model, loss: str | Loss, with_output: bool = False) -> tvm.IRModule:
    """``main(input, target, parameters...) -> loss``, or ``-> (output, loss)``.

    loss : a `Loss`, or the name of one of `LOSSES`; it says what the target is.
    """
    loss = loss_of(loss)
    model = before_loss(model, loss)
    function = model.module["main"]
    end = _end(function, [LOG_SOFTMAX]) if loss.activation == SOFTMAX else None
    refusal = loss.refusal(model.output_shape) or _unlike(model, loss)
    if refusal is not None:
        raise OdtError(f"{model.name}: {refusal}")
    target = relax.Var("target", relax.TensorType(*loss.target_of(model.output_shape)))

    def body(builder: relax.BlockBuilder) -> relax.Var:
        for binding in bindings_of(function):
            builder.emit_normalized(binding)
        output = scores = function.body.body
        if end is not None:
            scores = builder.emit(_scores(builder, function, end))
        result = builder.emit(loss.graph(builder.emit, scores, target))
        return builder.emit_output(relax.Tuple([output, result]) if with_output else result)

    params = [function.params[0], target, *function.params[1:]]
    return tvm.IRModule({"main": function_of(params, body)})
