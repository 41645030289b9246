"""Where a fresh head starts from: random numbers, or the file's own classifier."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from tvm import relax

from relay_passes.graph import (
    Values,
    axes_of,
    bindings_of,
    consumers_of,
    is_call_of,
    shape_of,
)

from ..errors import OdtError
from ..float_head import is_decode, real_values
from ..model import Model
from ..options import Options

_AS_MANY = "fresh; the file's own has as many outputs: --head-start file starts from it"


@dataclass(frozen=True)
class _Classifier:
    """The file's own classifier, real values: weight (outputs, features, 1, 1), bias (outputs,)."""

    weight: np.ndarray
    bias: np.ndarray


def start_of(
    model: Model, classifier: relax.VarBinding, rows: int, options: Options
) -> tuple[np.ndarray, np.ndarray, str | None]:
    """Weight and bias at the start, and what that is in words; None where it is the usual."""
    outputs, features = shape_of(classifier.value.args[1])[0], shape_of(classifier.value.args[0])[1]
    generator = np.random.default_rng(options.seed)
    # a row's length decides how far a step turns it: as long as the features' directions are
    deviation = features**-0.5 if options.head == "cosine" else 0.01
    weight = generator.normal(0, deviation, (rows, features, 1, 1)).astype(np.float32)
    bias = np.zeros(rows, np.float32)
    pairs = _pairs(model, outputs, options)
    if not pairs:
        as_many = outputs == options.classes and options.head_start == "auto"
        return weight, bias, _AS_MANY if as_many else None
    own = _own(model, classifier)
    into, taken = (list(indices) for indices in zip(*pairs, strict=True))
    weight[into], bias[into] = own.weight[taken], own.bias[taken]
    return weight, bias, f"{len(pairs)} of {options.classes} classes start from the file's own"


def _pairs(model: Model, outputs: int, options: Options) -> list[tuple[int, int]]:
    """(class, output of the file's own classifier that it starts from)."""
    names, theirs = options.class_names, options.file_class_names
    if names and theirs:
        if len(theirs) != outputs:
            raise OdtError(
                f"{model.name}: file_class_names has {len(theirs):,} names; the file's classifier "
                f"has {outputs:,} outputs"
            )
        pairs = [(index, theirs.index(n)) for index, n in enumerate(names) if n in theirs]
        if not pairs:
            raise OdtError(
                f"{model.name}: no class name is also one of the file's; check the spelling, or "
                "leave out the names"
            )
        return pairs
    if options.head_start != "file":
        return []
    if outputs != options.classes:
        raise OdtError(
            f"{model.name}: the file's classifier has {outputs:,} outputs, not "
            f"{options.classes:,}; to start from some of them give --class-names and "
            "--file-class-names"
        )
    return [(index, index) for index in range(outputs)]


def _own(model: Model, classifier: relax.VarBinding) -> _Classifier:
    function = model.module["main"]
    values = {b.var: b.value for b in bindings_of(function)}
    weight = _value_of(model, values, classifier.value.args[1])
    bias = np.zeros(len(weight), np.float32)
    consumers, var = consumers_of(function), classifier.var
    while readers := consumers.get(var):
        reader = readers[0]
        if is_call_of(reader.value, "relax.add"):
            other = next(arg for arg in reader.value.args if not arg.same_as(var))
            bias = bias + _value_of(model, values, other).reshape(-1)
        var = reader.var
    return _Classifier(weight, bias.astype(np.float32))


def _value_of(model: Model, values: Values, expr: relax.Expr) -> np.ndarray:
    """The real numbers of a parameter that is decoded, reshaped or turned."""
    if isinstance(expr, relax.Var) and expr not in values and expr.name in model.parameters:
        return model.parameters[expr.name]
    value = values.get(expr)
    if isinstance(value, relax.Var):
        return _value_of(model, values, value)
    if is_decode(value):
        return real_values(_value_of(model, values, value.args[0]), value)
    if is_call_of(value, "relax.reshape"):
        return _value_of(model, values, value.args[0]).reshape(shape_of(expr))
    if is_call_of(value, "relax.permute_dims"):
        return _value_of(model, values, value.args[0]).transpose(axes_of(value))
    raise OdtError(
        f"{model.name}: the file's classifier is no plain weight and bias, so that no head can "
        "start from it; leave out --head-start file"
    )
