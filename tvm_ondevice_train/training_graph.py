"""What training changes of a model: a new head where one is asked for, its end, and the loss."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from math import prod

import numpy as np
import tvm
from tvm import relax

from relay_passes.graph import bindings_of, consumers_of, function_of, is_call_of, op_name, shape_of
from relay_passes.ops.registry import operator_of

from .boards import board as find_board
from .errors import BudgetError, OdtError
from .losses import LABEL_MAP, Loss, loss_of
from .model import Model
from .options import Options

OUTPUT = "logits or values"  # what a prediction is, for whoever reads it
SOFTMAX, LOG_SOFTMAX = "relax.nn.softmax", "relax.nn.log_softmax"
SIGMOID = "relax.sigmoid"
_LARGEST_HEAD = 1 << 26  # bytes, where a board has no limit: C holds its start as text


def replace_head(model: Model, options: Options) -> Model:
    """Replace the classifier by a fresh float32 layer of as many outputs as `options` say.

    Its parameters are ``head.weight`` (classes, features, 1, 1), drawn from N(0, 0.01), and
    ``head.bias`` (zeros). A float head is worth 2.3 points over an int8 one (Lin et al. 2022).
    """
    classes = options.classes
    assert classes is not None, "no fresh head is asked for"
    model = without_end(model, SOFTMAX, LOG_SOFTMAX, SIGMOID)
    function = model.module["main"]
    classifier = _classifier(model, function)
    features = shape_of(classifier.value.args[0])[1]
    _check_size(model, classes, features, options)
    names = [_free_name(model, name) for name in ("head.weight", "head.bias")]
    generator = np.random.default_rng(options.seed)
    values = {
        names[0]: generator.normal(0, 0.01, (classes, features, 1, 1)).astype(np.float32),
        names[1]: np.zeros(classes, np.float32),
    }
    head = [relax.Var(n, relax.TensorType(v.shape, "float32")) for n, v in values.items()]

    def body(builder: relax.BlockBuilder) -> relax.Var:
        for binding in bindings_of(function):
            if binding.var.same_as(classifier.var):
                break
            builder.emit_normalized(binding)
        column = builder.emit(relax.op.nn.conv2d(classifier.value.args[0], head[0]))
        bias = builder.emit(relax.op.reshape(head[1], (1, classes, 1, 1)))
        total = builder.emit(relax.op.add(column, bias))
        return builder.emit_output(relax.op.reshape(total, (1, classes)))

    module = tvm.IRModule({"main": function_of([*function.params, *head], body)})
    return _without_unused(replace(model, module=module, parameters={**model.parameters, **values}))


def _check_size(model: Model, classes: int, features: int, options: Options) -> None:
    """Refuse, before it is made, a head that cannot lie in the board's SRAM."""
    board = find_board(options.board, options.sram_bytes, options.flash_bytes)
    size_bytes = 4 * classes * (features + 1)
    limit = _LARGEST_HEAD if board.sram_bytes is None else board.sram_bytes
    if size_bytes > limit:
        raise BudgetError(
            f"{model.name}: a head of {classes:,} classes and {features:,} features has "
            f"{size_bytes:,} bytes, more than the {limit:,} of {board.name}"
        )


def _classifier(model: Model, function: relax.Function) -> relax.VarBinding:
    """The last linear layer, if only bias, quantization and reshapes follow it."""
    layers = [b for b in bindings_of(function) if is_call_of(b.value, "relax.nn.conv2d")]
    if not layers:
        raise OdtError(f"{model.name}: there is no classifier layer that classes could replace")
    last = layers[-1]
    if shape_of(last.var)[2:] != (1, 1) or shape_of(last.value.args[0])[2:] != (1, 1):
        raise OdtError(
            f"{model.name}: the last layer gives a map of shape {shape_of(last.var)}, no vector; "
            "classes can only replace a classifier. Train the model's own output instead."
        )
    consumers, frontier = consumers_of(function), [last.var]
    while frontier:
        for reader in consumers.get(frontier.pop(), []):
            restated = operator_of(reader.value).restates or isinstance(reader.value, relax.Var)
            if not restated and not is_call_of(reader.value, "relax.add"):
                raise OdtError(
                    f"{model.name}: {op_name(reader.value)} follows the last layer; classes can "
                    "only replace a classifier that ends the network."
                )
            frontier.append(reader.var)
    return last


def _free_name(model: Model, name: str) -> str:
    while name in model.parameters:
        name = "new_" + name
    return name


def _without_unused(model: Model) -> Model:
    """Drop parameters that nothing reads any more."""
    module = relax.transform.DeadCodeElimination()(model.module)
    function = module["main"]
    used = consumers_of(function)
    params = [function.params[0], *(p for p in function.params[1:] if p in used)]
    function = relax.Function(params, function.body, function.ret_ty, attrs=function.attrs)
    values = {p.name: model.parameters[p.name] for p in params[1:]}
    return replace(model, module=tvm.IRModule({"main": function}), parameters=values)


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
