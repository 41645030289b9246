"""Every gradient rule of ours against central differences and PyTorch's autograd."""

import numpy as np
import pytest
import tiny
import torch
from gradient_check import check, close, compute
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tvm import relax

from relay_passes import SparseBackward
from relay_passes.backward.split_parameters import split_values
from relay_passes.ops.loss import negative_log_likelihood

few_examples = settings(max_examples=10, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)


@st.composite
def convolutions(draw):
    """Shapes and attributes of a convolution whose output is not empty."""
    kernel = [draw(st.integers(1, 3)) for _ in range(2)]
    dilation = [draw(st.integers(1, 2)) for _ in range(2)]
    groups = draw(st.integers(1, 3))
    inputs, outputs = (groups * draw(st.integers(1, 2)) for _ in range(2))
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    size = [r + draw(st.integers(0, 3)) for r in reach]
    padding = [draw(st.integers(0, r - 1)) for r in (*reach, *reach)]
    strides = [draw(st.integers(1, 3)) for _ in range(2)]
    attrs = {"strides": strides, "padding": padding, "dilation": dilation, "groups": groups}
    return (1, inputs, *size), (outputs, inputs // groups, *kernel), attrs


def check_convolution(data_shape, weight_shape, attrs, seed=0):
    top, left, bottom, right = attrs["padding"]

    def reference(x, w):
        x = torch.nn.functional.pad(x, (left, right, top, bottom))
        options = {"stride": attrs["strides"], "dilation": attrs["dilation"]}
        return torch.nn.functional.conv2d(x, w, groups=attrs["groups"], **options)

    generator = np.random.default_rng(seed)
    arrays = [generator.normal(size=shape) for shape in (data_shape, weight_shape)]
    check(lambda emit, x, w: emit(relax.op.nn.conv2d(x, w, **attrs)), reference, *arrays)


@few_examples
@given(convolutions(), seeds)
def test_conv2d(convolution, seed):
    check_convolution(*convolution, seed)


@pytest.mark.parametrize(
    "data, weight, attrs",
    [
        ((1, 3, 5, 5), (3, 1, 3, 3), {"strides": [2, 2], "padding": [0, 0, 1, 1], "groups": 3}),
        ((1, 2, 4, 5), (6, 1, 2, 3), {"strides": [1, 2], "padding": [1, 0, 0, 2], "groups": 2}),
        ((1, 5, 1, 1), (3, 5, 1, 1), {"strides": [1, 1], "padding": [0, 0, 0, 0], "groups": 1}),
        ((1, 1, 7, 7), (2, 1, 2, 2), {"strides": [3, 3], "padding": [0, 0, 0, 0], "groups": 1}),
        ((1, 2, 3, 3), (2, 2, 3, 3), {"strides": [1, 1], "padding": [2, 2, 2, 2], "groups": 1}),
    ],
    ids=["depthwise as TFLite pads", "two a group", "dense", "pixels nobody reads", "wide rim"],
)
def test_conv2d_corner(data, weight, attrs):
    check_convolution(data, weight, {**attrs, "dilation": [1, 1]})


@few_examples
@given(convolutions(), st.sets(st.integers(0, 5), min_size=1), seeds)
def test_a_slice_of_a_weights_gradient(convolution, chosen, seed):
    """Of groups with one input channel it is rows, else columns."""
    data_shape, weight_shape, attrs = convolution
    groups = attrs["groups"]
    axis, rows = (0, weight_shape[0] // groups) if weight_shape[1] == 1 < groups else (1, 1)
    channels = sorted(c for c in chosen if c < weight_shape[axis] // rows)
    assume(0 < len(channels) < weight_shape[axis] // rows)

    def body(emit, x, target, w):
        y = emit(relax.op.nn.conv2d(x, w, **attrs))
        return emit(relax.op.sum(emit(relax.op.multiply(y, target))))

    types = {"x": (data_shape, "float32"), "target": ((1,), "float32")}
    module = tiny.module({**types, "w": (weight_shape, "float32")}, body)
    generator = np.random.default_rng(seed)
    x, w = (generator.normal(size=s).astype(np.float32) for s in (data_shape, weight_shape))
    target, split = np.ones(1, np.float32), {"w": channels}
    parts = split_values(module["main"], {"w": w}, split)
    (whole,) = tiny.gradients(SparseBackward({"w"})(module), x=x, target=target, w=w).values()
    (found,) = tiny.gradients(SparseBackward(split)(module), x=x, target=target, **parts).values()
    kept = [c * rows + r for c in channels for r in range(rows)]
    np.testing.assert_array_equal(found, np.take(whole, kept, axis))


@st.composite
def poolings(draw):
    """A shape and the attributes of a max pool of which no window lies in the padding alone."""
    pool = [draw(st.integers(1, 3)) for _ in range(2)]
    dilation = [draw(st.integers(1, 2)) for _ in range(2)]
    reach = [(p - 1) * d + 1 for p, d in zip(pool, dilation, strict=True)]
    size = [r + draw(st.integers(0, 3)) for r in reach]
    padding = [draw(st.integers(0, (p - 1) // 2)) for p in (*pool, *pool)]
    strides = [draw(st.integers(1, 3)) for _ in range(2)]
    attrs = {"strides": strides, "padding": padding, "dilation": dilation}
    return (1, draw(st.integers(1, 3)), *size), {"pool_size": pool, **attrs}


def max_pool(x, attrs):
    top, left, bottom, right = attrs["padding"]
    x = torch.nn.functional.pad(x, (left, right, top, bottom), value=-torch.inf)
    options = {"stride": attrs["strides"], "dilation": attrs["dilation"]}
    return torch.nn.functional.max_pool2d(x, attrs["pool_size"], **options)


@few_examples
@given(poolings(), seeds)
def test_max_pool2d(pooling, seed):
    shape, attrs = pooling
    values = np.random.default_rng(seed).permutation(np.prod(shape)).reshape(shape)  # no ties

    check(
        lambda emit, x: emit(relax.op.nn.max_pool2d(x, **attrs)),
        lambda x: max_pool(x, attrs),
        values / 16 - 2,
    )


@few_examples
@given(poolings(), seeds)
def test_max_pool2d_of_codes_gives_ties_to_the_first_as_pytorch_does(pooling, seed):
    shape, attrs = pooling
    values = np.random.default_rng(seed).integers(-130, -124, shape) * 0.5

    def operator(emit, x):
        codes = emit(tiny.quantize(x, 0.5))
        return emit(tiny.dequantize(emit(relax.op.nn.max_pool2d(codes, **attrs)), 0.5))

    def reference(x):
        codes = torch.fake_quantize_per_tensor_affine(x.to(torch.float32), 0.5, 0, -128, 127)
        return max_pool(codes, attrs)

    check(operator, reference, values, differences=False)


@few_examples
@given(poolings(), seeds, st.booleans())
def test_avg_pool2d(pooling, seed, count_include_pad):
    shape, attrs = pooling
    attrs = {**attrs, "dilation": [1, 1], "padding": attrs["padding"][:2] * 2}
    attrs["count_include_pad"] = count_include_pad

    def reference(x):
        options = {"stride": attrs["strides"], "padding": attrs["padding"][:2]}
        options["count_include_pad"] = count_include_pad
        return torch.nn.functional.avg_pool2d(x, attrs["pool_size"], **options)

    values = np.random.default_rng(seed).normal(size=shape)
    check(lambda emit, x: emit(relax.op.nn.avg_pool2d(x, **attrs)), reference, values)


@pytest.mark.parametrize("label", [0, 2, 4])
def test_cross_entropy(label):
    logits = np.array([[1.0, -2.0, 3.0, 0.5, -9.0]], np.float32)

    def body(emit, _x, target, w):
        return emit(negative_log_likelihood(emit(relax.op.nn.log_softmax(w)), target))

    parameters = {"x": ((1,), "float32"), "target": ((1,), "int32"), "w": ((1, 5), "float32")}
    step = SparseBackward({"w"})(tiny.module(parameters, body))
    computed = tiny.gradients(step, target=np.array([label], np.int32), w=logits)
    tensor = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
    torch.nn.functional.cross_entropy(tensor, torch.tensor([label])).backward()
    close(computed["w"], tensor.grad.numpy())


def away_from(points, shape, seed):
    """Random numbers at least 0.01 away from each of `points`, where a rule has a kink."""
    values = np.random.default_rng(seed).uniform(-3, 3, shape)
    for point in points:
        near = np.abs(values - point) < 0.01
        values = np.where(near, point + 0.02, values)
    return values


shapes = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)


@few_examples
@given(shapes, seeds)
def test_relu(shape, seed):
    check(lambda emit, x: emit(relax.op.nn.relu(x)), torch.relu, away_from([0], shape, seed))


@few_examples
@given(shapes, seeds, st.floats(-2, 0, width=16), st.floats(0.5, 2, width=16))
def test_clip(shape, seed, low, high):
    check(
        lambda emit, x: emit(relax.op.clip(x, low, high)),
        lambda x: torch.clamp(x, low, high),
        away_from([low, high], shape, seed),
    )


@pytest.mark.parametrize(
    "operator, reference",
    [
        (relax.op.erf, torch.erf),
        (relax.op.nn.gelu, torch.nn.functional.gelu),
        (
            relax.op.nn.gelu_tanh,
            lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
        ),
        (relax.op.nn.softplus, torch.nn.functional.softplus),
    ],
    ids=["erf", "gelu", "gelu_tanh", "softplus"],
)
@few_examples
@given(shapes, seeds)
def test_smooth_activations(operator, reference, shape, seed):
    values = np.random.default_rng(seed).uniform(-5, 5, shape)
    check(lambda emit, x: emit(operator(x)), reference, values)


@pytest.mark.parametrize("shape", [(1, 3, 4, 5), (1, 3, 4), (1, 3)])
@pytest.mark.parametrize("slopes", [(3,), (1,)], ids=["a slope a channel", "one slope"])
def test_prelu_and_its_slopes(shape, slopes):
    values = away_from([0], shape, 0), np.random.default_rng(1).normal(size=slopes)
    check(lambda emit, x, w: emit(relax.op.nn.prelu(x, w, 1)), torch.nn.functional.prelu, *values)


def test_at_a_kink_prelu_passes_the_slope_as_pytorch_does():
    points = np.array([[-1.0, -0.0, 0.0, 1e-30]])
    slope = np.array([0.3])
    check(
        lambda emit, x, w: emit(relax.op.nn.prelu(x, w, 1)),
        torch.nn.functional.prelu,
        *(points, slope),
        differences=False,
    )


@pytest.mark.parametrize(
    "operator, reference",
    [
        (relax.op.nn.relu, torch.relu),
        (lambda x: relax.op.clip(x, 0.0, 6.0), lambda x: torch.clamp(x, 0.0, 6.0)),
    ],
    ids=["relu", "clip"],
)
def test_at_a_kink_the_gradient_is_that_of_pytorch(operator, reference):
    points = np.array([-1.0, -0.0, 0.0, 1e-30, 1.0, 6.0, 6.0000005, 7.0])
    check(lambda emit, x: emit(operator(x)), reference, points, differences=False)


@few_examples
@given(shapes, seeds, st.sampled_from([0.5, 0.1, 0.0123]), st.integers(-128, 127))
def test_straight_through_is_that_of_pytorchs_fake_quantization(shape, seed, scale, zero_point):
    span = 200 * scale  # beyond both ends of int8 whatever the zero point
    values = np.random.default_rng(seed).uniform(-span, span, shape)
    scale = float(np.float32(scale))

    def fake_quantize(x):
        single = x.to(torch.float32)
        return torch.fake_quantize_per_tensor_affine(single, scale, zero_point, -128, 127)

    def operator(emit, x):
        return emit(tiny.dequantize(emit(tiny.quantize(x, scale, zero_point)), scale, zero_point))

    check(operator, fake_quantize, values, differences=False)


@pytest.mark.parametrize("zero_point", [-128, 0, 127])
def test_straight_through_at_the_last_codes(zero_point):
    """Half a code beyond the last one rounds to even: it passes exactly where that is a code."""
    codes = np.array([-129, -128.5, -128.4, -128, 0, 127, 127.4, 127.5, 128]) - zero_point
    computed = compute(
        lambda emit, x: emit(
            tiny.dequantize(emit(tiny.quantize(x, 0.5, zero_point)), 0.5, zero_point)
        ),
        ["p0"],
        [(codes * 0.5).astype(np.float32)],
        np.ones(codes.shape, np.float32),
    )
    inside = np.abs(np.rint(codes) + zero_point + 0.5) <= 127.5
    np.testing.assert_array_equal(computed["p0"], inside)


def test_codes_of_a_parameter_get_the_gradient_of_the_real_value():
    """No scale is multiplied in: the update divides by it once, as the paper's scaling does."""

    def body(emit, _x, target, w):
        return emit(relax.op.sum(emit(relax.op.multiply(emit(tiny.dequantize(w, 0.01)), target))))

    row = ((1, 3), "float32")
    module = tiny.module({"x": row, "target": row, "w": ((1, 3), "int8")}, body)
    target = np.array([[1.0, -2.0, 3.0]], np.float32)
    step = SparseBackward({"w"})(module)
    computed = tiny.gradients(step, x=target, target=target, w=np.array([[1, -128, 127]], np.int8))
    np.testing.assert_array_equal(computed["w"], target)


@few_examples
@given(seeds, st.booleans())
def test_a_residual_block_as_a_whole(seed, trained_skip):
    """Fan-out, masks and both gradients of a convolution together."""
    generator = np.random.default_rng(seed)
    arrays = [generator.normal(size=s) for s in ((1, 2, 5, 4), (2, 2, 3, 3), (2, 1, 3, 3))]

    def operator(emit, x, w, v):
        hidden = emit(relax.op.nn.relu(emit(relax.op.nn.conv2d(x, w, padding=1))))
        branch = emit(relax.op.nn.conv2d(hidden, v, padding=1, groups=2))
        return emit(relax.op.add(branch, x if trained_skip else hidden))

    def reference(x, w, v):
        hidden = torch.relu(torch.nn.functional.conv2d(x, w, padding=1))
        branch = torch.nn.functional.conv2d(hidden, v, padding=1, groups=2)
        return branch + (x if trained_skip else hidden)

    check(operator, reference, *arrays, differences=False)
