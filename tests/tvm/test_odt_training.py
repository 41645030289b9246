"""``relax.get_pipeline("odt_training")``: from a loss function to a step in the virtual machine."""

import pickle

import numpy as np
import pytest
import tvm_user
from tvm import relax
from tvm.script import ir as I
from tvm.script import relax as R

import tvm_ondevice_train.relay  # noqa: F401 - registers the pipeline
from relay_passes.optimizers import Momentum

RATE = np.float32(0.1)


@I.ir_module
class Regression:
    """``sum((relu(x @ w) @ v - target)^2)``."""

    @R.function
    def main(
        x: R.Tensor((2, 3), "float32"),
        target: R.Tensor((2, 1), "float32"),
        w: R.Tensor((3, 4), "float32"),
        v: R.Tensor((4, 1), "float32"),
    ):
        with R.dataflow():
            h = R.nn.relu(R.matmul(x, w))
            error = R.subtract(R.matmul(h, v), target)
            loss = R.sum(R.multiply(error, error))
            R.output(loss)
        return loss


def values():
    generator = np.random.default_rng(0)
    shapes = [(2, 3), (2, 1), (3, 4), (4, 1)]
    return [generator.normal(size=shape).astype(np.float32) for shape in shapes]


def gradients(x, target, w, v):
    """Of w and of v, in float64; and the loss."""
    x, target, w, v = (each.astype(np.float64) for each in (x, target, w, v))
    h = np.maximum(x @ w, 0)
    error = h @ v - target
    return x.T @ (2 * error @ v.T * (h > 0)), h.T @ (2 * error), np.sum(error**2)


def run(arguments, **options):
    pipeline = relax.get_pipeline("odt_training", **options)
    return tvm_user.run(Regression, *arguments, relax_pipeline=pipeline)


def test_a_step_runs_in_the_virtual_machine():
    x, target, w, v = values()
    d_w, d_v, expected = gradients(x, target, w, v)
    loss, new_w, new_v = run([x, target, RATE, np.uint32(0), w, v], scheme=["w", "v"])
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    np.testing.assert_allclose(new_w, w - RATE * d_w, atol=1e-6)
    np.testing.assert_allclose(new_v, v - RATE * d_v, atol=1e-6)


def test_it_takes_what_sparse_backward_takes():
    x, target, w, v = values()
    d_w, _, _ = gradients(x, target, w, v)
    velocity, keeps = np.ones_like(w), np.float32(0.5)
    _, new_w, new_velocity = run(
        [x, target, RATE, np.uint32(0), w, v, keeps, velocity],
        scheme=["w"],
        optimizer=Momentum(momentum=0.5),
    )
    np.testing.assert_allclose(new_velocity, keeps * velocity + d_w, atol=1e-6)
    np.testing.assert_allclose(new_w, w - RATE * (keeps * velocity + d_w), atol=1e-6)


def test_what_it_does_not_take_is_refused():
    with pytest.raises(TypeError, match="schema"):
        relax.get_pipeline("odt_training", schema=["w"])
    with pytest.raises(ValueError, match='there is no parameter "u"'):
        run(values(), scheme=["u"])


def test_it_has_a_name_in_instruments_and_pickles():
    pipeline = pickle.loads(pickle.dumps(relax.get_pipeline("odt_training", scheme=["w"])))
    assert pipeline.info.name == "odt.training_step"
