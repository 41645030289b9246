"""How much scratch kernels get, and that of equal kernels one is scheduled."""

from collections import Counter

import pytest
import tiny
from shared import needs_models, shared_path
from tiny_models import model as tiny_model

import tvm_ondevice_train as odt
from relay_passes.schedule.tiled import by_default
from relay_passes.within_memory import Lowering, needed_bytes, with_less_scratch
from tvm_ondevice_train.fresh_head import replace_head
from tvm_ondevice_train.training_graph import loss_module


@pytest.fixture(scope="module")
def model():
    return tiny.network(quantized=True)


def counting(asked: Counter):
    def chooser(function, limit):
        asked[function.script(), limit] += 1
        return by_default

    return chooser


def step_of(lowering, model, backward="auto", rollback=True):
    loss = loss_module(model, "cross_entropy")
    return lowering.training(loss, list(model.parameters), backward, rollback)


def test_of_equal_kernels_one_is_scheduled_once_for_each_limit(model):
    """Of the step, of both backwards and of the evaluation."""
    asked = Counter()
    lowering = Lowering(chooser=counting(asked))
    step = step_of(lowering, model)
    before = len(asked)
    evaluation = lowering.evaluation(
        loss_module(model, "cross_entropy", with_output=True), step.peak_bytes
    )
    assert before and set(asked.values()) == {1}
    assert len(asked) - before < len({task.kernel for task in evaluation.tasks})
    again = sum(asked.values())
    assert step_of(lowering, model) == step and sum(asked.values()) == again


def test_a_step_does_not_depend_on_what_was_lowered_before(model):
    lowering = Lowering()
    step_of(lowering, model, backward="float32")
    found, fresh = (step_of(one, model) for one in (lowering, Lowering()))
    assert [t.name for t in found.tasks] == [t.name for t in fresh.tasks]
    assert found.peak_bytes == fresh.peak_bytes


@needs_models
@pytest.mark.parametrize("rollback", [False, True])
def test_no_scratch_raises_the_peak(rollback):
    model = odt.load(shared_path("models/mcunet_int8/mcunet-5fps.onnx"))
    model = replace_head(model, odt.Options(classes=10))
    trained = [p for layer in model.layers[-3:] for p in layer.parameters]
    loss = loss_module(model, "cross_entropy")
    generous, fitted = (
        Lowering(rounds=rounds).training(loss, trained, "int16", rollback) for rounds in (1, 4)
    )
    limits = with_less_scratch(generous, {})
    assert limits and fitted.peak_bytes <= generous.peak_bytes
    assert fitted.peak_bytes == max(needed_bytes(fitted))
    assert with_less_scratch(generous, {}, free_bytes=generous.peak_bytes).items() <= limits.items()


def test_backups_are_in_the_account(model):
    bare, step = (step_of(Lowering(), model, "int16", rollback) for rollback in (False, True))
    assert not bare.backups and len(step.backups) == len(model.parameters)
    saved = sum(-(-tensor.size_bytes // 16) * 16 for _, tensor in step.backups)
    assert bare.peak_bytes < step.peak_bytes <= bare.peak_bytes + saved


@pytest.mark.parametrize("quantized, expected", [(True, "int16"), (False, "float32")])
def test_the_step_says_which_backward_it_has(quantized, expected):
    network = tiny_model("cnn_int8" if quantized else "cnn")
    assert step_of(Lowering(), network, "float32").backward == "float32"
    assert step_of(Lowering(), network, "int16").backward == expected
    assert step_of(Lowering(), network, "bfloat16").backward == "bfloat16"
