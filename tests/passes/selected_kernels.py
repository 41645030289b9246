"""Kernels of TE tensors with their calls of microkernels, as C is printed from."""

from __future__ import annotations

import tvm
from tvm import te

from relay_passes import DefaultSchedule, InPlace, LowerToLoops, SelectMicrokernels
from relay_passes.ops import quantized
from relay_passes.tir import tirx

INT8_OUT = {"zero_point": 1, "low": -128, "high": 127, "mask": False, "rounding": "high"}


def selected(*tensors) -> tirx.PrimFunc:
    """The kernel of TE tensors, operands first, as C is printed from."""
    module = tvm.IRModule({"main": te.create_prim_func(tensors)})
    passes = [DefaultSchedule(), LowerToLoops(), InPlace(), SelectMicrokernels()]
    return tvm.transform.Sequential(passes)(module)["main"]


def statements(node) -> list:
    kind = type(node).__name__
    if kind == "SeqStmt":
        return [s for child in node.seq for s in statements(child)]
    if kind in ("For", "AttrStmt"):
        return statements(node.body)
    return [node]


def calls(function) -> list[tuple]:
    """(name, constant arguments) of the calls of microkernels but odt_clear, in their order."""
    found = []
    for statement in statements(function.body):
        if isinstance(statement, tirx.Evaluate):
            name, *arguments = statement.value.args
            sizes = [int(a) for a in arguments if isinstance(a, tirx.IntImm)]
            if name.value != "odt_clear":
                found.append((str(name.value), *sizes))
    return found


def before_the_end(function) -> list[tuple]:
    """The calls but the last, which makes codes of the accumulators."""
    *others, (last, *_) = calls(function)
    assert last == "odt_requantize_tile"
    return others


def placeholder(name, *shape, dtype="int8"):
    return te.placeholder(shape, dtype, name)


def qconv(data, weight, strides=(1, 1), padding=(0, 0, 0, 0), dilation=(1, 1), groups=1):
    """A quantized convolution of placeholders; all tensors of the kernel."""
    x = placeholder("x", *data)
    w = placeholder("w", *weight) if isinstance(weight, tuple) else weight
    outputs, _, kernel_h, kernel_w = (int(n) for n in w.shape)
    spans = [(kernel - 1) * d + 1 for kernel, d in zip((kernel_h, kernel_w), dilation, strict=True)]
    sizes = [
        (data[2 + axis] + padding[axis] + padding[axis + 2] - spans[axis]) // strides[axis] + 1
        for axis in (0, 1)
    ]
    attrs = {
        **INT8_OUT,
        **{"shape": [1, outputs, *sizes], "groups": groups},
        **{"input_zero_point": 3, "weight_zero_point": 0},
        **{"strides": list(strides), "padding": list(padding), "dilation": list(dilation)},
    }
    vectors = [placeholder(name, outputs, dtype="int32") for name in "bms"]
    return x, w, *vectors, quantized._qconv2d(attrs, x, w, *vectors)
