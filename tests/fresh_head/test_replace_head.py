"""A fresh head in place of a classifier: its layer, its size, and what has none to replace."""

import numpy as np
import pytest
import tiny
from tvm import relax

from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.fresh_head import replace_head
from tvm_ondevice_train.model import Model, TensorSpec
from tvm_ondevice_train.options import Options


def model_of(body, shape=(1, 4), **values) -> Model:
    types = {n: (v.shape, str(v.dtype)) for n, v in values.items()}
    module = tiny.module({"x": (shape, "float32"), **types}, body)
    return Model("net", module, values, TensorSpec(shape, "float32"))


def without_layers(emit, x):
    return emit(relax.op.nn.relu(x))


def map_output(emit, x, w):
    return emit(relax.op.nn.conv2d(x, w))


def activation_last(emit, x, w):
    return emit(relax.op.tanh(emit(relax.op.nn.conv2d(x, w))))


WEIGHT = np.ones((2, 1, 1, 1), np.float32)


@pytest.mark.parametrize("quantized", [False, True])
def test_a_fresh_head_replaces_the_classifier_alone(quantized):
    model = tiny.network(quantized, names=("conv", "old"))
    changed = replace_head(model, Options(classes=7, seed=3))
    assert changed.output_shape == (1, 7)
    assert list(changed.parameters) == ["conv.weight", "conv.bias", "head.weight", "head.bias"]
    assert changed.parameters["head.weight"].shape == (7, 4, 1, 1)
    assert changed.parameters["head.weight"].dtype == np.float32
    assert not changed.parameters["head.bias"].any()
    assert [layer.name for layer in changed.layers] == ["conv", "head"]
    for name in ("conv.weight", "conv.bias"):
        np.testing.assert_array_equal(changed.parameters[name], model.parameters[name])
    again, other = (
        replace_head(model, Options(classes=7, seed=3)),
        replace_head(model, Options(classes=7, seed=4)),
    )
    weights = [m.parameters["head.weight"] for m in (changed, again, other)]
    assert (weights[0] == weights[1]).all() and (weights[0] != weights[2]).any()


def test_a_head_whose_name_is_taken_gets_another():
    changed = replace_head(tiny.network(names=("head", "old")), Options(classes=2))
    assert [layer.name for layer in changed.layers] == ["head", "new_head"]


@pytest.mark.parametrize(
    ("classes", "board", "limit"),
    [(60_000, "mps2-an500", "262,144"), (65_536, "host", "1,000")],
)
def test_a_head_that_no_memory_holds_is_refused_before_it_is_made(classes, board, limit):
    options = Options(classes=classes, board=board, sram_bytes=1000 if board == "host" else None)
    with pytest.raises(OdtError, match=f"has .* bytes, more than the {limit} of {board}"):
        replace_head(tiny.network(), options)


@pytest.mark.parametrize("classes", [1, 0, -3, True, 2.0, "2"])
def test_too_few_classes_or_no_number(classes):
    with pytest.raises(OdtError, match="a classifier needs an integer from 2 to 65,536"):
        replace_head(tiny.network(), Options(classes=classes))


@pytest.mark.parametrize(
    "model, message",
    [
        (model_of(without_layers), "there is no classifier layer"),
        (model_of(map_output, (1, 1, 3, 3), w=WEIGHT), r"a map of shape \(1, 2, 3, 3\)"),
        (model_of(activation_last, (1, 1, 1, 1), w=WEIGHT), "relax.tanh follows the last layer"),
    ],
)
def test_a_model_without_classifier(model, message):
    with pytest.raises(OdtError, match=message):
        replace_head(model, Options(classes=5))
