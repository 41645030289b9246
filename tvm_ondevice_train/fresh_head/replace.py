"""Replace a classifier by a fresh head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import tvm
from tvm import relax

from relay_passes.graph import (
    bindings_of,
    consumers_of,
    function_of,
    is_call_of,
    op_name,
    shape_of,
)
from relay_passes.layer_words import layer_name
from relay_passes.ops.cosine import inverse_norm
from relay_passes.ops.registry import operator_of

from ..boards import board as find_board
from ..errors import BudgetError, OdtError
from ..model import FreshHead, Model
from ..options import Options
from ..training_graph import LOG_SOFTMAX, SIGMOID, SOFTMAX, without_end
from .start import start_of

UNUSED = np.float32(-1e30)  # added to the logit of a class not in use: its probability is 0 exactly
_LARGEST_HEAD = 1 << 26  # bytes, where a board has no limit: C holds its start as text


def replace_head(model: Model, options: Options) -> Model:
    """Replace the classifier by a fresh float32 layer of as many outputs as `options` say.

    Its weight is ``head.weight`` (classes, features, 1, 1), drawn from N(0, 0.01) where it does not
    start from the file's own. A linear head adds ``head.bias`` (zeros); a cosine head, whose rows
    are drawn about as long as 1, gives ``temperature * cos(features, row)``. With ``max_classes``
    there are so many rows, and ``head.unused`` (rows,) is added to the logits: 0 for a class in
    use, else `UNUSED`. A float head is worth 2.3 points over an int8 one (Lin et al. 2022).
    """
    assert options.classes is not None, "no fresh head is asked for"
    model = without_end(model, SOFTMAX, LOG_SOFTMAX, SIGMOID)
    function = model.module["main"]
    classifier = _classifier(model, function)
    rows, cosine = options.max_classes or options.classes, options.head == "cosine"
    _check_size(model, rows, shape_of(classifier.value.args[0])[1], options)
    weight, bias, start = start_of(model, classifier, rows, options)
    names = {kind: _free_name(model, f"head.{kind}") for kind in ("weight", "bias")}
    layer = layer_name(names["weight"])
    names |= {kind: _free_name(model, f"{layer}.{kind}") for kind in ("unused", "counts")}
    values = {names["weight"]: weight}
    if not cosine:
        values[names["bias"]] = bias
    if options.max_classes is not None:
        used = np.arange(rows) < options.classes
        values[names["unused"]] = np.where(used, np.float32(0), UNUSED)
    head = {n: relax.Var(n, relax.TensorType(v.shape, "float32")) for n, v in values.items()}

    def body(builder: relax.BlockBuilder) -> relax.Var:
        for binding in bindings_of(function):
            if binding.var.same_as(classifier.var):
                break
            builder.emit_normalized(binding)
        features = classifier.value.args[0]
        if cosine:
            logits = _cosine(builder, features, head[names["weight"]], options.temperature)
        else:
            logits = _linear(builder, features, head[names["weight"]], head[names["bias"]])
        if options.max_classes is not None:
            logits = relax.op.add(builder.emit(logits), head[names["unused"]])
        return builder.emit_output(logits)

    module = tvm.IRModule({"main": function_of([*function.params, *head.values()], body)})
    fresh = FreshHead(
        weight=names["weight"],
        unused=None if options.max_classes is None else names["unused"],
        counts=names["counts"] if cosine else None,
        described=_described(options, start),
    )
    parameters = {**model.parameters, **values}
    return _without_unused(replace(model, module=module, parameters=parameters, head=fresh))


def _linear(
    builder: relax.BlockBuilder, features: relax.Expr, weight: relax.Var, bias: relax.Var
) -> relax.Expr:
    classes = shape_of(weight)[0]
    column = builder.emit(relax.op.nn.conv2d(features, weight))
    total = builder.emit(relax.op.add(column, builder.emit(_reshaped(bias, (1, classes, 1, 1)))))
    return _reshaped(total, (1, classes))


def _cosine(
    builder: relax.BlockBuilder, features: relax.Expr, weight: relax.Var, temperature: float
) -> relax.Expr:
    """No normalised row is ever stored: a dot product times both inverse norms."""
    emit, op, classes = builder.emit, relax.op, shape_of(weight)[0]
    product = emit(_reshaped(emit(op.nn.conv2d(features, weight)), (1, classes)))
    rows = emit(_reshaped(emit(inverse_norm(weight)), (1, classes)))
    sample = emit(_reshaped(emit(inverse_norm(features)), (1, 1)))
    factor = emit(op.multiply(sample, relax.const(temperature, "float32")))
    return op.multiply(emit(op.multiply(product, rows)), factor)


def _reshaped(tensor: relax.Expr, shape: Sequence[int]) -> relax.Expr:
    return relax.op.reshape(tensor, shape)


def _described(options: Options, start: str | None) -> str | None:
    """The head in words, where it is not the usual one."""
    parts = []
    if options.head == "cosine":
        parts.append(f"cosine, temperature {options.temperature:g}")
    if options.max_classes is not None:
        parts.append(f"{options.classes:,} of {options.max_classes:,} classes in use at the start")
    return "; ".join([*parts, *([start] if start else [])]) or None


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
