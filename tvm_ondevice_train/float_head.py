"""The model's own int8 head as a float32 layer."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TypeGuard

import numpy as np
import tvm
from tvm import relax

from relay_passes.graph import (
    Renamer,
    bindings_of,
    constant,
    constant_value,
    consumers_of,
    dependents_of,
    dtype_of,
    function_of,
    is_call_of,
    op_name,
)
from relay_passes.ops.registry import operator_of

from .boards import Board
from .errors import OdtError
from .model import Model
from .options import Options

# what means the same of codes and of the numbers that they stand for
_OF_CODES = ("relax.reshape", "relax.permute_dims", "relax.nn.max_pool2d")
AS_FLOAT = "the model's own, as float32"
TOO_LARGE = "int8; as float32 it does not fit"


@dataclass(frozen=True)
class ModelWithHead:
    """A model, and what was done to its own head, for people; None where nothing was."""

    model: Model
    head: str | None = None


def model_with_head(
    model: Model, trained: Collection[str], options: Options, board: Board
) -> ModelWithHead:
    """`model` with its own last layer as ``options.head`` wants it; a fresh one stays as it is.

    trained : names of the parameters that train; "auto" leaves a head that does not as it is, and
        one whose parameters alone are more than the SRAM of `board`.

    OdtError where the last layer cannot be what is asked for.
    """
    names = int8_head(model)
    if options.head == "int8" and not names:
        raise OdtError(f"{model.name}: its last layer is not int8; leave out --head int8")
    if model.head is not None:
        return ModelWithHead(model, model.head.described)
    if options.head == "int8":
        return ModelWithHead(model)
    if options.head == "auto":
        if not set(names) & set(trained):
            return ModelWithHead(model)
        size_bytes = 4 * sum(model.parameters[name].size for name in {*names} & {*trained})
        if board.sram_bytes is not None and size_bytes > board.sram_bytes:
            return ModelWithHead(model, TOO_LARGE)
    return ModelWithHead(with_float_head(model), AS_FLOAT)


def int8_head(model: Model) -> tuple[str, ...]:
    """The quantized parameters of a last layer that can become float32; empty if it cannot.

    Each is read by one `dequantize` of constant scale, and nothing behind the layer computes with
    codes.
    """
    if not model.layers:
        return ()
    names = [name for name in model.layers[-1].parameters if name in model.scales]
    decodes = _decodes(model, names)
    behind = _behind_head(model.module["main"])
    computed = [b.value for b in behind[1:] if dtype_of(b.var) == "int8"]
    known = all(is_call_of(c, "relax.quantize") or op_name(c) in _OF_CODES for c in computed)
    return tuple(names) if known and len(decodes) == len(names) else ()


def with_float_head(model: Model) -> Model:
    """`model`, whose last layer is computed in float32 from its dequantized parameters.

    They keep their names and shapes and become float32. The layer reads what the codes of its input
    stand for; nothing behind it is quantized, so that no output is clamped. OdtError where the last
    layer is not int8.
    """
    names = int8_head(model)
    if not names:
        raise OdtError(
            f"{model.name}: it does not end in an int8 layer that could be carried over as "
            "float32; leave out --head float"
        )
    function, decodes = model.module["main"], _decodes(model, names)
    values = {name: real_values(model.parameters[name], decodes[name].value) for name in names}
    real = {n: relax.Var(n, relax.TensorType(v.shape, "float32")) for n, v in values.items()}
    behind = {binding.var for binding in _behind_head(function)}

    def body(builder: relax.BlockBuilder) -> relax.Var:
        renamed = Renamer({decodes[name].var: var for name, var in real.items()})
        for binding in bindings_of(function):
            value = renamed(binding.value)
            if binding.var in renamed.vars:
                continue
            if binding.var not in behind:
                builder.emit_normalized(relax.VarBinding(binding.var, builder.normalize(value)))
            elif op_name(value) in ("relax.quantize", "relax.dequantize"):
                renamed.vars[binding.var] = value.args[0]
            else:
                renamed.vars[binding.var] = builder.emit(value)
        return builder.emit_output(renamed(function.body.body))

    params = [real.get(param.name, param) for param in function.params]
    module = tvm.IRModule({"main": function_of(params, body)})
    module = relax.transform.CanonicalizeBindings()(module)
    return replace(model, module=module, parameters={**model.parameters, **values})


def _behind_head(function: relax.Function) -> list[relax.VarBinding]:
    """The last layer, and what is computed from it."""
    head = [b for b in bindings_of(function) if operator_of(b.value).layer][-1]
    return [head, *dependents_of(function, [head.var])]


def _decodes(model: Model, names: list[str] | tuple[str, ...]) -> dict[str, relax.VarBinding]:
    """The `dequantize` of each of these parameters that is read so, once."""
    function, found = model.module["main"], {}
    consumers = consumers_of(function)
    for param in function.params:
        readers = consumers.get(param, [])
        if param.name in names and len(readers) == 1 and is_decode(readers[0].value):
            found[param.name] = readers[0]
    return found


def is_decode(value: relax.Expr | None) -> TypeGuard[relax.Call]:
    """Whether it decodes by a constant scale."""
    return is_call_of(value, "relax.dequantize") and constant(value.args[1]) is not None


def real_values(codes: np.ndarray, decode: relax.Call) -> np.ndarray:
    """What the codes of a parameter stand for, as float32."""
    along = [1] * codes.ndim
    along[int(decode.attrs.axis)] = -1
    scale, zero_point = (constant_value(each) for each in decode.args[1:])
    shifted = codes.astype(np.float64) - zero_point.astype(np.float64).reshape(along)
    return (shifted * scale.astype(np.float64).reshape(along)).astype(np.float32)
