"""Of all models of the tests: which kernels multiply and accumulate in plain loops, and why."""

import pytest
import test_pytorch_float
import tiny
import tiny_models
import torch_nets
import tvm
from shared import needs_models, slow

from relay_passes import EliminateDeadGradients, IntegerGradients, SparseBackward, lowering
from relay_passes.kernel_attributes import reason_for_plain_loops
from relay_passes.memory.read_step import kind_of
from relay_passes.tir import tirx
from tvm_ondevice_train.training_graph import loss_module

# reason -> words in the kinds of kernels for which it is one
ALLOWED = {
    # the forward of a float layer: TE of TVM's own, without stages
    "no microkernel for this operator in float32": (
        "conv2d",
        "mean",  # of codes, times their scale
        "multiply_collapse_sum",  # the gradient of a scale
        "prelu_slope_grad",
    ),
    # each output has columns of its own, so that staging them gains nothing
    "no microkernel for weight gradients of grouped convolutions": ("conv2d_weight_grad",),
    # of a float convolution in groups that is not depthwise
    "a tile of outputs spans groups": ("conv2d_input_grad",),
    # of a float window without padding: its rows are read where they lie
    "an operand is not read in equal steps": ("conv2d_weight_grad",),
}
INT8 = "mcunet-5fps.onnx", "proxyless-w0.3.onnx", "mbv2-w0.35.onnx"


def plain_kernels(model, loss: str, integers: bool) -> set[tuple[str, str]]:
    """(kind, reason) of each kernel of a full training step that is not in microkernels."""
    passes = [
        *(SparseBackward(list(model.parameters)), EliminateDeadGradients()),
        *([IntegerGradients(windows=False)] if integers else []),
        lowering(),
    ]
    module = tvm.transform.Sequential(passes)(loss_module(model, loss))
    kernels = {g: f for g, f in module.functions_items() if isinstance(f, tirx.PrimFunc)}
    reasons = {g.name_hint: reason_for_plain_loops(f) for g, f in kernels.items()}
    return {(kind_of(name), reason) for name, reason in reasons.items() if reason}


def assert_allowed(model, loss: str = "cross_entropy"):
    for integers in (True, False):
        for kind, reason in plain_kernels(model, loss, integers):
            allowed = any(word in kind for word in ALLOWED.get(reason, ()))
            assert allowed, f"{kind} is plain loops: {reason}"


@pytest.mark.parametrize("build", test_pytorch_float.CASES, ids=lambda build: build.__name__)
def test_float_networks(build, tmp_path):
    case = test_pytorch_float.Case(build, "legacy", tmp_path)
    assert_allowed(case.model, case.loss)


@pytest.mark.parametrize("kind", ["cnn", "cnn_int8", "autoencoder"])
def test_tiny_models(kind):
    assert_allowed(tiny_models.model(kind), "mse" if kind == "autoencoder" else "cross_entropy")


@pytest.mark.parametrize("quantized", [False, True])
def test_tiny_networks(quantized):
    assert_allowed(tiny.network(quantized))


@slow
@needs_models
@pytest.mark.parametrize("name", INT8)
def test_published_models(name):
    assert_allowed(tiny_models.model(f"mcunet_int8/{name}"))


def test_the_list_is_no_longer_than_it_must_be(tmp_path):
    """Each kind is met: what has a microkernel now may not lose it again."""
    names = "separable_cnn", "branching_cnn", "batch_norm_cnn", "prelu_cnn"
    builds = [getattr(torch_nets, name) for name in names]
    models = [test_pytorch_float.Case(build, "legacy", tmp_path).model for build in builds]
    models.append(tiny.network(quantized=True))
    met = {pair for model in models for pair in plain_kernels(model, "cross_entropy", True)}
    for reason, words in ALLOWED.items():
        for word in words:
            assert any(found == reason and word in kind for kind, found in met)
