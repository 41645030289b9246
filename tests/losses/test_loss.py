"""Losses as values: targets, refusals, graphs."""

import numpy as np
import pytest
import tiny
import torch
from torch.nn import functional
from tvm import relax

from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.losses import CROSS_ENTROPY, LOSSES, MSE, Loss, loss_of
from tvm_ondevice_train.losses.loss import LABEL, VALUES


def test_losses_by_name():
    assert LOSSES == {"cross_entropy": CROSS_ENTROPY, "mse": MSE}
    assert loss_of("mse") is MSE and loss_of(CROSS_ENTROPY) is CROSS_ENTROPY
    with pytest.raises(OdtError, match='unknown loss "hinge"; known are cross_entropy, mse'):
        loss_of("hinge")


@pytest.mark.parametrize("loss", LOSSES.values(), ids=lambda loss: loss.name)
def test_the_target_is_of_its_kind(loss: Loss):
    expected = {LABEL: ((1,), "int32"), VALUES: ((1, 5), "float32")}
    assert loss.target_of((1, 5)) == expected[loss.target]


@pytest.mark.parametrize("shape, is_one", [((1, 2), True), ((1, 1), False), ((1, 3, 4), False)])
def test_cross_entropy_wants_classes(shape, is_one):
    assert (CROSS_ENTROPY.refusal(shape) is None) == is_one
    assert MSE.refusal(shape) is None


REFERENCES = {"cross_entropy": functional.cross_entropy, "mse": functional.mse_loss}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=lambda loss: loss.name)
def test_the_graph_is_pytorchs_loss(loss: Loss):
    generator = np.random.default_rng(0)
    output = generator.normal(size=(1, 5)).astype(np.float32)
    shape, dtype = loss.target_of(output.shape)
    target = (3 * np.ones(shape) if loss.target == LABEL else generator.normal(size=shape)).astype(
        dtype
    )

    def body(emit, x, y):
        return loss.graph(emit, x, y)

    module = tiny.module({"x": (output.shape, "float32"), "y": (shape, dtype)}, body)
    (found,) = tiny.run(module, x=output, y=target)
    wanted = torch.tensor(target).long() if loss.target == LABEL else torch.tensor(target)
    expected = REFERENCES[loss.name](torch.tensor(output), wanted).item()
    assert module["main"].ret_ty == relax.TensorType((), "float32")
    assert found == pytest.approx(expected, rel=1e-6)
