"""What of TFLite is read: operators, their options, types of tensors.

TVM's importer reads past options that it does not know. Each operator is checked here before it is
imported: an option that is not listed is 0, as it is where a file does not say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache, partial
from math import prod
from typing import TYPE_CHECKING, Any

from ...errors import Obstacle, one_line
from ..allowed import ANY, Allowed

if TYPE_CHECKING:
    from tflite import Model, Operator, SubGraph, Tensor

LARGEST = 2**28  # elements of a tensor: a gigabyte of float32

_ZERO = Allowed(lambda value: not value, "0")
_POSITIVE = Allowed(lambda value: value > 0, "above 0")
_ACTIVATION = Allowed(lambda value: value in (0, 1, 2, 3), "NONE, RELU, RELU_N1_TO_1 or RELU6")
_PADDING = Allowed(lambda value: value in (0, 1), "SAME or VALID")
_ONE = Allowed(lambda value: value == 1, "1")
_SLOPE = Allowed(lambda value: 0 <= value <= 1, "0 to 1")
_FUSED = {"FusedActivationFunction": _ACTIVATION}
_STEPS = {"Padding": _PADDING, "StrideH": _POSITIVE, "StrideW": _POSITIVE, **_FUSED}
_CONVOLUTION = {**_STEPS, "DilationHFactor": _POSITIVE, "DilationWFactor": _POSITIVE}
_POOL = {**_STEPS, "FilterHeight": _POSITIVE, "FilterWidth": _POSITIVE}
_SUM = {**_FUSED, "PotScaleInt16": ANY}  # of int16 tensors, which are refused

# operator -> its options
ACCEPTED: dict[str, Mapping[str, Allowed]] = {
    "ABS": {},
    "ADD": _SUM,
    "AVERAGE_POOL_2D": _POOL,
    "CONCATENATION": {"Axis": ANY, **_FUSED},
    "CONV_2D": {**_CONVOLUTION, "QuantizedBiasType": ANY},
    "DEPTHWISE_CONV_2D": {**_CONVOLUTION, "DepthMultiplier": ANY},
    "DEQUANTIZE": {},
    "DIV": _FUSED,
    "ELU": {},
    "EXP": {},
    "EXPAND_DIMS": {},
    "FULLY_CONNECTED": {
        "KeepNumDims": ANY,
        "AsymmetricQuantizeInputs": ANY,
        "QuantizedBiasType": ANY,
        **_FUSED,
    },
    "GELU": {"Approximate": ANY},
    "HARD_SWISH": {},
    "LEAKY_RELU": {"Alpha": _SLOPE},
    "LOG": {},
    "LOGISTIC": {},
    "LOG_SOFTMAX": {},
    "MAXIMUM": {},
    "MAX_POOL_2D": _POOL,
    "MEAN": {"KeepDims": ANY},
    "MINIMUM": {},
    "MUL": _FUSED,
    "NEG": {},
    "PACK": {"Axis": ANY, "ValuesCount": ANY},
    "PRELU": {},
    "QUANTIZE": {},
    "RELU": {},
    "RELU6": {},
    "RELU_N1_TO_1": {},
    "RESHAPE": {},
    "SHAPE": {"OutType": ANY},
    "SOFTMAX": {"Beta": _ONE},
    "SQRT": {},
    "SQUEEZE": {},
    "STRIDED_SLICE": {
        name: ANY for name in ("BeginMask", "EndMask", "ShrinkAxisMask", "NewAxisMask")
    },
    "SUB": _SUM,
    "TANH": {},
    "TRANSPOSE": {},
}
# of a shape, which is known; nothing is left of them
OF_SHAPES = ("SHAPE", "STRIDED_SLICE", "PACK")
# those whose codes stay codes, or that TVM decodes and encodes
QUANTIZED = frozenset(ACCEPTED) - {"ELU", "GELU", "PRELU", "TRANSPOSE"}
_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_TYPES = ("FLOAT32", "INT8", "UINT8")
_CONSTANT_TYPES = (*_TYPES, "FLOAT16", "INT32")


def inspect_tflite(model: Model) -> list[Obstacle]:
    """All that stands in the way of compiling `model`, in the order of its operators."""
    graph = model.Subgraphs(0)
    found = list(_of_input(graph))
    for number in range(graph.OperatorsLength()):
        operator = graph.Operators(number)
        name = operator_name(model, operator)
        place = _place(graph, number, name)
        found += [Obstacle(place, *what) for what in _of_operator(model, graph, operator, name)]
    return found


def _of_input(graph: SubGraph) -> Iterator[Obstacle]:
    count = graph.InputsLength()
    if count != 1:
        yield Obstacle("the model", f"it has {count} inputs", "exactly one is supported")
        return
    tensor = graph.Tensors(graph.Inputs(0))
    place = f'input "{_called(tensor)}"'
    for what in _of_tensor(tensor, _TYPES):
        yield Obstacle(place, *what)
    signature = tensor.ShapeSignatureAsNumpy() if tensor.ShapeSignatureLength() else ()
    shape = shape_of(tensor)
    if not shape or any(extent < 0 for extent in signature[1:]):
        yield Obstacle(
            place,
            f"its shape {one_line(tuple(map(int, signature)))} is dynamic",
            "every axis but the batch must be a number: give the converter a fixed shape",
        )
    elif shape[0] != 1:
        yield Obstacle(
            place,
            f"it has batch {shape[0]}",
            "training runs one sample a step; convert the model with batch_size=1",
        )


def _of_operator(
    model: Model, graph: SubGraph, operator: Operator, name: str
) -> Iterator[tuple[str, str]]:
    """(what is found, what to do) of each thing that is not accepted."""
    operands = [graph.Tensors(int(i)) for i in operator.InputsAsNumpy() if i >= 0]
    results = [graph.Tensors(int(i)) for i in operator.OutputsAsNumpy()]
    if name not in ACCEPTED:
        yield "the operator cannot be compiled", 'use another one (README, "What it compiles")'
        return
    for tensor in filter(partial(is_constant, model), operands):
        yield from _of_tensor(tensor, _CONSTANT_TYPES)
    for tensor in results:
        yield from _of_tensor(tensor, (*_TYPES, "INT32") if name in OF_SHAPES else _TYPES)
    yield from _of_kinds(name, [*map(type_of, operands)], [*map(type_of, results)])
    if name == "RESHAPE" and len(operands) > 1 and is_constant(model, operands[1]):
        yield from _of_shape(model, operands[1], shape_of(results[0]))
    options = options_of(operator)
    for option in sorted({*options, *ACCEPTED[name]}):
        rule, value = ACCEPTED[name].get(option, _ZERO), options.get(option, 0)
        if not rule.holds(value):
            yield f"{option} is {_words(option, value)}", f"supported is {rule.words}"


def _of_kinds(name: str, operands: list[str], results: list[str]) -> Iterator[tuple[str, str]]:
    """Of types that are accepted each, but not together."""
    if name in OF_SHAPES and results[0] != "INT32":
        yield "it computes with data", "supported is the arithmetic of shapes alone"
    if name in _WEIGHTED and operands[0] == "FLOAT32" and operands[1] in ("INT8", "UINT8"):
        yield (
            "its weights are int8 and its data are float32 (dynamic-range quantization)",
            "convert without optimizations, or in full int8 with a representative_dataset",
        )
    if name not in QUANTIZED and {"INT8", "UINT8"} & {operands[0], results[0]}:
        yield "it computes with int8 codes", "supported is float32"


def _of_shape(model: Model, operand: Tensor, shape: tuple[int, ...]) -> Iterator[tuple[str, str]]:
    """Of a reshape whose operand asks for another shape than its result has."""
    asked = model.Buffers(operand.Buffer()).DataAsNumpy().view("<i4").tolist()
    if len(asked) != len(shape) or any(n not in (-1, m) for n, m in zip(asked, shape, strict=True)):
        found = f"it asks for shape {one_line(tuple(asked))} and gives {one_line(shape)}"
        yield found, "convert the model again"


def _of_tensor(tensor: Tensor, types: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    called, kind, shape = _called(tensor), type_of(tensor), shape_of(tensor)
    if kind == "INT16":
        yield (
            f'tensor "{called}" is int16',
            "quantize activations to int8 (the converter's TFLITE_BUILTINS_INT8)",
        )
    elif kind not in types:
        yield f'tensor "{called}" is {kind.lower()}', "supported are float32, int8 and uint8"
    if tensor.Sparsity() is not None:
        yield f'tensor "{called}" is stored sparse', "convert the model without sparsity"
    if any(extent < 1 for extent in shape) or prod(shape) > LARGEST:
        found = f'tensor "{called}" has shape {one_line(shape)}'
        yield found, f"supported are 1 to {LARGEST} elements"


def options_of(operator: Operator) -> dict[str, Any]:
    """Options that are numbers, by name; none where the file has no table of them."""
    import tflite

    kind = _names(tflite.BuiltinOptions).get(operator.BuiltinOptionsType(), "")
    table, options = operator.BuiltinOptions(), getattr(tflite, kind, None)
    if table is None or options is None:
        return {}
    read = options()
    read.Init(table.Bytes, table.Pos)
    fields = [name for name in vars(options) if name[0].isupper()]
    vectors = [name.removesuffix("Length") for name in fields if name.endswith("Length")]
    helpers = ("Init", "GetRootAs", options.__name__, *vectors)
    return {name: getattr(read, name)() for name in fields if not name.startswith(helpers)}


def operator_name(model: Model, operator: Operator) -> str:
    """As TFLite's schema calls it."""
    import tflite

    code = model.OperatorCodes(operator.OpcodeIndex())
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    name = _names(tflite.BuiltinOperator).get(number, f"operator {number}")
    custom = (code.CustomCode() or b"").decode(errors="replace")
    return f'{name} "{one_line(custom)}"' if custom else name


def type_of(tensor: Tensor) -> str:
    """As TFLite's schema calls it: FLOAT32, INT8 ..."""
    import tflite

    return _names(tflite.TensorType).get(tensor.Type(), f"type {tensor.Type()}")


def shape_of(tensor: Tensor) -> tuple[int, ...]:
    return tuple(int(tensor.Shape(axis)) for axis in range(tensor.ShapeLength()))


def is_constant(model: Model, tensor: Tensor) -> bool:
    return bool(model.Buffers(tensor.Buffer()).DataLength())


@cache
def _names(enumeration: type) -> dict[int, str]:
    return {v: k for k, v in vars(enumeration).items() if isinstance(v, int)}


def _words(option: str, value: Any) -> str:
    import tflite

    if option == "FusedActivationFunction":
        return _names(tflite.ActivationFunctionType).get(value, str(value))
    return str(value)


def _called(tensor: Tensor) -> str:
    return one_line((tensor.Name() or b"").decode(errors="replace"))


def _place(graph: SubGraph, number: int, name: str) -> str:
    outputs = graph.Operators(number).OutputsAsNumpy()
    return f'{name} (operator {number}, giving "{_called(graph.Tensors(int(outputs[0])))}")'
