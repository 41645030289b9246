"""Which groups `LowerQDQ` turns into integer operators, and into which."""

import numpy as np
import pytest
import tiny
import tvm
from tvm import relax

from relay_passes import LowerQDQ
from relay_passes.ops.masks import code_range_mask, interval_mask, masked
from relay_passes.ops.quantized import INT32_MAX, fixed_point, most_taps
from relay_passes.ops.registry import call

CODES = {"x": ((1, 2, 4, 4), "int8")}
LAYER = {**CODES, "w": ((3, 2, 2, 2), "int8"), "b": ((3,), "int32")}
OUTPUT = (1, 3, 3, 3)
UNIT_CONV = {"strides": [1, 1], "padding": [0, 0, 0, 0], "dilation": [1, 1], "groups": 1}
# scales 0.5 for x, 0.25 for w and the output: an accumulator counts 0.125, half a code
HALF = tuple(relax.const(n) for n in fixed_point(np.full(3, 0.5)))


def canonical(module):
    passes = [relax.transform.CanonicalizeBindings(), relax.transform.DeadCodeElimination()]
    return tvm.transform.Sequential(passes)(module)


def preactivation(emit, x, w, b=None, bias_scale=0.125, bias_first=False, **conv):
    data, weight = emit(tiny.dequantize(x, 0.5, 3)), emit(tiny.dequantize(w, 0.25))
    total = emit(relax.op.nn.conv2d(data, weight, **conv))
    if b is None:
        return total
    bias = emit(tiny.dequantize(b, bias_scale, dtype="int32"))
    operands = [total, emit(relax.op.reshape(bias, (1, 3, 1, 1)))]
    return emit(relax.op.add(*(operands[::-1] if bias_first else operands)))


def bounds(low: int, high: int):
    return [relax.const(np.full(3, bound, np.int32)) for bound in (low, high)]


def qconv2d(x, w, b, *limits, mask=False, low=-128, high=127):
    codes = {"shape": list(OUTPUT), "zero_point": -10, "low": low, "high": high, "mask": mask}
    codes |= {"input_zero_point": 3, "weight_zero_point": 0, "rounding": "even"}
    return call("qconv2d", x, w, b, *HALF, *limits, **UNIT_CONV, **codes)


def clip(low: float, high: float):
    return lambda y: relax.op.clip(y, low, high)


# what lies between the bias and the quantize: its operators, the accumulators that they pass, and
# the codes that they give. A ReLU's gradient is 0 at 0, a clip's is 1 at its bounds.
RELU, RELU6 = relax.op.nn.relu, clip(0.0, 6.0)
ACTIVATIONS = {
    "none": ([], (), {}),
    "relu": ([RELU], bounds(1, INT32_MAX), {"low": -10}),
    "relu6": ([RELU6], bounds(0, 48), {"low": -10, "high": 14}),
    "relu, relu6": ([RELU, RELU6], bounds(1, 48), {"low": -10, "high": 14}),
    "relu6, relu": ([RELU6, RELU], bounds(1, 48), {"low": -10, "high": 14}),
    "clip above 0, relu": ([clip(0.5, 6.0), RELU], bounds(4, 48), {"low": -8, "high": 14}),
    "relu, clip below 0": ([RELU, clip(-1.0, 6.0)], bounds(1, 48), {"low": -10, "high": 14}),
}


def layer(name, emit, x, w, b):
    """Values of a group's source: convolution with bias, then each activation."""
    values = [preactivation(emit, x, w, b)]
    for activation in ACTIVATIONS[name][0]:
        values.append(emit(activation(values[-1])))
    return values


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_convolution_bias_and_activation_become_one_operator(name):
    def before(emit, x, w, b):
        return emit(tiny.quantize(layer(name, emit, x, w, b)[-1], 0.25, -10))

    def after(emit, x, w, b):
        _, limits, ends = ACTIVATIONS[name]
        return emit(qconv2d(x, w, b, *limits, **ends))

    lowered = canonical(LowerQDQ()(tiny.module(LAYER, before)))
    tvm.ir.assert_structural_equal(lowered, canonical(tiny.module(LAYER, after)), True)


def test_the_bias_may_be_the_first_operand():
    def before(emit, x, w, b):
        return tiny.quantize(preactivation(emit, x, w, b, bias_first=True), 0.25, -10)

    after = canonical(LowerQDQ()(tiny.module(LAYER, before)))
    expected = tiny.module(LAYER, lambda emit, x, w, b: qconv2d(x, w, b))
    tvm.ir.assert_structural_equal(after, canonical(expected))


def test_masks_of_a_group_become_the_second_result_of_its_operator():
    parameters = {**LAYER, "dy": (OUTPUT, "float32")}

    def before(emit, x, w, b, dy):
        real, active = layer("relu6", emit, x, w, b)
        codes = emit(tiny.quantize(active, 0.25, -10))
        through = emit(masked(emit(code_range_mask(active, 0.25, -10)), dy))
        return [codes, emit(masked(emit(interval_mask(real, 0.0, 6.0)), through))]

    def after(emit, x, w, b, dy):
        _, limits, ends = ACTIVATIONS["relu6"]
        pair = emit(qconv2d(x, w, b, *limits, mask=True, **ends))
        codes, mask = (emit(relax.TupleGetItem(pair, field)) for field in (0, 1))
        return [codes, emit(masked(mask, emit(masked(mask, dy))))]

    lowered = canonical(LowerQDQ()(tiny.module(parameters, before)))
    expected = canonical(LowerQDQ()(tiny.module(parameters, after)))  # which leaves it alone
    tvm.ir.assert_structural_equal(lowered, expected, True)


def test_a_convolution_without_bias_gets_zeros():
    def before(emit, x, w, b):
        return emit(tiny.quantize(preactivation(emit, x, w), 0.25, -10))

    def after(emit, x, w, b):
        return emit(qconv2d(x, w, relax.const(np.zeros(3, np.int32))))

    lowered = canonical(LowerQDQ()(tiny.module(LAYER, before)))
    tvm.ir.assert_structural_equal(lowered, canonical(tiny.module(LAYER, after)), True)


def test_residual_add_becomes_one_operator_with_one_shift():
    parameters = {"a": ((1, 2, 4, 4), "int8"), "b": ((1, 2, 4, 4), "int8")}

    def before(emit, a, b):
        total = relax.op.add(emit(tiny.dequantize(a, 0.5, 1)), emit(tiny.dequantize(b, 0.25, 2)))
        return emit(tiny.quantize(emit(relax.op.nn.relu(emit(total))), 0.5, -5))

    def after(emit, a, b):
        scaled = {"left_multiplier": 2**28, "right_multiplier": 2**27, "shift": 28}
        zeros = {"left_zero_point": 1, "right_zero_point": 2}
        relu = {"activation": True, "acc_low": 1, "acc_high": 2**62}
        codes = {"shape": [1, 2, 4, 4], "zero_point": -5, "low": -5, "high": 127, "mask": False}
        return emit(call("qadd", a, b, **scaled, **zeros, **relu, **codes))

    lowered = canonical(LowerQDQ()(tiny.module(parameters, before)))
    tvm.ir.assert_structural_equal(lowered, canonical(tiny.module(parameters, after)), True)


def test_spatial_mean_divides_while_it_scales():
    def before(emit, x):
        mean = emit(relax.op.mean(emit(tiny.dequantize(x, 0.5, 3)), [2, 3], True))
        return emit(tiny.quantize(mean, 0.25, 7))

    def after(emit, x):
        factor = {"multiplier": 2**30, "shift": 33, "rounding": "even"}  # 0.5 / 0.25 / 16 pixels
        none = {"activation": False, "acc_low": -INT32_MAX, "acc_high": INT32_MAX}
        codes = {"shape": [1, 2, 1, 1], "zero_point": 7, "low": -128, "high": 127, "mask": False}
        return emit(call("qmean", x, input_zero_point=3, **factor, **none, **codes))

    lowered = canonical(LowerQDQ()(tiny.module(CODES, before)))
    tvm.ir.assert_structural_equal(lowered, canonical(tiny.module(CODES, after)), True)


def read_elsewhere(emit, x, w, b):
    real = preactivation(emit, x, w, b)
    decoded = emit(tiny.dequantize(emit(tiny.quantize(real, 0.25)), 0.25))
    return emit(relax.op.add(decoded, emit(relax.op.exp(real))))


def unquantized(emit, x, w, b):
    return emit(relax.op.exp(preactivation(emit, x, w, b)))


def other_bias_scale(emit, x, w, b):
    return emit(tiny.quantize(preactivation(emit, x, w, b, bias_scale=0.25), 0.25))


def float_weight(emit, x, w, b):
    data = emit(tiny.dequantize(x, 0.5, 3))
    weight = emit(relax.op.astype(w, "float32"))
    return emit(tiny.quantize(emit(relax.op.nn.conv2d(data, weight)), 0.25))


def other_layout(emit, x, w, b):
    return emit(tiny.quantize(preactivation(emit, x, w, data_layout="NCWH"), 0.25))


def broadcast_add(emit, x, w, b):
    left = emit(tiny.dequantize(x, 0.5))
    pooled = emit(tiny.quantize(emit(relax.op.nn.max_pool2d(left, (4, 4))), 0.5))
    return emit(tiny.quantize(emit(relax.op.add(left, emit(tiny.dequantize(pooled, 0.5)))), 0.5))


def other_mean(emit, x, w, b):
    return emit(tiny.quantize(emit(relax.op.mean(emit(tiny.dequantize(x, 0.5)), [1], True)), 0.5))


def other_operator(emit, x, w, b):
    return emit(tiny.quantize(emit(relax.op.tanh(emit(tiny.dequantize(x, 0.5)))), 0.5))


@pytest.mark.parametrize(
    "body",
    [
        read_elsewhere,
        unquantized,
        other_bias_scale,
        float_weight,
        other_layout,
        broadcast_add,
        other_mean,
        other_operator,
    ],
)
def test_what_matches_no_group_stays_as_it_is(body):
    module = relax.transform.DeadCodeElimination()(tiny.module(LAYER, body))
    tvm.ir.assert_structural_equal(canonical(LowerQDQ()(module)), canonical(module), True)


@pytest.mark.parametrize("extra, integer", [(0, True), (1, False)])
def test_a_sum_that_could_overflow_stays_in_float32(extra, integer):
    channels = most_taps(0) + extra
    parameters = {"x": ((1, channels, 1, 1), "int8"), "w": ((1, channels, 1, 1), "int8")}

    def body(emit, x, w):
        return emit(tiny.quantize(preactivation(emit, x, w), 0.25))

    names = tiny.op_names(LowerQDQ()(tiny.module(parameters, body)))
    assert ("odt.qconv2d" in names) == integer
