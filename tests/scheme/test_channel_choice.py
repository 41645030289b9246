"""Which channels a scheme's subsets mean for a model's weights."""

import json
from functools import cache

import numpy as np
import pytest
import tiny
from shared import shared_path
from tvm import relax

from tvm_ondevice_train import load
from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.model import Model, TensorSpec
from tvm_ondevice_train.scheme.channel_choice import ChannelAxis, channel_axis, choose_channels
from tvm_ondevice_train.scheme.update_scheme import Channels, UpdateScheme, resolve

NORMS = [1, 9, 5, 9, 3, 9]  # of a weight with six input channels


def convolution(weight, groups: int = 1, scale=None, readers: int = 1) -> Model:
    """``readers`` convolutions in a row, all with weight "w"; int8 where there is a `scale`."""
    shape = (1, weight.shape[1] * groups, 3, 3)

    def body(emit, x, w):
        w = w if scale is None else emit(tiny.dequantize(w, scale))
        for _ in range(readers):
            x = emit(relax.op.nn.conv2d(x, w, groups=groups))
        return x

    weight = np.asarray(weight, np.float32 if scale is None else np.int8)
    values = {"w": weight}
    types = {"x": (shape, "float32"), "w": (weight.shape, str(weight.dtype))}
    return Model("net", tiny.module(types, body), values, TensorSpec(shape, "float32"))


def dense(norms, outputs: int = 2) -> np.ndarray:
    """A 1x1 weight with these norms of its input channels, of either sign."""
    rows = np.outer(np.resize([1, -1], outputs), norms) / np.sqrt(outputs)
    return rows[:, :, None, None]


def chosen(model: Model, **choice) -> tuple[int, ...] | None:
    scheme = resolve(UpdateScheme({"w": Channels(**choice)}), model.layers)
    return choose_channels(scheme, model).get("w")


@pytest.mark.parametrize(
    "choice, expected",
    [
        ({"count": 1}, (1,)),  # of equal norms the first channel
        ({"count": 2}, (1, 3)),
        ({"count": 4}, (1, 2, 3, 5)),
        ({"count": 2, "rule": "first"}, (0, 1)),
        ({"indices": [5, 0]}, (0, 5)),
        ({"indices": range(6)}, None),  # all of them: the scheme might as well say "all"
        ({"count": 6}, None),
        ({"ratio": 1}, None),
        ({"ratio": 0.99}, None),
        ({"ratio": 1 / 3}, (1, 3)),
        ({"ratio": 1e-9}, (1,)),
        ({"ratio": 0.25}, (1, 3)),  # 1.5
        ({"ratio": 0.75}, (1, 2, 3, 5)),  # 4.5
    ],
)
def test_a_choice_of_channels(choice, expected):
    assert chosen(convolution(dense(NORMS)), **choice) == expected


def test_a_random_choice_is_the_seed_s():
    model = convolution(dense([1] * 64))
    drawn = [chosen(model, count=9, rule="random", seed=seed) for seed in range(20)]
    assert drawn == [chosen(model, count=9, rule="random", seed=seed) for seed in range(20)]
    assert len(set(drawn)) == 20
    assert all(len(set(d)) == 9 and list(d) == sorted(d) for d in drawn)
    assert len(set().union(*drawn)) > 56
    assert drawn[0] == (15, 25, 35, 40, 43, 46, 48, 52, 56)  # a saved scheme keeps its meaning


def test_the_norm_is_that_of_the_codes():
    weight = np.array([[[[100]], [[3]]], [[[0]], [[99]]]])
    for scale in (0.1, [1e-6, 1.0]):
        assert chosen(convolution(weight, scale=scale), count=1) == (0,)


@pytest.mark.parametrize(
    "shape, groups, expected",
    [
        ((8, 6, 3, 3), 1, ChannelAxis(axis=1, channels=6, rows=1, groups=1)),
        ((8, 1, 3, 3), 1, ChannelAxis(axis=1, channels=1, rows=1, groups=1)),
        ((8, 3, 3, 3), 4, ChannelAxis(axis=1, channels=3, rows=1, groups=4)),
        ((8, 1, 3, 3), 8, ChannelAxis(axis=0, channels=8, rows=1, groups=8)),
        ((8, 1, 3, 3), 4, ChannelAxis(axis=0, channels=4, rows=2, groups=4)),
    ],
)
def test_where_the_channels_are(shape, groups, expected):
    assert channel_axis(convolution(np.ones(shape), groups), "w") == expected


@pytest.mark.parametrize(
    "rows, groups, expected",
    [
        ([[1], [4], [3], [2]], 4, (1, 2)),
        ([[1], [3], [3], [3], [2], [2], [4], [0]], 4, (1, 3)),  # norms 10, 18, 8, 16
        ([[1, 2, 3], [1, 0, 2]], 2, (1, 2)),
    ],
)
def test_the_norm_of_a_grouped_convolution(rows, groups, expected):
    assert chosen(convolution(np.array(rows)[:, :, None, None], groups), count=2) == expected


def test_a_weight_of_two_layers_is_chosen_from_once():
    model = convolution(dense(NORMS, outputs=6), readers=2)
    assert [layer.weight for layer in model.layers] == ["w", "w"]
    assert chosen(model, count=3) == (1, 3, 5)


def test_only_subsets_are_listed():
    model = tiny.network()
    parts = {"conv.weight": Channels(count=1), "conv.bias": "all", "head.weight": "frozen"}
    scheme = UpdateScheme({**parts, "head.bias": "all"})
    assert list(choose_channels(resolve(scheme, model.layers), model)) == ["conv.weight"]
    assert choose_channels(resolve("full", model.layers), model) == {}


@pytest.mark.parametrize("groups, weight", [(1, dense(NORMS)), (6, np.ones((12, 1, 1, 1)))])
@pytest.mark.parametrize(
    "choice, message",
    [
        ({"indices": [0, 6]}, "channel 6 is out of range"),
        ({"indices": [10**30]}, "channel 1000000.* is out of range"),
        ({"count": 7}, "count 7 is out of range"),
    ],
)
def test_channels_that_a_weight_lacks_are_refused(groups, weight, choice, message):
    message = f'parameter "w": {message}; the weight has 6 channels, 0 to 5'
    with pytest.raises(OdtError, match=message):
        chosen(convolution(weight, groups), **choice)


def test_a_weight_with_another_reader_is_refused():
    def body(emit, x, w):
        return emit(relax.op.add(emit(relax.op.nn.conv2d(x, w)), w))

    types = {"x": ((1, 2, 1, 1), "float32"), "w": ((2, 2, 1, 1), "float32")}
    spec, values = TensorSpec((1, 2, 1, 1), "float32"), {"w": np.ones((2, 2, 1, 1), np.float32)}
    model = Model("net", tiny.module(types, body), values, spec)
    with pytest.raises(OdtError, match='parameter "w" is not only the weight of convolutions'):
        chosen(model, count=1)


@cache
def mcunet() -> Model:
    return load(shared_path("models/mcunet_int8/mcunet-5fps-c17.onnx"))


def test_the_released_code_chooses_the_same_channels():
    index = json.loads(shared_path("models/mcunet_int8/layer_index.json").read_text())
    listed = index["mcunet_100KB_scheme_input_channels_by_weight_norm"]
    ratios = {"36 blocks.12.conv1": 0.125, "39 blocks.13.conv1": 0.25}
    assert listed.keys() == ratios.keys()
    parts = {f"{k.split()[1]}.weight": Channels(ratio=r) for k, r in ratios.items()}
    found = choose_channels(UpdateScheme(parts), mcunet())
    assert found == {f"{k.split()[1]}.weight": tuple(c) for k, c in listed.items()}
