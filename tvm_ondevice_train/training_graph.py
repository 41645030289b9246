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
from .losses import Loss, loss_of
from .model import Model

# what a prediction is, for whoever reads it
OUTPUT = "logits or values"
LOGITS = "logits; the softmax that ends the file's model is left to the loss"
SOFTMAX, LOG_SOFTMAX = "relax.nn.softmax", "relax.nn.log_softmax"


def before_loss(model: Model, loss: Loss) -> Model:
    """What the device computes: `model` without a softmax that ends it where `loss` brings its own.

    Its output are logits then. Log-probabilities are logits, too: a log-softmax stays.
    """
    return without_end(model, SOFTMAX) if loss.brings_softmax else model


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
    """The operator of these that ends a network, behind which lie at most codes and reshapes."""
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
    shape = shape_of(value.args[0])
    return value if shape[int(value.attrs.axis)] == prod(shape) else None


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


def loss_module(model: Model, loss: str | Loss, with_output: bool = False) -> tvm.IRModule:
    """``main(input, target, parameters...) -> loss``, or ``-> (output, loss)``.

    loss : a `Loss`, or the name of one of `LOSSES`; it says what the target is.
    """
    loss = loss_of(loss)
    model = before_loss(model, loss)
    function = model.module["main"]
    end = _end(function, [LOG_SOFTMAX]) if loss.brings_softmax else None
    refusal = loss.refusal(model.output_shape)
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
