"""IntegerGradients: which gradients it rewrites, and how far their numbers are from exact ones."""

from types import SimpleNamespace

import numpy as np
import pytest
import tiny
import torch
import tvm
from hypothesis import example, given, settings
from hypothesis import strategies as st
from instruments.interpreter import Interpreter
from selected_kernels import calls
from shared import slow_after
from test_narrow_adjoints import WEIGHTS, residual_net, updated
from tvm import relax

from relay_passes import IntegerGradients, NarrowAdjoints, lowering
from relay_passes.memory.read_step import read_step
from relay_passes.ops.channels import merge_channels
from relay_passes.ops.convolution import conv2d_input_grad, conv2d_weight_grad
from relay_passes.ops.integer_gradient import CENTRED, CODE, INT32_MAX, MAX_TAPS, limit_of
from relay_passes.ops.masks import masked
from relay_passes.ops.update import sgd_update_codes

FLAGS = ("-fsanitize=undefined", "-fno-sanitize-recover=all")
ONE = {"strides": (1, 1), "padding": (0, 0, 0, 0), "dilation": (1, 1), "groups": 1}


def gradient(adjoint, weight, shape, scale, ranges=None, mask=None, inner=False, **geometry):
    """``main(g, w, ...)``: dL/dx for ``w * scale``, `ranges` of whose input channels are `w`.

    mask : whether the result is under a mask `m`; inner : whether `g` is, under `n`, and needed
        again behind the gradient, so that its mask is applied on the fly.
    """
    geometry = SimpleNamespace(**{**ONE, **geometry})
    parameters = {"g": (adjoint, "float32")}
    if ranges:
        first, end = ranges
        outputs, inputs, *window = weight
        parameters["w"] = ((outputs, end - first, *window), "int8")
        parameters["v"] = ((outputs, inputs - end + first, *window), "int8")
    else:
        parameters["w"] = (weight, "int8")
    if mask:
        parameters["m"] = (shape, "bool")
    if inner:
        parameters["n"] = (adjoint, "bool")

    def body(emit, *variables):
        of = dict(zip(parameters, variables, strict=True))
        codes = emit(merge_channels(of["w"], of["v"], ranges, 1)) if ranges else of["w"]
        g_alone = of["g"]
        g = emit(masked(of["n"], g_alone)) if inner else g_alone
        real = emit(tiny.dequantize(codes, scale))
        result = emit(conv2d_input_grad(g, real, shape, geometry))
        result = emit(masked(of["m"], result)) if mask else result
        later = relax.op.add(g_alone, emit(relax.op.sum(result))) if inner else None
        return [result, emit(later)] if inner else result

    return tiny.module(parameters, body)


def run(module, fuse=True, **values):
    """The first result of `module`, by C that must not have undefined behaviour."""
    program = read_step(lowering(fuse)(module))
    tensors = Interpreter(program, values, FLAGS).run()
    return tensors[program.results[0].name]


def exact(g, w, scale, shape, strides, padding, dilation, groups):
    """dL/dx in float64."""
    top, left, bottom, right = padding
    padded = (1, shape[1], shape[2] + top + bottom, shape[3] + left + right)
    weight = torch.tensor(w.astype(np.float64) * np.float64(scale)[:, None, None, None])
    whole = torch.nn.grad.conv2d_input(
        padded, weight, torch.tensor(g.astype(np.float64)), strides, 0, dilation, groups
    ).numpy()
    return whole[:, :, top : top + shape[2], left : left + shape[3]]


def bound(g, w, scale, shape, strides, padding, dilation, groups):
    """How far a gradient may be from the exact one.

    Each code is half a unit from its number at most, and a unit is the largest number of a block
    divided by the limit: here the largest of all. Where all are tiny they count as zeros. To that
    come roundings of the float32 operations around the sum.
    """
    numbers = np.abs(g.astype(np.float64) * np.float64(scale)[None, :, None, None])
    taps = w.shape[0] // groups * w.shape[2] * w.shape[3]
    peak = numbers.max(initial=0)
    unit = 2 * peak if peak < 1e-29 else peak / limit_of(taps)
    geometry = (shape, strides, padding, dilation, groups)
    ones, magnitudes = np.ones(len(scale)), np.abs(w.astype(np.float64))
    codes = exact(np.ones(g.shape), magnitudes, ones, *geometry)
    return 0.5001 * unit * codes + 2.0**-20 * exact(numbers, magnitudes, ones, *geometry) + 1e-42


@st.composite
def convolutions(draw):
    """Shapes and geometry of a convolution; odd channels, one pixel and one tap are likely."""
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    outputs, inputs = groups * draw(st.integers(1, 9)), groups * draw(st.integers(1, 9))
    if draw(st.booleans()):  # depthwise
        outputs = inputs = groups = max(2, inputs)
    kernel = draw(st.sampled_from([(1, 1), (1, 1), (3, 3), (5, 5), (2, 3), (1, 4)]))
    strides = [draw(st.integers(1, 3)) for _ in range(2)]
    dilation = [draw(st.sampled_from([1, 1, 2])) for _ in range(2)]
    if kernel == (1, 1) and draw(st.booleans()):
        strides = [1, 1]
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    padding = [draw(st.integers(0, r - 1)) for r in (*reach, *reach)]
    least = [max(1, r - padding[a] - padding[a + 2]) for a, r in enumerate(reach)]
    size = [n + draw(st.integers(0, 6)) for n in least]
    out = [(size[a] + padding[a] + padding[a + 2] - reach[a]) // strides[a] + 1 for a in range(2)]
    geometry = {"strides": strides, "padding": padding, "dilation": dilation, "groups": groups}
    return (1, outputs, *out), (outputs, inputs // groups, *kernel), (1, inputs, *size), geometry


def numbers(adjoint, weight, seed, exponent):
    """Adjoints, a tenth of them 0, some channels' all; codes; scales, one of them dead."""
    generator = np.random.default_rng(seed)
    g = generator.normal(size=adjoint) * 10.0**exponent * (generator.random(adjoint) > 0.1)
    g *= generator.random((1, adjoint[1], 1, 1)) > 0.1
    w = generator.choice([-128, 127], weight)
    w = np.where(generator.random(weight) < 0.8, generator.integers(-128, 128, weight), w)
    scale = generator.uniform(0.001, 0.1, weight[0])
    scale[0] = 1e-9
    return g.astype(np.float32), w.astype(np.int8), scale.astype(np.float32)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(convolutions(), st.integers(0, 2**32 - 1), st.integers(-44, 36))
@example(((1, 384, 4, 4), (384, 8, 1, 1), (1, 8, 4, 4), ONE), 0, 0)
def test_a_gradient_is_as_exact_as_the_largest_number_of_a_block_allows(case, seed, exponent):
    adjoint, weight, shape, geometry = case
    g, w, scale = numbers(adjoint, weight, seed, exponent)
    module = IntegerGradients()(gradient(adjoint, weight, shape, scale, **geometry))
    assert tiny.op_names(module) == ["odt.integer_input_grad"]
    result = run(module, g=g, w=w)
    distance = np.abs(result - exact(g, w, scale, shape, **geometry))
    allowed = bound(g, w, scale, shape, **geometry)
    assert (distance <= allowed).all(), (distance / allowed).max()


@settings(max_examples=8, deadline=None, derandomize=True)
@given(convolutions(), st.data(), st.integers(0, 2**32 - 1))
def test_masks_and_merged_channels_change_no_bit_of_what_is_left(case, data, seed):
    adjoint, weight, shape, geometry = case
    g, w, scale = numbers(adjoint, weight, seed, 0)
    generator = np.random.default_rng(seed)
    m, n = (generator.integers(0, 2, s).astype(bool) for s in (shape, adjoint))
    plain = run(
        IntegerGradients()(gradient(adjoint, weight, shape, scale, **geometry)), g=g * n, w=w
    )
    values, ranges = {"w": w}, None
    if weight[1] > 1:
        first = data.draw(st.integers(0, weight[1] - 1))
        end = data.draw(st.integers(first + 1, weight[1] - (first == 0)))
        inside = (np.arange(weight[1]) >= first) & (np.arange(weight[1]) < end)
        values, ranges = {"w": w[:, inside], "v": w[:, ~inside]}, [first, end]
    module = gradient(adjoint, weight, shape, scale, ranges, True, True, **geometry)
    bits = {name: np.packbits(b, bitorder="little") for name, b in (("m", m), ("n", n))}
    result = run(IntegerGradients()(module), g=g, **values, **bits)
    np.testing.assert_array_equal(result, np.where(m, plain, 0))


def test_a_strided_depthwise_gradient_wider_than_a_tile_is_as_exact():
    geometry = {**ONE, "strides": [2, 2], "padding": [2, 2, 2, 2], "groups": 3}
    case = (1, 3, 20, 20), (3, 1, 5, 5), (1, 3, 40, 40)
    g, w, scale = numbers(case[0], case[1], 0, 0)
    result = run(IntegerGradients()(gradient(*case, scale, **geometry)), g=g, w=w)
    distance = np.abs(result - exact(g, w, scale, case[2], **geometry))
    assert (distance <= bound(g, w, scale, case[2], **geometry)).all()


def weight_gradient(adjoint, weight, data, scale=0.1, zero_point=0, **geometry):
    """``main(g, x)``: dL/dw for the data ``(x - zero_point) * scale``."""
    geometry = SimpleNamespace(**{**ONE, **geometry})

    def body(emit, g, x):
        real = emit(tiny.dequantize(x, scale, zero_point))
        return emit(conv2d_weight_grad(g, real, weight, geometry))

    return tiny.module({"g": (adjoint, "float32"), "x": (data, "int8")}, body)


def exact_weight_gradient(g, x, weight, strides, padding, dilation, groups):
    """dL/dw in float64."""
    top, left, bottom, right = padding
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (top, bottom), (left, right)))
    g = torch.tensor(g.astype(np.float64))
    return torch.nn.grad.conv2d_weight(
        torch.tensor(padded), weight, g, strides, 0, dilation, groups
    ).numpy()


@settings(max_examples=12, deadline=None, derandomize=True)
@given(convolutions(), st.integers(-128, 127), st.integers(0, 2**32 - 1), st.integers(-30, 25))
@example(((1, 6, 8, 8), (6, 24, 1, 1), (1, 24, 8, 8), ONE), -128, 0, 0)
@example(((1, 9, 5, 7), (9, 5, 3, 3), (1, 5, 5, 7), {**ONE, "padding": [1] * 4}), 127, 0, 0)
def test_a_weight_gradient_is_as_exact_as_the_largest_adjoint_of_a_channel_allows(
    case, zero_point, seed, exponent
):
    adjoint, weight, data, geometry = case
    generator = np.random.default_rng(seed)
    g, _, _ = numbers(adjoint, weight, seed, exponent)
    x = generator.integers(-128, 128, data).astype(np.int8)
    scale = np.float32(generator.uniform(0.001, 0.1))
    module = IntegerGradients()(
        weight_gradient(adjoint, weight, data, scale, zero_point, **geometry)
    )
    pixels = adjoint[2] * adjoint[3]
    integer = geometry["groups"] == 1 and pixels > 1
    assert ("odt.integer_weight_grad" in tiny.op_names(module)) == integer
    result = run(module, g=g, x=x)
    real = (x.astype(np.float64) - zero_point) * np.float64(scale)
    distance = np.abs(result - exact_weight_gradient(g, real, weight, **geometry))
    peak = np.abs(g).max(initial=0).astype(np.float64)
    unit = 2 * peak if peak < 1e-29 else peak / limit_of(pixels, CENTRED)
    ones = np.full(adjoint, 0.5001 * unit) + 2.0**-19 * np.abs(g)
    allowed = exact_weight_gradient(ones, np.abs(real), weight, **geometry) + 1e-42
    assert (distance <= allowed).all(), (distance / allowed).max()


def test_no_sum_of_a_weight_gradient_leaves_int32():
    adjoint, data = (1, 1, 100, 100), (1, 1, 100, 100)
    module = IntegerGradients()(weight_gradient(adjoint, (1, 1, 1, 1), data, 1.0, 127))
    g, x = np.full(adjoint, -0.5, np.float32), np.full(data, -128, np.int8)
    np.testing.assert_allclose(run(module, g=g, x=x), [[[[127.5 * 1e4]]]], rtol=1e-3)


def test_a_weight_gradient_with_its_update_is_microkernels():
    shapes = (1, 12, 4, 4), (12, 8, 1, 1), (1, 8, 4, 4)

    def body(emit, w, g, x, rate, seed):
        real = emit(tiny.dequantize(x, 0.1, 3))
        d_w = emit(conv2d_weight_grad(g, real, shapes[1], SimpleNamespace(**ONE)))
        inverse = relax.const(np.full(12, 4.0, np.float32))
        return emit(sgd_update_codes(w, d_w, rate, seed, inverse, limit=127, salt=0))

    dtypes = {"w": (shapes[1], "int8"), "g": (shapes[0], "float32"), "x": (shapes[2], "int8")}
    module = tiny.module({**dtypes, "rate": ((), "float32"), "seed": ((), "uint32")}, body)
    assert kernel_calls(IntegerGradients()(module), "integer_weight_grad") == [
        "odt_pack_rows",
        "odt_peak_rows",
        "odt_pack_rows_f32",
        "odt_dot_columns",
        "odt_update_tile",
    ]


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("case", ["dense", "window", "depthwise"])
def test_an_adjoint_that_is_no_number_does_no_harm(value, case):
    """UBSan watches; what has nothing to do with it stays as it is."""
    groups, kernel = (4, 3) if case == "depthwise" else (1, 3 if case == "window" else 1)
    geometry = {**ONE, "groups": groups, "padding": [kernel // 2] * 4}
    adjoint = shape = (1, 4, 5, 5)
    weight = (4, 4 // groups, kernel, kernel)
    g, w, scale = numbers(adjoint, weight, 0, 0)
    module = IntegerGradients()(gradient(adjoint, weight, shape, scale, **geometry))
    clean = run(module, g=g, w=w)
    g[0, 1, 0, 0] = value
    result = run(module, g=g, w=w)
    apart = np.s_[:, 2:] if case == "depthwise" else np.s_[:, :, 2:, 2:]
    np.testing.assert_array_equal(result[apart], clean[apart])


@pytest.mark.parametrize("taps", [1, 512, 513, 1000, MAX_TAPS])
def test_no_sum_leaves_int32(taps):
    limit = limit_of(taps)
    assert 512 <= limit < 2**15 and limit * CODE * taps <= INT32_MAX
    w = np.full((taps, 1, 1, 1), -128, np.int8)
    g = np.full((1, taps, 1, 1), 0.5, np.float32)
    module = IntegerGradients()(gradient(g.shape, w.shape, (1, 1, 1, 1), np.ones(taps)))
    np.testing.assert_allclose(run(module, g=g, w=w), [[[[-64 * taps]]]], rtol=1e-6)


def with_weight(real, outputs=4):
    """A gradient for the weight ``real(emit, codes)``."""

    def body(emit, g, codes):
        weight = emit(real(codes))
        geometry = SimpleNamespace(**ONE)
        return emit(conv2d_input_grad(g, weight, (1, 4, 4, 4), geometry))

    g = ((1, outputs, 4, 4), "float32")
    return tiny.module({"g": g, "w": ((outputs, 4, 1, 1), "int8")}, body)


@pytest.mark.parametrize(
    "real",
    [
        lambda codes: tiny.dequantize(codes, 0.1, 3),  # a zero point
        lambda codes: relax.op.dequantize(
            codes, relax.const(np.full(4, 0.1, np.float32)), relax.const(0, "int8"), 1
        ),  # scales of input channels
        lambda codes: relax.op.astype(codes, "float32"),
    ],
)
def test_other_weights_stay_float32(real):
    module = with_weight(real)
    assert tiny.op_names(IntegerGradients()(module)) == tiny.op_names(module)


def test_too_many_taps_for_int32_stay_float32():
    module = with_weight(lambda codes: tiny.dequantize(codes, 0.1), MAX_TAPS + 1)
    assert "odt.integer_input_grad" not in tiny.op_names(IntegerGradients()(module))


def test_a_module_without_main_is_refused():
    with pytest.raises(ValueError, match="IntegerGradients"):
        IntegerGradients()(tvm.IRModule())


# -- a whole step ----------------------------------------------------------------------------------


def test_gradients_of_a_net_are_those_of_float32():
    module, values = residual_net(quantized=True)
    floats = tiny.gradients(module, **values)
    integers = tiny.gradients(IntegerGradients()(module), **values)
    for name in WEIGHTS:
        a, b = floats[name].ravel(), integers[name].ravel()
        assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) > 0.9999, name
        assert not np.array_equal(a, b) or name == "last"


@pytest.mark.parametrize("format", slow_after(1, ["bfloat16", "float32", "float8"]))
def test_fusion_changes_no_bit(format):
    module, values = residual_net(quantized=True)
    module = NarrowAdjoints(format)(IntegerGradients()(module))
    fused, plain = (updated(module, fuse, values) for fuse in (True, False))
    for name, value in plain.items():
        np.testing.assert_array_equal(fused[name], value, err_msg=name)


def test_a_float_net_stays_as_it_is():
    module, _ = residual_net(quantized=False)
    names = tiny.op_names(IntegerGradients()(module))
    assert "odt.conv2d_input_grad" in names and "odt.integer_input_grad" not in names


# -- microkernels ----------------------------------------------------------------------------------


def kernel_calls(module, name="integer_input_grad") -> list[str]:
    """Names of the microkernels of the gradient's kernel, in order."""
    functions = lowering()(module).functions_items()
    (kernel,) = (f for gvar, f in functions if name in gvar.name_hint)
    return [name for name, *_ in calls(kernel)]


def test_a_pointwise_gradient_is_microkernels():
    module = gradient((1, 24, 4, 4), (24, 8, 1, 1), (1, 8, 4, 4), np.ones(24), mask=True)
    assert kernel_calls(IntegerGradients()(module)) == [
        "odt_peak_planes",
        "odt_pack_planes",
        "odt_pack",
        "odt_dot_columns",
        "odt_real_tile_masked",
    ]


def test_an_adjoint_under_its_mask_is_gathered_first():
    shapes = (1, 24, 4, 4), (24, 8, 1, 1), (1, 8, 4, 4)
    module = gradient(*shapes, np.ones(24), mask=True, inner=True)
    first, *_ = kernel_calls(IntegerGradients()(module))
    assert first == "odt_mask_planes"


@pytest.mark.parametrize("strides, size", [((1, 1), 8), ((2, 2), 4), ((1, 3), 3)])
def test_a_depthwise_gradient_is_microkernels(strides, size):
    """With strides, zeros between the adjoints are neither stored nor multiplied."""
    geometry = {"strides": strides, "padding": (2, 2, 2, 2), "groups": 6}
    adjoint = (1, 6, 8 if strides[0] == 1 else size, size)
    module = gradient(adjoint, (6, 1, 5, 5), (1, 6, 8, 8), np.ones(6), mask=True, **geometry)
    apart = strides != (1, 1)
    assert kernel_calls(IntegerGradients()(module)) == [
        "odt_peak_planes",
        "odt_block_plane",
        "odt_taps_phases" if apart else "odt_taps_flipped",
        "odt_window_phases" if apart else "odt_window",
        "odt_real_tile_masked",
    ]
