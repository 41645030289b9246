"""The loss: what it adds to a model, and what it refuses."""

import numpy as np
import pytest
import tiny
from tvm import relax

from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.model import Model, TensorSpec
from tvm_ondevice_train.training_graph import loss_module


def model_of(body, shape=(1, 4), **values) -> Model:
    types = {n: (v.shape, str(v.dtype)) for n, v in values.items()}
    module = tiny.module({"x": (shape, "float32"), **types}, body)
    return Model("net", module, values, TensorSpec(shape, "float32"))


def without_layers(emit, x):
    return emit(relax.op.nn.relu(x))


def softmax_last(emit, x):
    return emit(relax.op.nn.softmax(x))


def channels_last(emit, x, w):
    y = emit(relax.op.nn.conv2d(emit(relax.op.permute_dims(x, [0, 3, 1, 2])), w))
    return emit(relax.op.permute_dims(y, [0, 2, 3, 1]))


WEIGHT = np.ones((2, 1, 1, 1), np.float32)


@pytest.mark.parametrize(
    "model, loss, message",
    [
        (tiny.network(), "hinge", 'unknown loss "hinge"; known are cross_entropy, bce'),
        (model_of(without_layers, (1, 1)), "cross_entropy", r"found \(1, 1\)"),
        (model_of(without_layers, (1, 2, 3)), "cross_entropy", r"found \(1, 2, 3\)"),
        (model_of(softmax_last), "bce", "ends in a softmax; use cross_entropy"),
        (
            model_of(channels_last, (1, 3, 3, 1), w=WEIGHT),
            "cross_entropy",
            r"maps have channels last, \(1, 3, 3, 2\); cross_entropy of a map takes",
        ),
    ],
)
def test_a_loss_that_does_not_fit_the_output(model, loss, message):
    with pytest.raises(OdtError, match=message):
        loss_module(model, loss)


def test_values_of_the_losses():
    logits = np.array([[1.0, -2.0, 0.5, 3.0]], np.float32)

    def identity(emit, x):
        return emit(relax.op.multiply(x, relax.const(1.0)))

    model = model_of(identity)
    (entropy,) = tiny.run(
        loss_module(model, "cross_entropy"), x=logits, target=np.array([2], np.int32)
    )
    expected = np.log(np.exp(logits.astype(float)).sum()) - 0.5
    np.testing.assert_allclose(entropy, expected, rtol=1e-6)
    target = np.array([[0.0, 1.0, 2.0, 3.0]], np.float32)
    (squares,) = tiny.run(loss_module(model, "mse"), x=logits, target=target)
    np.testing.assert_allclose(squares, ((logits - target) ** 2).mean(), rtol=1e-6)
