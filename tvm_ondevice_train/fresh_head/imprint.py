"""Learning without a backward: a class's row of a cosine head is the mean of its features."""

from __future__ import annotations

from collections.abc import Collection

import tvm
from tvm import relax

from relay_passes.graph import bindings_of, function_of, is_call_of, shape_of
from relay_passes.ops.cosine import counted, imprinted, inverse_norm

from ..errors import OdtError
from ..model import Model


def imprint_module(model: Model) -> tvm.IRModule:
    """``main(input, target, parameters..., counts) -> (features, row of the label, its count)``.

    model : with a cosine head whose weight trains in whole. The features are of length 1; the row
        becomes the mean of those that it was imprinted from (Qi et al. 2018).
    """
    head, function = model.head, model.module["main"]
    assert head is not None and head.counts is not None, "only rows of a cosine head are features"
    weight = next(p for p in function.params if p.name == head.weight)
    layers = [b.value for b in bindings_of(function) if is_call_of(b.value, "relax.nn.conv2d")]
    features = next(layer.args[0] for layer in layers if layer.args[1].same_as(weight))
    label = relax.Var("target", relax.TensorType((1,), "int32"))
    counts = relax.Var(head.counts, relax.TensorType(shape_of(weight)[:1], "float32"))

    def body(builder: relax.BlockBuilder) -> relax.Var:
        for binding in bindings_of(function):
            builder.emit_normalized(binding)
        factor = builder.emit(relax.op.reshape(builder.emit(inverse_norm(features)), (1, 1, 1, 1)))
        unit = builder.emit_output(relax.op.multiply(features, factor))
        rows = builder.emit_output(imprinted(weight, counts, unit, label))
        return builder.emit_output(
            relax.Tuple([unit, rows, builder.emit_output(counted(counts, label))])
        )

    params = [function.params[0], label, *function.params[1:], counts]
    made = function_of(params, body).with_attr("trained_parameters", [head.weight, head.counts])
    return relax.transform.DeadCodeElimination()(tvm.IRModule({"main": made}))


def check_imprintable(source: Model, sliced: Model, trained: Collection[str]) -> None:
    """Refuse a cosine head of which not the whole weight trains: rows must lie in SRAM.

    sliced : `source` as `slice_model` gave it, with the parameters that are `trained`.
    """
    head = source.head
    if head is None or head.counts is None:
        return
    whole = source.parameters[head.weight].shape
    if head.weight not in trained or sliced.parameters[head.weight].shape != whole:
        raise OdtError(
            f"{source.name}: the scheme does not train all of {head.weight}, so that no class "
            'could be imprinted; train the head ("head": true), or leave out --head cosine'
        )
