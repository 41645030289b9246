"""The gradient of cross entropy is one kernel; that of a log-softmax elsewhere is TVM's."""

import numpy as np
import pytest
import tiny
import torch
from gradient_check import check
from tvm import relax

from relay_passes import SparseBackward, lowering
from relay_passes.memory.read_step import read_step
from relay_passes.ops.loss import negative_log_likelihood

SHAPES = {"x": ((1,), "float32"), "target": ((1,), "int32"), "w": ((1, 5), "float32")}


def cross_entropy(emit, _x, target, w):
    return emit(negative_log_likelihood(emit(relax.op.nn.log_softmax(w)), target))


def twice(emit, _x, target, w):
    """A log-softmax that the likelihood is not alone to read."""
    scores = emit(relax.op.nn.log_softmax(w))
    return emit(
        relax.op.add(
            emit(negative_log_likelihood(scores, target)), emit(relax.op.sum(emit(scores * scores)))
        )
    )


def test_one_kernel_takes_the_label_off_the_probabilities():
    step = read_step(lowering()(SparseBackward({"w"})(tiny.module(SHAPES, cross_entropy))))
    kernels = [task.kernel.operators for task in step.tasks]
    assert kernels[-1] == ("ones", "cross_entropy_grad", "sgd_update")
    assert sorted(kernels[:-1]) == [("log_softmax",), ("negative_log_likelihood",)]


@pytest.mark.parametrize("label", [0, 4])
def test_its_bits_are_those_of_the_rules_one_after_the_other(label):
    """``dy - sum(dy) * exp(y)`` with dy = -1 at the label, each operation rounded to float32."""
    logits = np.random.default_rng(label).normal(0, 3, (1, 5)).astype(np.float32)
    target = np.array([label], np.int32)
    step = SparseBackward({"w"})(tiny.module(SHAPES, cross_entropy))
    found = tiny.gradients(step, target=target, w=logits)["w"]
    (scores,) = tiny.run(
        tiny.module({"w": SHAPES["w"]}, lambda emit, w: emit(relax.op.nn.log_softmax(w))), w=logits
    )
    (probabilities,) = tiny.run(
        tiny.module({"y": SHAPES["w"]}, lambda emit, y: emit(relax.op.exp(y))), y=scores
    )
    adjoint = np.where(np.arange(5) == label, np.float32(-1), np.float32(0))[None]
    expected = adjoint - adjoint.sum(dtype=np.float32) * probabilities
    assert found.tobytes() == expected.astype(np.float32).tobytes()


def test_a_log_softmax_without_a_likelihood_behind_it():
    values = np.random.default_rng(0).normal(size=(1, 6))
    check(
        lambda emit, w: emit(relax.op.nn.log_softmax(w)),
        lambda w: torch.log_softmax(w, dim=-1),
        values,
    )


def test_a_log_softmax_with_another_reader():
    logits = np.random.default_rng(1).normal(size=(1, 5)).astype(np.float32)
    step = SparseBackward({"w"})(tiny.module(SHAPES, twice))
    assert "cross_entropy_grad" not in " ".join(tiny.op_names(step))
    found = tiny.gradients(step, target=np.array([2], np.int32), w=logits)["w"]
    tensor = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
    scores = torch.log_softmax(tensor, dim=-1)
    (torch.nn.functional.nll_loss(scores, torch.tensor([2])) + (scores**2).sum()).backward()
    np.testing.assert_allclose(found, tensor.grad.numpy(), rtol=1e-4, atol=1e-5)
