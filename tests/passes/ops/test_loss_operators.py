"""The gradient of cross entropy is one kernel; that of a log-softmax elsewhere is TVM's."""

import numpy as np
import pytest
import tiny
import torch
import tvm
from gradient_check import check
from tvm import relax

from relay_passes import SparseBackward, lowering
from relay_passes.memory.read_step import read_step
from relay_passes.ops.loss import negative_log_likelihood
from relay_passes.ops.weighted_likelihood import weighted_likelihood

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


def weighted(emit, _x, target, w):
    scores = emit(relax.op.nn.log_softmax(w, 1))
    return emit(weighted_likelihood(scores, target, (1, 2, 3), 0.1, 9))


def test_the_gradient_of_weighted_labels_is_one_kernel_too():
    types = {**SHAPES, "target": ((1, 2, 2), "int32"), "w": ((1, 3, 2, 2), "float32")}
    module = SparseBackward({"w"})(tiny.module(types, weighted))
    tvm.ir.assert_structural_equal(tvm.script.from_source(module.script(show_meta=True)), module)
    kernels = [task.kernel.operators for task in read_step(lowering()(module)).tasks]
    assert {name for operators in kernels for name in operators} == {
        *("ones", "log_softmax", "weighted_likelihood", "weighted_cross_entropy_grad"),
        "sgd_update",
    }


@pytest.mark.parametrize("class_weights", [None, (0.5, 2.0, 1.0)])
def test_weighted_labels_behind_a_log_softmax_with_another_reader(class_weights):
    logits = np.random.default_rng(1).normal(size=(1, 3, 2, 2)).astype(np.float32)
    target = np.array([[[0, 2], [9, 1]]], np.int32)

    def body(emit, _x, target, w):
        scores = emit(relax.op.nn.log_softmax(w, 1))
        loss = emit(weighted_likelihood(scores, target, class_weights, 0.1, 9))
        return emit(relax.op.add(loss, emit(relax.op.sum(emit(scores * scores)))))

    types = {**SHAPES, "target": (target.shape, "int32"), "w": (logits.shape, "float32")}
    step = SparseBackward({"w"})(tiny.module(types, body))
    assert "weighted_cross_entropy_grad" not in " ".join(tiny.op_names(step))
    found = tiny.gradients(step, x=np.zeros(1, np.float32), target=target, w=logits)["w"]
    tensor = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
    weight = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float64)
    loss = torch.nn.functional.cross_entropy(
        tensor,
        torch.tensor(target).long(),
        weight,
        ignore_index=9,
        label_smoothing=0.1,
        reduction="sum",
    )
    (loss + (torch.log_softmax(tensor, 1) ** 2).sum()).backward()
    np.testing.assert_allclose(found, tensor.grad.numpy(), rtol=1e-4, atol=1e-5)


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
