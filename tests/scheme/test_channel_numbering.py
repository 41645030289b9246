"""Renumbered channels: the same function, and trained sets side by side."""

from functools import cache

import numpy as np
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from tvm import relax

from relay_passes.backward.split_parameters import channel_axis
from relay_passes.graph import consumers_of
from relay_passes.ops.channels import ranges_of
from tvm_ondevice_train.model import Model, TensorSpec
from tvm_ondevice_train.scheme.channel_numbering import number_channels

CHANNELS = 8
conv2d, relu = relax.op.nn.conv2d, relax.op.nn.relu


class Net:
    """Layers over one input, their weights given as they come; int8 where `quantized`."""

    def __init__(self, emit, parameters, quantized: bool):
        self.emit, self.parameters, self.quantized = emit, iter(parameters), quantized

    def conv(self, x, groups: int = 1):
        weight, bias = next(self.parameters), next(self.parameters)
        if self.quantized:
            scales = np.linspace(0.01, 0.02, int(weight.ty.shape[0]))
            weight = self.emit(tiny.dequantize(weight, scales))
            bias = self.emit(tiny.dequantize(bias, scales / 10, dtype="int32"))
        padding = int(weight.ty.shape[2]) // 2
        y = self.emit(conv2d(x, weight, padding=padding, groups=groups))
        column = self.emit(relax.op.reshape(bias, (1, -1, 1, 1)))
        return self.codes(self.emit(relax.op.add(y, column)))

    def codes(self, x):
        if not self.quantized:
            return x
        return self.emit(tiny.dequantize(self.emit(tiny.quantize(x, 0.05, 3)), 0.05, 3))


def chain(net, x):
    return net.conv(net.conv(net.conv(x)))


def residual(net, x):
    x = net.conv(x)
    for _ in range(2):
        y = net.conv(net.emit(relu(net.conv(x))))
        x = net.codes(net.emit(relax.op.add(x, y)))
    return net.conv(x)


def ends_in_a_sum(net, x):
    """Its last two layers read and write the numbering of the output."""
    x = net.conv(x)
    return net.codes(net.emit(relax.op.add(x, net.conv(net.conv(x)))))


def depthwise(net, x):
    return net.conv(net.emit(relu(net.conv(net.conv(x), groups=CHANNELS))))


def concatenated(net, x):
    x = net.conv(x)
    both = net.emit(relax.op.concat([net.conv(x), net.conv(x)], 1))
    return net.conv(net.emit(relu(both)))


def squeezed(net, x):
    x = net.conv(x)
    gate = net.conv(net.conv(net.emit(relax.op.mean(x, [2, 3], True))))
    x = net.codes(net.emit(relax.op.multiply(x, net.emit(relax.op.sigmoid(gate)))))
    return net.conv(x)


def flattened(net, x):
    x = net.emit(relax.op.nn.max_pool2d(net.conv(net.conv(x)), (4, 4)))
    flat = net.emit(relax.op.reshape(x, (1, CHANNELS * 4, 1, 1)))
    return net.conv(flat)


def pooled(net, x):
    x = net.emit(relax.op.nn.max_pool2d(net.conv(x), (2, 2)))
    return net.conv(net.emit(relax.op.nn.avg_pool2d(net.conv(x), (2, 2))))


def grouped(net, x):
    return net.conv(net.conv(net.conv(net.conv(x), groups=2)))


def constants(net, x):
    """A constant for each channel, and a scalar."""
    scale = relax.const(np.linspace(0.5, 1.5, CHANNELS, dtype=np.float32).reshape(1, -1, 1, 1))
    x = net.emit(relax.op.multiply(net.conv(x), scale))
    return net.conv(net.emit(relax.op.add(x, relax.const(1.0))))


C = CHANNELS
POINT, WINDOW, PER_CHANNEL = (C, C, 1, 1), (C, C, 3, 3), (C, 1, 3, 3)
NETS = {  # layers -> shapes of the weights w0, w1, ...
    chain: [WINDOW, POINT, WINDOW],
    residual: [WINDOW, POINT, POINT, WINDOW, POINT, POINT],
    ends_in_a_sum: [POINT, WINDOW, POINT],
    depthwise: [POINT, PER_CHANNEL, POINT],
    concatenated: [POINT, POINT, WINDOW, (C, 2 * C, 1, 1)],
    squeezed: [WINDOW, (4, C, 1, 1), (C, 4, 1, 1), POINT],
    flattened: [POINT, POINT, (3, C * 4, 1, 1)],
    pooled: [POINT, WINDOW, POINT],
    grouped: [POINT, (C, C // 2, 3, 3), POINT, POINT],
    constants: [POINT, POINT],
}


@cache
def model_of(layers, quantized: bool = False) -> Model:
    generator = np.random.default_rng(0)
    values = {}
    for index, shape in enumerate(NETS[layers]):
        values[f"w{index}"] = generator.integers(-127, 128, shape)
        values[f"b{index}"] = generator.integers(-99, 99, shape[:1])
    kinds = ("int8", "int32") if quantized else ("float32", "float32")
    values = {n: v.astype(kinds[n[0] == "b"]) for n, v in values.items()}
    if not quantized:
        values = {n: v / np.float32(100) for n, v in values.items()}

    def body(emit, x, *parameters):
        x = emit(tiny.dequantize(x, 0.1, 2)) if quantized else x
        return layers(Net(emit, parameters, quantized), x)

    shape, dtype = (1, C, 5, 5), "int8" if quantized else "float32"
    types = {"x": (shape, dtype)} | {n: (v.shape, str(v.dtype)) for n, v in values.items()}
    module = relax.transform.CanonicalizeBindings()(tiny.module(types, body))  # as `load` has it
    return Model("net", module, values, TensorSpec(shape, dtype))


def forward(model: Model) -> np.ndarray:
    x = np.random.default_rng(1).integers(-128, 128, model.input.shape).astype(model.input.dtype)
    (result,) = tiny.run(model.module, x=x, **model.parameters)
    return result


@cache
def output_of(layers, quantized: bool) -> np.ndarray:
    return forward(model_of(layers, quantized))


def random_subsets(model: Model, seed: int) -> dict[str, tuple[int, ...]]:
    generator = np.random.default_rng(seed)
    function = model.module["main"]
    found = {}
    for parameter in function.params[1:]:
        if parameter.name[0] == "w":
            axis, rows = channel_axis(consumers_of(function), parameter)
            count = int(parameter.ty.shape[axis]) // rows
            chosen = generator.permutation(count)[: generator.integers(1, count)]
            found[parameter.name] = tuple(sorted(chosen.tolist()))
    return found


@pytest.mark.parametrize("quantized", [False, True], ids=["float32", "int8"])
@pytest.mark.parametrize("layers", NETS, ids=lambda layers: layers.__name__)
def test_the_renumbered_model_computes_the_same(layers, quantized):
    model = model_of(layers, quantized)
    channels = random_subsets(model, 5)
    ordered, renumbered, order = number_channels(model, channels)
    expected, found = output_of(layers, quantized), forward(ordered)
    assert order.axes
    if quantized:
        np.testing.assert_array_equal(found, expected)
    else:
        np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max())
    assert {n: len(c) for n, c in renumbered.items()} == {n: len(c) for n, c in channels.items()}


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.sampled_from(list(NETS)), st.integers(0, 1000))
def test_values_are_moved_as_the_order_says_and_ranges_never_grow(layers, seed):
    model = model_of(layers)
    channels = random_subsets(model, seed)
    ordered, renumbered, order = number_channels(model, channels)
    for name, value in model.parameters.items():
        for axis, source in enumerate(order.axes.get(name, ())):
            value = value if source is None else np.take(value, source, axis)
        np.testing.assert_array_equal(ordered.parameters[name], value)
    total = [sum(len(ranges_of(c)) for c in cut.values()) for cut in (channels, renumbered)]
    assert total[1] <= total[0]
    for name, chosen in renumbered.items():
        axis = 0 if NETS[layers][int(name[1:])][1] == 1 else 1
        source = order.axes.get(name, (None, None))[axis]
        original = chosen if source is None else source[list(chosen)]
        assert sorted(original) == list(channels[name])


@pytest.mark.parametrize("layers", NETS, ids=lambda layers: layers.__name__)
def test_the_models_own_input_and_output_keep_their_order(layers):
    model = model_of(layers)
    _, _, order = number_channels(model, random_subsets(model, 1))
    last = len(NETS[layers]) - 1
    assert order.axes.get("w0", (None, None))[1] is None
    assert order.axes.get(f"w{last}", (None, None))[0] is None
    assert f"b{last}" not in order.axes


@pytest.mark.parametrize(
    "layers, name, is_free",
    [
        (chain, "w0", False),  # the model's input
        (chain, "w1", True),
        (residual, "w3", True),
        (ends_in_a_sum, "w1", False),  # the model's output
        (ends_in_a_sum, "w2", True),
        (depthwise, "w1", True),
        (concatenated, "w3", False),  # behind the concat
        (concatenated, "w1", True),
        (squeezed, "w1", True),
        (squeezed, "w2", True),
        (squeezed, "w3", True),
        (flattened, "w2", False),
        (flattened, "w1", True),
        (pooled, "w2", True),
        (grouped, "w1", False),
        (grouped, "w2", False),
        (grouped, "w3", True),
        (constants, "w1", True),
    ],
)
def test_where_channels_can_be_moved_a_set_becomes_one_range_from_0(layers, name, is_free):
    model = model_of(layers)
    channels = {name: (1, 3)}
    ordered, renumbered, order = number_channels(model, channels)
    assert renumbered == ({name: (0, 1)} if is_free else channels)
    assert bool(order.axes) == is_free
    assert (ordered is model) == (not is_free)


@pytest.mark.parametrize(
    "one, other, ranges",
    [
        ((1, 4, 6), (1, 4, 6), [1, 1]),  # the same
        ((1, 4, 6), (4,), [1, 1]),  # nested
        ((1, 4, 6), (4, 6, 7), [1, 1]),  # overlapping
        ((1, 4, 6), (0, 7), [1, 1]),  # disjoint
        ((0, 2, 4, 6), (1, 3, 5, 7), [1, 1]),
    ],
)
def test_two_sets_of_one_space_become_one_range_each(one, other, ranges):
    model = model_of(residual)
    _, renumbered, _ = number_channels(model, {"w1": one, "w3": other})
    assert [len(ranges_of(renumbered[name])) // 2 for name in ("w1", "w3")] == ranges
    assert any(chosen[0] == 0 for chosen in renumbered.values())


@pytest.mark.parametrize("channels", [{}, {"w1": (0, 1, 2)}])
def test_what_is_in_order_is_left_alone(channels):
    model = model_of(chain)
    ordered, renumbered, order = number_channels(model, channels)
    assert ordered is model and renumbered == channels and not order.axes
