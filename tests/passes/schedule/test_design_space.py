"""Whatever a schedule is made to choose, and however little scratch it has, no bit changes."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
import tiny
import tvm
from instruments.interpreter import Interpreter
from shared import slow_after
from test_integer_gradients import FLAGS, ONE, gradient, numbers
from test_quantized_ops import codes_like
from tvm import relax

from relay_passes import IntegerGradients, lowering
from relay_passes.kernel_attributes import workspace_bytes
from relay_passes.memory.read_step import read_step
from relay_passes.ops.channels import merge_channels
from relay_passes.ops.convolution import conv2d_weight_grad
from relay_passes.ops.quantized import fixed_point
from relay_passes.ops.registry import call
from relay_passes.tir import tirx

SAME = {"padding": [1, 1, 1, 1]}


def convolution(data, weight, ranges=None, **geometry):
    """An int8 convolution, `ranges` of whose input channels lie in an array of their own."""
    outputs, inputs, *kernel = weight
    strides, padding = geometry.get("strides", [1, 1]), geometry.get("padding", [0] * 4)
    sizes = [
        (data[2 + a] + padding[a] + padding[a + 2] - kernel[a]) // strides[a] + 1 for a in (0, 1)
    ]
    attributes = {
        **{**ONE, "strides": strides, "padding": padding, "groups": data[1] // inputs},
        **{"shape": [1, outputs, *sizes], "zero_point": -1},
        **{"input_zero_point": 3, "weight_zero_point": 0},
        **{"low": -128, "high": 127, "mask": True, "rounding": "even"},
    }
    trained = ranges[1] - ranges[0] if ranges else inputs
    shapes = {"x": data, "w": (outputs, trained, *kernel)}
    if ranges:
        shapes["v"] = (outputs, inputs - trained, *kernel)
    multiplier, shift = fixed_point(np.linspace(0.001, 0.01, outputs))

    def body(emit, x, w, *rest):
        w = emit(merge_channels(w, *rest, ranges, 1)) if rest else w
        vectors = np.arange(outputs, dtype=np.int32), multiplier, shift
        result = emit(call("qconv2d", x, w, *map(relax.const, vectors), **attributes))
        return [emit(relax.TupleGetItem(result, index)) for index in (0, 1)]

    module = tiny.module({name: (shape, "int8") for name, shape in shapes.items()}, body)
    return module, {name: codes_like(s, seed) for seed, (name, s) in enumerate(shapes.items())}


def data_gradient(adjoint, weight, shape, ranges=None, integers=True, **geometry):
    g, w, scale = numbers(adjoint, weight, 0, 0)
    module = gradient(adjoint, weight, shape, scale, ranges, **geometry)
    values = {"g": g, "w": w}
    if ranges:
        inside = np.isin(np.arange(weight[1]), range(*ranges))
        values |= {"w": w[:, inside], "v": w[:, ~inside]}
    return (IntegerGradients()(module) if integers else module), values


def weight_gradient(adjoint, data, shape, integers=True, **geometry):
    def body(emit, g, x):
        real = emit(tiny.dequantize(x, 0.1))
        return emit(conv2d_weight_grad(g, real, shape, SimpleNamespace(**{**ONE, **geometry})))

    module = tiny.module({"g": (adjoint, "float32"), "x": (data, "int8")}, body)
    g = np.random.default_rng(0).normal(size=adjoint).astype(np.float32)
    module = IntegerGradients()(module) if integers else module
    return module, {"g": g, "x": codes_like(data, 1)}


CASES = {
    "pointwise": lambda: convolution((1, 16, 6, 6), (12, 16, 1, 1)),
    "window": lambda: convolution((1, 3, 7, 7), (8, 3, 3, 3), strides=[2, 2], **SAME),
    "merged": lambda: convolution((1, 16, 6, 6), (8, 16, 1, 1), [5, 11]),
    "depthwise": lambda: convolution((1, 6, 8, 8), (6, 1, 3, 3), **SAME),
    "data": lambda: data_gradient((1, 48, 4, 4), (48, 8, 1, 1), (1, 8, 4, 4)),
    "data merged": lambda: data_gradient((1, 48, 4, 4), (48, 8, 1, 1), (1, 8, 4, 4), [3, 6]),
    "data window": lambda: data_gradient((1, 8, 5, 5), (8, 6, 3, 3), (1, 6, 5, 5), **SAME),
    "data floats": lambda: data_gradient(
        (1, 48, 4, 4), (48, 8, 1, 1), (1, 8, 4, 4), [3, 6], integers=False
    ),
    "weight": lambda: weight_gradient((1, 12, 6, 6), (1, 8, 6, 6), (12, 8, 1, 1)),
    "weight window": lambda: weight_gradient((1, 8, 5, 5), (1, 3, 5, 5), (8, 3, 3, 3), **SAME),
    "weight floats": lambda: weight_gradient(
        (1, 12, 6, 6), (1, 8, 6, 6), (12, 8, 1, 1), integers=False
    ),
}


def results(module, values) -> list[np.ndarray]:
    program = read_step(module)
    tensors = Interpreter(program, values, FLAGS).run()
    return [tensors[t.name] for t in program.results]


def kernels(module) -> dict[str, tirx.PrimFunc]:
    found = ((g.name_hint, f) for g, f in module.functions_items())
    return {name: function for name, function in found if isinstance(function, tirx.PrimFunc)}


@pytest.mark.parametrize("case", CASES)
def test_no_choice_changes_a_bit(case):
    module, values = CASES[case]()
    expected = results(lowering()(module), values)
    for seed in range(5):
        draw, asked = random.Random(seed), []

        def choose(_schedule, name, candidates, default, draw=draw, asked=asked):
            assert default in candidates
            asked.append(name)
            return draw.choice(candidates)

        chosen = lowering(chooser=lambda _function, _limit, choose=choose: choose)(module)
        assert len(set(asked)) == len(asked) > 1
        for found, wanted in zip(results(chosen, values), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("case", slow_after(5, CASES))
def test_less_scratch_changes_no_bit_and_is_kept_where_it_can_be(case):
    module, values = CASES[case]()
    ample = lowering()(module)
    expected = results(ample, values)
    least = {name: workspace_bytes(f) for name, f in kernels(_limited(module, ample, 0)).items()}
    for limit in (0, 300, 1500):
        limited = _limited(module, ample, limit)
        for found, wanted in zip(results(limited, values), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)
        for name, function in kernels(limited).items():
            assert workspace_bytes(function) <= max(limit, least[name])


def _limited(module, ample, limit: int) -> tvm.IRModule:
    return lowering(scratch=dict.fromkeys(kernels(ample), limit))(module)
