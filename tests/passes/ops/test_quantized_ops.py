"""Integer kernels against exact arithmetic: Python integers, fractions, rounding half to even."""

from fractions import Fraction

import numpy as np
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from tvm import relax

from relay_passes import LowerQDQ
from relay_passes.ops.masks import code_range_mask, interval_mask, masked, positive_mask
from relay_passes.ops.quantized import BIAS_LIMIT, INT32_MAX, fixed_point, most_taps, requantization
from relay_passes.ops.registry import call

few_examples = settings(max_examples=10, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)
zero_points = st.sampled_from([-128, -1, 0, 5, 127])
RANGE = (-128, 127)


def codes_like(shape, seed) -> np.ndarray:
    """Random int8 codes, a third of them at the ends."""
    generator = np.random.default_rng(seed)
    codes = generator.integers(-128, 128, shape)
    ends = generator.choice([-128, 127], shape)
    return np.where(generator.random(shape) < 1 / 3, ends, codes).astype(np.int8)


def finish(totals, shift, zero_point, low=-128, high=127, passed=(-(2**63), 2**63)):
    """Codes, and where the gradient passes, of exact sums ``total / 2**shift``.

    passed: the least and the greatest sum that the activation passes.
    """
    codes, inside = np.empty(totals.shape, np.int8), np.empty(totals.shape, bool)
    for index, total in np.ndenumerate(totals):
        code = round(Fraction(int(total), 2 ** int(shift))) + zero_point
        codes[index] = max(min(code, high), low)
        inside[index] = -128 <= code <= 127 and passed[0] <= total <= passed[1]
    return codes, inside


def convolve(x, w, zero_point, strides, padding, dilation, groups) -> np.ndarray:
    """Exact accumulators; a padded tap counts nothing, as if its code were the zero point."""
    top, left, bottom, right = padding
    x = np.pad(x.astype(object) - zero_point, ((0, 0), (0, 0), (top, bottom), (left, right)))
    outputs, per_group, kernel_h, kernel_w = w.shape
    height = (x.shape[2] - (kernel_h - 1) * dilation[0] - 1) // strides[0] + 1
    width = (x.shape[3] - (kernel_w - 1) * dilation[1] - 1) // strides[1] + 1
    acc = np.zeros((1, outputs, height, width), object)
    for _, o, row, column in np.ndindex(acc.shape):
        first = o // (outputs // groups) * per_group
        top, left = row * strides[0], column * strides[1]
        patch = x[0, first : first + per_group, top:, left:][:, :: dilation[0], :: dilation[1]]
        patch = patch[:, :kernel_h, :kernel_w]
        acc[0, o, row, column] = int((patch * w[o].astype(object)).sum())
    return acc


@st.composite
def convolutions(draw):
    """Shapes and geometry; odd channel counts and maps of one pixel are likely."""
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    inputs, outputs = groups * draw(st.integers(1, 3)), groups * draw(st.integers(1, 3))
    kernel = [draw(st.sampled_from([1, 2, 3])) for _ in range(2)]
    dilation = [draw(st.integers(1, 2)) for _ in range(2)]
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    padding = [draw(st.integers(0, r - 1)) for r in (*reach, *reach)]
    least = [max(1, r - padding[a] - padding[a + 2]) for a, r in enumerate(reach)]
    size = [n + draw(st.sampled_from([0, 0, 1, 3])) for n in least]
    strides = [draw(st.integers(1, 2)) for _ in range(2)]
    geometry = {"strides": strides, "padding": padding, "dilation": dilation, "groups": groups}
    return (1, inputs, *size), (outputs, inputs // groups, *kernel), geometry


@few_examples
@given(
    convolutions(),
    seeds,
    st.tuples(zero_points, st.one_of(st.just(0), zero_points)),
    zero_points,
    st.sampled_from([None, "relu", "relu6"]),
    st.sampled_from([2.0**-20, 2.0**-9, 1e-3, 0.3, 0.999, 1.0, 3.7, 300.0]),
    st.booleans(),
)
def test_qconv2d(shapes, seed, centres, zero_point, activation, factor, round_factors):
    input_zero_point, weight_zero_point = centres
    data_shape, weight_shape, geometry = shapes
    generator = np.random.default_rng(seed)
    outputs = weight_shape[0]
    values = {
        "x": codes_like(data_shape, seed),
        "w": codes_like(weight_shape, seed + 1),
        "b": generator.choice([-5000, 0, 77, BIAS_LIMIT, -BIAS_LIMIT], outputs).astype(np.int32),
    }
    parts = generator.choice([0.5, 0.75, 1], outputs)  # ties are likely
    factors = factor * (parts if round_factors else generator.uniform(0.5, 1, outputs))
    multiplier, shift = fixed_point(factors)
    reach = {"relu": (1, INT32_MAX), "relu6": (0, 6000)}.get(activation)
    limits = [relax.const(np.full(outputs, n, np.int32)) for n in reach or ()]
    low, high = (zero_point, min(zero_point + 40, 127)) if activation else RANGE
    weight = values["w"].astype(np.int64) - weight_zero_point
    acc = convolve(values["x"], weight, input_zero_point, **geometry)
    attributes = {
        "input_zero_point": input_zero_point,
        "weight_zero_point": weight_zero_point,
        "rounding": requantization(factors)[-1],
        "shape": list(acc.shape),
        "zero_point": zero_point,
        "low": low,
        "high": high,
        "mask": True,
    }

    def body(emit, x, w, b):
        tables = [relax.const(table) for table in requantization(factors)[:2]]
        pair = emit(call("qconv2d", x, w, b, *tables, *limits, **geometry, **attributes))
        return [emit(relax.TupleGetItem(pair, field)) for field in (0, 1)]

    dtypes = {"x": "int8", "w": "int8", "b": "int32"}
    parameters = {name: (values[name].shape, dtype) for name, dtype in dtypes.items()}
    codes, mask = tiny.run(tiny.module(parameters, body), **values)
    for channel in range(outputs):
        total = acc[:, channel] + int(values["b"][channel])
        scale = int(multiplier[channel])
        bounds = [n * scale for n in reach] if reach else ((-(2**80)), 2**80)
        expected = finish(total * scale, shift[channel], zero_point, low, high, bounds)
        np.testing.assert_array_equal(codes[:, channel], expected[0])
        np.testing.assert_array_equal(mask[:, channel], expected[1])


def run_group(parameters, values, real, scale, zero_point, activation):
    """Codes and mask of ``quantize(activation(real(...)))`` after `LowerQDQ`, in one kernel."""

    def body(emit, *variables):
        total = emit(real(emit, *variables))
        active = emit(ACTIVATIONS[activation](total)) if activation else total
        codes = emit(tiny.quantize(active, scale, zero_point))
        ones = relax.const(np.ones([int(n) for n in codes.ty.shape], np.float32))
        passed = emit(masked(emit(code_range_mask(active, scale, zero_point)), ones))
        if activation == "relu":
            passed = emit(masked(emit(positive_mask(active)), passed))
        if activation == "relu6":
            passed = emit(masked(emit(interval_mask(total, 0.0, 6.0)), passed))
        return [codes, passed]

    lowered = LowerQDQ()(tiny.module(parameters, body))
    names = tiny.op_names(lowered)
    assert names[0].startswith("odt.q") and not any("quantize" in name for name in names)
    codes, passed = tiny.run(lowered, **values)
    return codes, passed.astype(bool)


ACTIVATIONS = {"relu": relax.op.nn.relu, "relu6": lambda y: relax.op.clip(y, 0.0, 6.0)}


def activation_limits(activation, scale, zero_point):
    """Codes and real numbers between which the activation lies; a ReLU passes nothing at 0."""
    if activation is None:
        return *RANGE, (-(10**9), 10**9)
    top = min(127, round(Fraction(6) / Fraction(scale)) + zero_point)
    if activation == "relu6":
        return zero_point, max(top, -128), (0, 6)
    return zero_point, 127, (Fraction(1, 10**30), 10**9)


@few_examples
@given(
    st.tuples(*[st.sampled_from([1, 2, 5])] * 3).map(lambda s: (1, *s)),
    seeds,
    st.tuples(*[st.sampled_from([0.0123, 0.05, 0.1, 0.5])] * 3),
    st.tuples(zero_points, zero_points, zero_points),
    st.sampled_from([None, "relu", "relu6"]),
)
def test_qadd(shape, seed, scales, zeros, activation):
    left, right, scale = (float(np.float32(s)) for s in scales)
    values = {"a": codes_like(shape, seed), "b": codes_like(shape, seed + 1)}

    def real(emit, a, b):
        operands = [tiny.dequantize(a, left, zeros[0]), tiny.dequantize(b, right, zeros[1])]
        return relax.op.add(*(emit(o) for o in operands))

    codes, mask = run_group(
        {"a": (shape, "int8"), "b": (shape, "int8")}, values, real, scale, zeros[2], activation
    )
    low, high, passed = activation_limits(activation, scale, zeros[2])
    a, b = (v.astype(object) - z for v, z in zip(values.values(), zeros, strict=False))
    for index in np.ndindex(shape):
        total = Fraction(left) * a[index] + Fraction(right) * b[index]
        check_code(total, scale, zeros[2], (low, high), passed, codes[index], mask[index])


@few_examples
@given(
    st.tuples(*[st.sampled_from([1, 2, 3, 7])] * 3).map(lambda s: (1, *s)),
    seeds,
    st.tuples(*[st.sampled_from([0.0123, 0.05, 0.1, 0.5])] * 2),
    st.tuples(zero_points, zero_points),
    st.sampled_from([None, "relu", "relu6"]),
)
def test_qmean(shape, seed, scales, zeros, activation):
    own, scale = (float(np.float32(s)) for s in scales)
    values = {"x": codes_like(shape, seed)}

    def real(emit, x):
        return relax.op.mean(emit(tiny.dequantize(x, own, zeros[0])), [2, 3], True)

    codes, mask = run_group({"x": (shape, "int8")}, values, real, scale, zeros[1], activation)
    low, high, passed = activation_limits(activation, scale, zeros[1])
    sums = (values["x"].astype(int) - zeros[0]).sum((2, 3))
    for channel in range(shape[1]):
        total = Fraction(own) * int(sums[0, channel]) / (shape[2] * shape[3])
        found = codes[0, channel, 0, 0], mask[0, channel, 0, 0]
        check_code(total, scale, zeros[1], (low, high), passed, *found)


def check_code(real, scale, zero_point, limits, passed, code, mask):
    """Code and mask of an exact real number.

    The fixed-point factor is off by up to 2^-27: so close to a tie either neighbour is right, and
    so close to a bound of the activation either mask.
    """
    exact = real / Fraction(scale)
    margin = (abs(exact) + 1) / 2**26
    neighbours = {round(exact - margin) + zero_point, round(exact + margin) + zero_point}
    low, high = limits
    assert code in {max(min(n, high), low) for n in neighbours}
    inside = {-128 <= n <= 127 for n in neighbours}
    distances = [abs(real - bound) for bound in passed]
    if not any(0 < distance < margin * Fraction(scale) for distance in distances):
        assert mask in {i and passed[0] <= real <= passed[1] for i in inside}


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_largest_accumulator_does_not_overflow(sign):
    """As many products of 255 * 128 as may be and the largest bias: the sum is within int32."""
    taps = most_taps(0)
    values = {
        "x": np.full((1, taps, 1, 1), 127, np.int8),
        "w": np.full((1, taps, 1, 1), -128 if sign < 0 else 127, np.int8),
        "b": np.array([sign * BIAS_LIMIT], np.int32),
    }
    one = {"strides": [1, 1], "padding": [0, 0, 0, 0], "dilation": [1, 1], "groups": 1}
    multiplier, shift = fixed_point(np.array([2.0**-24]))
    ends = {"low": -128, "high": 127, "zero_point": 0, "mask": False, "rounding": "even"}

    def body(emit, x, w, b):
        tables = [relax.const(multiplier), relax.const(shift)]
        centres = {"input_zero_point": -128, "weight_zero_point": 0}
        attributes = {**one, **ends, **centres, "shape": [1, 1, 1, 1]}
        return emit(call("qconv2d", x, w, b, *tables, **attributes))

    parameters = {n: (v.shape, str(v.dtype)) for n, v in values.items()}
    (code,) = tiny.run(tiny.module(parameters, body), **values)
    acc = taps * 255 * int(values["w"].flat[0]) + sign * BIAS_LIMIT
    assert abs(acc) <= INT32_MAX
    assert code.item() == max(min(round(Fraction(acc, 2**24)), 127), -128)


@given(st.lists(st.floats(1e-30, 2.0**29), min_size=1, max_size=8))
def test_fixed_point_has_31_bits(factors):
    multiplier, shift = fixed_point(np.array(factors))
    assert multiplier.dtype == shift.dtype == np.int32
    for factor, m, s in zip(factors, multiplier.tolist(), shift.tolist(), strict=True):
        assert 1 <= s <= 54 and 0 <= m < 2**31
        if factor >= 2.0**-23:
            assert m >= 2**30
            assert abs(Fraction(m, 2**s) - Fraction(factor)) <= Fraction(factor) / 2**31
        else:  # of dead channels: no int32 is wrong by more than 2^-24 of a code
            assert abs(Fraction(m, 2**s) - Fraction(factor)) * 2**31 <= Fraction(1, 2**24)


@pytest.mark.parametrize(
    "factor, multiplier, shift",
    [
        (0.0, 0, 31),
        (1.0, 2**30, 30),
        (0.5, 2**30, 31),
        (1 - 2.0**-33, 2**30, 30),  # rounds up to the next power of two
        (2.0**-60, 0, 54),
    ],
)
def test_fixed_point_of_special_factors(factor, multiplier, shift):
    assert [int(n[0]) for n in fixed_point(np.array([factor]))] == [multiplier, shift]


@pytest.mark.parametrize(
    "factors, rounding",
    [
        ([1e-3, 0.0], "high"),
        ([1e-3, 512.5 * 2.0**-20], "high"),  # 1025 is odd
        ([1e-3, 511 * 2.0**-20], "even"),
        ([1e-3, 0.3], "even"),
        ([1e-3, 1.0], "wide"),
    ],
)
def test_the_cheapest_rounding_that_is_exact(factors, rounding):
    multiplier, shift, found = requantization(np.array(factors))
    assert found == rounding
    exact = fixed_point(np.array(factors))
    np.testing.assert_array_equal(multiplier, exact[0])
    live = multiplier > 0
    np.testing.assert_array_equal(shift[live] + 33 * (found == "high"), exact[1][live])


@given(st.integers(0, 21), st.integers(0, 2**31 - 1), st.integers(33, 62), zero_points, st.data())
def test_rounding_by_the_upper_half_is_half_to_even(zeros, bits, shift, zero_point, data):
    """Of accumulators around the ties of int8 codes, for the roundest multipliers that qualify."""
    multiplier = max((bits >> zeros | 1) % 2 ** (31 - zeros), 513) << zeros
    code = data.draw(st.integers(-130, 129)) - zero_point
    tie = (2 * code + 1) * 2 ** (shift - 1) // multiplier
    for acc in {max(min(tie + n, INT32_MAX), -INT32_MAX) for n in (-1, 0, 1)}:
        high = (acc * multiplier >> 32) >> (shift - 33)
        found = (high + 2 * zero_point + 1) >> 1
        exact = round(Fraction(acc * multiplier, 2**shift)) + zero_point
        assert np.clip(found, -129, 128) == np.clip(exact, -129, 128)
