"""Weights cut into the channels that train and those that do not."""

import numpy as np
import pytest
import tiny
from structure import assert_same, refusal
from tvm import relax

from relay_passes import SplitParameters
from relay_passes.backward.split_parameters import split_values
from relay_passes.ops.channels import merge_channels

CASES = {  # weight, groups, channels, axis, ranges
    "first": ((8, 6, 1, 1), 1, [0, 1], 1, [0, 2]),
    "last": ((8, 6, 3, 3), 1, [4, 5], 1, [4, 6]),
    "between": ((8, 6, 1, 1), 1, [2], 1, [2, 3]),
    "several ranges": ((4, 6, 1, 1), 1, [0, 2, 3, 5], 1, [0, 1, 2, 4, 5, 6]),
    "grouped": ((8, 3, 3, 3), 4, [1, 2], 1, [1, 3]),
    "depthwise": ((6, 1, 3, 3), 6, [1, 4, 5], 0, [1, 2, 4, 6]),
    "depthwise times two": ((8, 1, 3, 3), 4, [0, 2], 0, [0, 2, 4, 6]),
    "one input channel in all": ((6, 2, 3, 3), 1, [1], 1, [1, 2]),
}
SCALE = np.linspace(0.5, 1, 8, dtype=np.float32)


def convolution(weight, groups: int = 1, quantized: bool = False, split=None):
    """``conv2d(x, w)``; split = (axis, ranges): with w put together from "w" and "w.frozen"."""

    def body(emit, x, *parts):
        whole = emit(merge_channels(*parts, split[1], split[0])) if split else parts[0]
        if quantized:
            whole = emit(tiny.dequantize(whole, SCALE[: weight[0]]))
        return emit(relax.op.nn.conv2d(x, whole, groups=groups))

    parts = {"w": list(weight)}
    if split:
        axis, ranges = split
        parts["w.frozen"] = list(weight)
        parts["w"][axis] = sum(ranges[1::2]) - sum(ranges[::2])
        parts["w.frozen"][axis] -= parts["w"][axis]
    dtype = "int8" if quantized else "float32"
    data = {"x": ((1, weight[1] * groups, 4, 4), "float32")}
    return tiny.module({**data, **{name: (s, dtype) for name, s in parts.items()}}, body)


@pytest.mark.parametrize("quantized", [False, True])
@pytest.mark.parametrize("weight, groups, channels, axis, ranges", CASES.values(), ids=CASES)
def test_a_weight_becomes_two(weight, groups, channels, axis, ranges, quantized):
    """Codes are put together before they are decoded: no scale is cut."""
    before = convolution(weight, groups, quantized)
    after = SplitParameters({"w": channels})(before)
    assert_same(after, convolution(weight, groups, quantized, (axis, ranges)))
    assert [p.name for p in after["main"].params] == ["x", "w", "w.frozen"]


@pytest.mark.parametrize("quantized", [False, True])
@pytest.mark.parametrize("weight, groups, channels, axis, ranges", CASES.values(), ids=CASES)
def test_with_the_values_split_alike_nothing_changes(
    weight, groups, channels, axis, ranges, quantized
):
    generator = np.random.default_rng(0)
    x = generator.normal(size=(1, weight[1] * groups, 4, 4)).astype(np.float32)
    w = generator.integers(-128, 128, weight).astype(np.int8 if quantized else np.float32)
    before, split = convolution(weight, groups, quantized), {"w": channels}
    values = split_values(before["main"], {"w": w}, split)
    assert all(value.flags.c_contiguous for value in values.values())
    (expected,) = tiny.run(before, x=x, w=w)
    (found,) = tiny.run(SplitParameters(split)(before), x=x, **values)
    np.testing.assert_array_equal(found, expected)


def two_layers(shared: bool):
    def body(emit, x, w, v):
        return emit(relax.op.nn.conv2d(emit(relax.op.nn.conv2d(x, w)), w if shared else v))

    weight = ((4, 4, 1, 1), "float32")
    return tiny.module({"x": ((1, 4, 2, 2), "float32"), "w": weight, "v": weight}, body)


def test_a_weight_of_two_layers_is_put_together_once():
    names = tiny.op_names(SplitParameters({"w": [0, 3]})(two_layers(shared=True)))
    assert names.count("odt.merge_channels") == 1 and names.count("nn.conv2d") == 2


def test_other_parameters_and_attributes_stay():
    module = two_layers(shared=False).with_attr("author", "me")
    assert_same(SplitParameters({})(module), module)
    after = SplitParameters({"v": [1]})(module)
    assert [p.name for p in after["main"].params] == ["x", "w", "v", "v.frozen"]
    assert after.attrs["author"] == "me"
    (merge,) = [b for b in after["main"].body.blocks[0].bindings if "merge" in str(b.value)]
    assert [arg.name for arg in merge.value.args] == ["v", "v.frozen"]


def test_a_name_that_is_taken_gets_another():
    def body(emit, x, w, _other):
        return emit(relax.op.nn.conv2d(x, w))

    weight = ((4, 4, 1, 1), "float32")
    names = {"x": ((1, 4, 2, 2), "float32"), "w": weight, "w.frozen": weight}
    after = SplitParameters({"w": [1]})(tiny.module(names, body))
    assert [p.name for p in after["main"].params] == ["x", "w", "w.frozen_", "w.frozen"]


NO_WEIGHT = (
    'SplitParameters: "{}" is not the weight of a convolution or fully connected layer; only such '
    "weights train by channel."
)
NOT_ASCENDING = (
    'SplitParameters: channels of "w" must be ascending numbers from 0 to 3, at least one; found '
)


def several_readers(emit, x, w, b):
    column = emit(relax.op.reshape(b, (1, 4, 1, 1)))
    return emit(relax.op.add(emit(relax.op.nn.conv2d(x, w)), column))


def also_added(emit, x, w, _b):
    return emit(relax.op.add(emit(relax.op.nn.conv2d(x, w)), w))


@pytest.mark.parametrize(
    "body, channels, message",
    [
        (several_readers, {"v": [0]}, 'SplitParameters: there is no parameter "v".'),
        (several_readers, {"b": [0]}, NO_WEIGHT.format("b")),
        (several_readers, {"x": [0]}, NO_WEIGHT.format("x")),
        (also_added, {"w": [0]}, NO_WEIGHT.format("w")),
        (also_added, {"b": [0]}, NO_WEIGHT.format("b")),
        (several_readers, {"w": []}, NOT_ASCENDING + "[]."),
        (several_readers, {"w": [0, 4]}, NOT_ASCENDING + "[0, 4]."),
        (several_readers, {"w": [-1, 0]}, NOT_ASCENDING + "[-1, 0]."),
        (several_readers, {"w": [2, 1]}, NOT_ASCENDING + "[2, 1]."),
        (several_readers, {"w": [1, 1]}, NOT_ASCENDING + "[1, 1]."),
        (
            several_readers,
            {"w": range(4)},
            'SplitParameters: all channels of "w" train; nothing to split.',
        ),
    ],
)
def test_refused_input_is_named(body, channels, message):
    types = {"x": ((1, 4, 1, 1), "float32"), "w": ((4, 4, 1, 1), "float32"), "b": ((4,), "float32")}
    assert refusal(SplitParameters(channels), tiny.module(types, body)).endswith(message)
