"""The analytic extra memory against sums by hand and against what was published."""

from dataclasses import astuple
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import tiny
from instruments.extra_memory import ExtraMemory, extra_memory
from shared import shared_path
from tvm import relax

from tvm_ondevice_train import load
from tvm_ondevice_train.fresh_head import replace_head
from tvm_ondevice_train.model import Model, TensorSpec
from tvm_ondevice_train.options import Options
from tvm_ondevice_train.scheme.update_scheme import Channels, UpdateScheme, resolve

SCHEMES = Path(__file__).resolve().parents[1] / "benchmarks/schemes"

# Lin et al. 2022, in KB = 1024 bytes: total, and where known saved inputs, masks, weights, biases
PUBLISHED = {
    "mbv2-w0.35-49kb": (49.8, 5.8, 9.9, 21.9, 12.2),
    "mbv2-w0.35-73kb": (73.9,),
    "mbv2-w0.35-99kb": (99.4, 10.5, 18.0, 54.6, 16.3),
    "mbv2-w0.35-123kb": (123.6,),
    "mbv2-w0.35-138kb": (138.2,),
    "mcunet-5fps-49kb": (49.8, 3.9, 16.1, 11.8, 17.9),
    "mcunet-5fps-74kb": (74.8,),
    "mcunet-5fps-100kb": (99.8, 12.2, 17.7, 51.2, 18.7),
    "mcunet-5fps-124kb": (125.0,),
    "mcunet-5fps-148kb": (148.4,),
    "proxyless-w0.3-49kb": (49.7,),
    "proxyless-w0.3-74kb": (74.9,),
    "proxyless-w0.3-98kb": (98.5,),
    "proxyless-w0.3-120kb": (120.2,),
    "proxyless-w0.3-148kb": (148.2,),
}
BASELINES = {  # of the last 3, 6, 12 and of all layers
    "mbv2-w0.35": (74.2, 129.5, 223.7, 1306),
    "mcunet-5fps": (176.4, 276.3, 448.0, 1400),
    "proxyless-w0.3": (96.5, 139.3, 266.4, 1211),
}


@cache
def published_model(name: str) -> Model:
    return load(shared_path(f"models/mcunet_int8/{name}.onnx"))


def small() -> Model:
    """3x3 convolution, depthwise 3x3 with two outputs a group, 1x1 head on the mean."""
    shapes = {"a.weight": (6, 4, 3, 3), "b.weight": (12, 1, 3, 3), "head.weight": (5, 12, 1, 1)}
    biases = {name.replace("weight", "bias"): shape[:1] for name, shape in shapes.items()}
    shapes |= biases

    def body(emit, x, a, b, head, *columns):
        op = relax.op

        def layer(data, weight, bias, **attrs):
            column = emit(op.reshape(bias, (1, -1, 1, 1)))
            return emit(op.add(emit(op.nn.conv2d(data, weight, **attrs)), column))

        x = layer(x, a, columns[0])  # 10 x 9 -> 8 x 7
        x = layer(x, b, columns[1], groups=6, strides=2)  # -> 3 x 3
        return layer(emit(op.mean(x, [2, 3], True)), head, columns[2])

    types = {name: (shape, "float32") for name, shape in shapes.items()}
    module = tiny.module({"x": ((1, 4, 10, 9), "float32"), **types}, body)
    values = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    return Model("net", module, values, TensorSpec((1, 4, 10, 9), "float32"))


@pytest.mark.parametrize(
    "parameters, head, expected",
    [
        ({}, True, (12, 0, 0, 0)),  # the head's input alone; its parameters are no extra
        ({"b.bias": "all"}, False, (0, 14, 0, 48)),  # 108 bits
        ({"a.bias": "all", "b.bias": "all"}, True, (12, 42 + 14, 0, 72)),
        ({"a.weight": "all"}, False, (360, 0, 216, 0)),
        ({"a.weight": Channels(count=3)}, False, (270, 0, 162, 0)),
        ({"b.weight": "all"}, False, (336, 0, 108, 0)),
        ({"b.weight": Channels(indices=[0, 5])}, False, (112, 0, 36, 0)),
        ({"b.weight": Channels(ratio=1), "b.bias": "frozen"}, False, (336, 0, 108, 0)),
        ({"head.weight": Channels(ratio=0.5)}, False, (6, 0, 0, 0)),
    ],
)
def test_the_sums_by_hand(parameters, head, expected):
    memory = extra_memory(small(), UpdateScheme(parameters, head))
    assert memory == ExtraMemory(*expected)
    assert memory.total_bytes == sum(expected)


def test_a_weight_of_two_layers_is_kept_once_and_its_inputs_twice():
    def body(emit, x, w, head):
        for weight in (w, w, head):
            x = emit(relax.op.nn.conv2d(x, weight))
        return x

    values = {"w": np.ones((2, 2, 3, 3), np.float32), "head": np.ones((2, 2, 1, 1), np.float32)}
    types = {name: (value.shape, "float32") for name, value in values.items()}
    module = tiny.module({"x": ((1, 2, 8, 8), "float32"), **types}, body)
    model = Model("net", module, values, TensorSpec((1, 2, 8, 8), "float32"))
    assert extra_memory(model, "full") == ExtraMemory(2 * (64 + 36 + 16), 0, 36, 0)


def test_every_published_scheme_has_its_file():
    assert {path.stem for path in SCHEMES.iterdir()} == PUBLISHED.keys()


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_schemes_give_the_published_memory(name):
    network = name.rpartition("-")[0]
    model = published_model(f"{network}-c17")
    memory = extra_memory(model, SCHEMES / f"{name}.json")
    found = np.array([memory.total_bytes, *astuple(memory)]) / 1024
    published = PUBLISHED[name]
    np.testing.assert_allclose(found[: len(published)], published, rtol=0, atol=0.0501)


@pytest.mark.parametrize("network", BASELINES)
def test_baselines_give_the_published_memory(network):
    model = published_model(f"{network}-c17")
    found = [
        extra_memory(model, spec).total_bytes / 1024 for spec in ("last:3", "last:6", "last:12")
    ]
    np.testing.assert_allclose(found, BASELINES[network][:3], rtol=0, atol=0.0501)
    assert round(extra_memory(model, "full").total_bytes / 1024) == BASELINES[network][3]


@pytest.mark.parametrize("network", BASELINES)
def test_published_schemes_serve_any_head(network):
    """The same for the model's own classifier, for a fresh head, and where its name is taken."""
    own, float_head = published_model(network), published_model(f"{network}-c17")
    heads = {
        "classifier": own,
        "head": replace_head(own, Options(classes=10)),
        "new_head": replace_head(float_head, Options(classes=9)),
    }
    for path in SCHEMES.glob(f"{network}-*.json"):
        schemes = {head: resolve(path, model.layers) for head, model in heads.items()}
        for head, scheme in schemes.items():
            assert scheme.trained[-2:] == (f"{head}.weight", f"{head}.bias")
        assert len({scheme.trained[:-2] for scheme in schemes.values()}) == 1
        assert len({extra_memory(heads[h], schemes[h]) for h in heads}) == 1
