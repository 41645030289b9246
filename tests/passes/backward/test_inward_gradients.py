"""InwardGradients: which gradients of output codes pass, and that no other mask changes."""

import int8_heads
import numpy as np
import pytest
import tiny
import torch
from shared import slow_after

from relay_passes import InwardGradients, SparseBackward
from tvm_ondevice_train.training_graph import loss_module

TRAINED = ["conv.weight", "conv.bias", "head.weight", "head.bias"]
NARROW, WIDE = 0.002, 1.0  # scales of the output codes: all of them clamped, none


class FakeQuantize(torch.autograd.Function):
    """Codes of an int8 tensor as their real values; straight-through, clamped codes as asked."""

    @staticmethod
    def forward(ctx, real, scale, zero_point, inward):
        code = torch.round(real / scale) + zero_point
        ctx.save_for_backward(code)
        ctx.inward = inward
        return (code.clamp(-128, 127) - zero_point) * scale

    @staticmethod
    def backward(ctx, adjoint):
        (code,) = ctx.saved_tensors
        passes = (code >= -128) & (code <= 127)
        if ctx.inward:
            passes |= torch.where(code > 127, adjoint > 0, (code < -128) & (adjoint < 0))
        return adjoint * passes, None, None, None


def reference(model, output, x, label, inward):
    """Gradients of every parameter in the real domain, by PyTorch."""
    scales = int8_heads.SCALES
    leaves = {
        n: torch.tensor(v * scales[n], dtype=torch.float64).requires_grad_()
        for n, v in model.parameters.items()
    }

    def layer(data, name):
        return leaves[f"{name}.weight"].reshape(-1, data.numel()) @ data + leaves[f"{name}.bias"]

    data = torch.tensor(x.reshape(-1) * int8_heads.INPUT, dtype=torch.float64)
    hidden = FakeQuantize.apply(layer(data, "conv").relu(), int8_heads.HIDDEN, -128, False)
    logits = FakeQuantize.apply(layer(hidden, "head"), output, 0, inward)
    torch.nn.functional.cross_entropy(logits[None], torch.tensor([label])).backward()
    return {n: leaf.grad.numpy() for n, leaf in leaves.items()}


def sample(seed):
    return np.random.default_rng(seed).integers(-128, 128, (1, 4, 1, 1), dtype=np.int8)


def steps(output):
    module = loss_module(int8_heads.network(output), "cross_entropy")
    masked = SparseBackward(TRAINED)(module)
    return masked, InwardGradients()(masked)


@pytest.mark.parametrize("output", slow_after(2, [NARROW, WIDE, 0.01, 0.03]))
def test_clamped_outputs_pass_what_points_back(output):
    model, modules = int8_heads.network(output), steps(output)
    differ = False
    for seed in range(4):
        x, label = sample(seed), seed % int8_heads.CLASSES
        found = [
            tiny.gradients(m, x=x, target=np.array([label], np.int32), **model.parameters)
            for m in modules
        ]
        for gradients, inward in zip(found, (False, True), strict=True):
            for name, expected in reference(model, output, x, label, inward).items():
                np.testing.assert_allclose(gradients[name], expected, rtol=1e-4, atol=1e-6)
        differ |= any((found[0][n] != found[1][n]).any() for n in TRAINED)
    assert differ == (output != WIDE)


def test_all_outputs_clamped_still_move():
    """The mask alone lets nothing through: that network would stand still for ever."""
    model = int8_heads.network(NARROW)
    values = {"x": sample(0), "target": np.array([0], np.int32), **model.parameters}
    masked, inward = (tiny.gradients(module, **values) for module in steps(NARROW))
    assert not any(gradient.any() for gradient in masked.values())
    assert all(gradient.any() for gradient in inward.values())


def test_only_the_mask_behind_the_last_layer_changes():
    masked, inward = steps(WIDE)
    names = [tiny.op_names(module) for module in (masked, inward)]
    changed = [pair for pair in zip(*names, strict=True) if pair[0] != pair[1]]
    assert changed == [("odt.masked", "odt.masked_inward")]


def test_a_network_with_a_float_head_stays_as_it_is():
    module = loss_module(tiny.network(quantized=True), "cross_entropy")
    step = SparseBackward(["conv.weight", "head.weight"])(module)
    assert tiny.op_names(InwardGradients()(step)) == tiny.op_names(step)
