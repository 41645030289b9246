"""A cosine head's operators beside PyTorch, and where a vector has no direction."""

import numpy as np
import pytest
import tiny
from gradient_check import check
from tvm import relax

from relay_passes import SparseBackward
from relay_passes.ops.cosine import counted, imprinted, inverse_norm


@pytest.mark.parametrize("shape", [(1, 5, 1, 1), (4, 3, 1, 1), (2, 3, 2)])
def test_inverse_norms_have_the_gradient_of_pytorch(shape):
    values = np.random.default_rng(0).normal(size=shape)
    check(
        lambda emit, x: emit(inverse_norm(x)),
        lambda x: 1 / x.flatten(1).norm(dim=1),
        values,
    )


def test_a_row_of_zeros_has_no_direction_and_no_gradient():
    rows = np.array([[0, 0], [3, 4], [1e-13, 0]], np.float32)
    (found,) = tiny.run(
        tiny.module({"w": (rows.shape, "float32")}, lambda emit, w: emit(inverse_norm(w))), w=rows
    )
    np.testing.assert_array_equal(found, np.array([0, 0.2, 0], np.float32))

    def loss(emit, _x, _target, w):
        return emit(relax.op.sum(emit(inverse_norm(w))))

    leading = {"x": ((1,), "float32"), "target": ((1,), "int32")}
    step = SparseBackward({"w"})(tiny.module({**leading, "w": (rows.shape, "float32")}, loss))
    gradient = tiny.gradients(step, w=rows)["w"]
    np.testing.assert_allclose(gradient, [[0, 0], [-3 / 125, -4 / 125], [0, 0]], rtol=1e-6)


def test_a_row_becomes_the_mean_of_what_it_was_imprinted_from():
    generator = np.random.default_rng(1)
    samples = generator.normal(size=(7, 1, 4, 1, 1)).astype(np.float32)
    labels = [2, 0, 2, 2, 0, 2, 2]
    rows, counts = np.full((3, 4, 1, 1), 9, np.float32), np.zeros(3, np.float32)
    shapes = {"w": (rows.shape, "float32"), "n": ((3,), "float32")}
    shapes |= {"x": (samples[0].shape, "float32"), "label": ((1,), "int32")}
    module = tiny.module(
        shapes,
        lambda emit, w, n, x, label: [emit(imprinted(w, n, x, label)), emit(counted(n, label))],
    )
    for sample, label in zip(samples, labels, strict=True):
        rows, counts = tiny.run(
            module, w=rows, n=counts, x=sample, label=np.array([label], np.int32)
        )
    np.testing.assert_array_equal(counts, [2, 0, 5])
    for label in (0, 2):
        mean = samples[np.equal(labels, label)].astype(np.float64).mean(0)
        np.testing.assert_allclose(rows[label], mean[0], rtol=1e-6, atol=1e-7)
    assert (rows[1] == 9).all()
