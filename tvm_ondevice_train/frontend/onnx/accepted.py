"""What of ONNX is compiled: operators, their attributes, the values of each, element types.

`onnx/inspection.py` holds a file's nodes against this list before TVM's importer, which reads past
what it does not know, sees them. `onnx/rules.py` has what ties attributes to shapes. Everything
here is computed as ONNX Runtime computes it (tests/frontend/test_onnx_accepted.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

OPSETS = range(6, 29)  # versions of ai.onnx; below 6 broadcasting was another one
IR_VERSIONS = range(3, 15)

FLOAT = ("FLOAT",)
CODES = ("FLOAT", "INT8", "UINT8")  # of operators that only move data
STORED_CODES = ("INT8", "UINT8", "INT16", "UINT16", "INT32")  # of weights and biases


@dataclass(frozen=True)
class Values:
    """Values of an attribute: ``said`` in words, ``hold(value)`` for one of them."""

    said: str
    hold: Callable[[Any], bool]


def one_of(*values: Any) -> Values:
    return Values(" or ".join(map(str, values)), lambda value: value in values)


def _whole_from(least: int) -> Values:
    """Whole numbers that 32 bits hold, from `least`."""

    def hold(value: int | Sequence[int]) -> bool:
        numbers = [value] if isinstance(value, int) else value
        return all(least <= number < 2**31 for number in numbers)

    return Values(f"whole numbers from {least} to 2147483647", hold)


ANY = Values("any", lambda _: True)  # also where its value changes nothing that is computed
FLAG = one_of(0, 1)
FINITE = Values("finite numbers", math.isfinite)
POSITIVE = _whole_from(1)


@dataclass(frozen=True)
class Operator:
    """attributes: the values of each; one that is not here is refused, whatever its value.

    data: element types of operands that depend on the input.
    constants: positions of operands that may not depend on it; those of `either` may or may not,
    all others must.
    since: the first opset whose form of it is read.
    """

    attributes: Mapping[str, Values] = field(default_factory=dict)
    data: tuple[str, ...] = FLOAT
    constants: tuple[int, ...] = ()
    either: Sequence[int] = ()
    since: int = OPSETS.start


_WINDOWS = {
    "auto_pad": one_of("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"),
    "dilations": POSITIVE,
    "kernel_shape": POSITIVE,
    "pads": _whole_from(0),
    "strides": POSITIVE,
}
_POOL = {**_WINDOWS, "ceil_mode": FLAG}
_ELEMENTWISE = Operator()
_BROADCAST = Operator({"axis": one_of(), "broadcast": one_of(0)}, either=(0, 1))
_EXTREMUM = Operator(either=range(2**31))
_SOFTMAX = Operator({"axis": ANY})
_QUANTIZATION = {"axis": ANY, "block_size": one_of(0)}
_ELEMENT = {1: "FLOAT", 2: "UINT8", 3: "INT8"}  # of TensorProto.DataType

QUANTIZE = Operator(
    {
        **_QUANTIZATION,
        "output_dtype": Values("INT8 or UINT8", lambda n: n == 0 or _ELEMENT.get(n) in CODES[1:]),
        "precision": one_of(0),
        "saturate": ANY,
    },
    constants=(1, 2),
)
DEQUANTIZE = Operator(
    {**_QUANTIZATION, "output_dtype": one_of(0, 1)}, data=("INT8", "UINT8"), constants=(1, 2)
)

ACCEPTED: dict[str, Operator] = {
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), _BROADCAST),
    **dict.fromkeys(("Max", "Min"), _EXTREMUM),
    **dict.fromkeys(("Abs", "Erf", "Exp", "HardSwish", "Log", "Mish", "Neg"), _ELEMENTWISE),
    **dict.fromkeys(("Reciprocal", "Relu", "Sigmoid", "Softplus", "Softsign"), _ELEMENTWISE),
    **dict.fromkeys(("Sqrt", "Tanh", "GlobalAveragePool"), _ELEMENTWISE),
    **dict.fromkeys(("Softmax", "LogSoftmax"), _SOFTMAX),
    "AveragePool": Operator({**_POOL, "count_include_pad": FLAG}),
    "BatchNormalization": Operator(
        {
            "epsilon": FINITE,
            "momentum": ANY,
            "spatial": one_of(1),
            "training_mode": one_of(0),
        },
        constants=(1, 2, 3, 4),
        since=7,
    ),
    "Cast": Operator({"to": one_of(1), "saturate": ANY, "round_mode": ANY}),
    "CastLike": Operator({"saturate": ANY, "round_mode": ANY}, either=(1,)),
    "Clip": Operator({"min": ANY, "max": ANY}, constants=(1, 2)),
    "Concat": Operator({"axis": ANY}),
    "Conv": Operator({**_WINDOWS, "group": POSITIVE}, constants=(1, 2)),
    "DepthToSpace": Operator({"blocksize": POSITIVE, "mode": one_of("DCR", "CRD")}),
    "DequantizeLinear": DEQUANTIZE,
    "Dropout": Operator({"ratio": ANY, "seed": ANY}, CODES, constants=(1, 2), since=7),
    "Elu": Operator({"alpha": FINITE}),
    "Flatten": Operator({"axis": ANY}, CODES),
    "Gelu": Operator({"approximate": one_of("none", "tanh")}),
    "Gemm": Operator(
        {"alpha": FINITE, "beta": FINITE, "transA": FLAG, "transB": FLAG, "broadcast": ANY},
        either=(1, 2),
    ),
    "HardSigmoid": Operator({"alpha": FINITE, "beta": FINITE}),
    "Identity": Operator(data=CODES),
    "LeakyRelu": Operator({"alpha": Values("numbers from 0 to 1", lambda slope: 0 <= slope <= 1)}),
    "MatMul": Operator(either=(0, 1)),
    "MaxPool": Operator({**_POOL, "storage_order": FLAG}, CODES),
    "PRelu": Operator(constants=(1,)),
    "QuantizeLinear": QUANTIZE,
    "ReduceMean": Operator(
        {"axes": ANY, "keepdims": FLAG, "noop_with_empty_axes": FLAG}, constants=(1,)
    ),
    "Reshape": Operator({"allowzero": FLAG}, CODES, constants=(1,)),
    "Selu": Operator({"alpha": FINITE, "gamma": FINITE}),
    "SpaceToDepth": Operator({"blocksize": POSITIVE}),
    "Squeeze": Operator({"axes": ANY}, CODES, constants=(1,)),
    "Transpose": Operator({"perm": ANY}, CODES),
    "Unsqueeze": Operator({"axes": ANY}, CODES, constants=(1,)),
}

# ONNX Runtime's own domain, where its tools write operators that mean the same
MICROSOFT: dict[str, Operator] = {
    "BiasGelu": Operator(constants=(1,)),
    "DequantizeLinear": DEQUANTIZE,
    "FastGelu": Operator(constants=(1,)),
    "Gelu": Operator(),
    "QuantizeLinear": QUANTIZE,
}

DOMAINS = {"": ACCEPTED, "ai.onnx": ACCEPTED, "com.microsoft": MICROSOFT}

# what only training does; such a file is a mistake of the export
OF_TRAINING = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform"}
    | {"RandomUniformLike"}
)

# What is computed at compile time where all operands are constants, besides what is accepted.
FOLDED = frozenset(
    {*ACCEPTED, "And", "Ceil", "ConstantOfShape", "Cos", "CumSum", "Equal", "Expand", "EyeLike"}
    | {"Floor", "Gather", "GatherElements", "GatherND", "GlobalMaxPool", "Greater"}
    | {"GreaterOrEqual", "Less", "LessOrEqual", "Mean", "Mod", "Not", "Or", "Pad", "Pow", "Range"}
    | {"ReduceL1", "ReduceL2", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceSum"}
    | {"ReduceSumSquare", "Round", "Shape", "Sign", "Sin", "Size", "Slice", "Split", "Sum"}
    | {"Tile", "Trilu", "Where", "Xor"}
)
PARAMETERS = ("FLOAT", *STORED_CODES)  # element types of parameters
# Of these the canonicalizer makes nothing new of a parameter: it keeps its name, codes and scale.
CARRIED = frozenset(
    {"Cast", "DequantizeLinear", "Flatten", "Identity", "QuantizeLinear", "Reshape", "Squeeze"}
    | {"Transpose", "Unsqueeze"}
)
