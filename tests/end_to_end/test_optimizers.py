"""Optimizers against PyTorch, where values are float32, and against NumPy, where they are codes."""

import re
import zlib

import numpy as np
import pytest
import tiny
import torch
from shared import slow_after
from stochastic_rounding import STEP_STRIDE, updated_codes
from tiny_projects import run_with, tiny_project
from torch_network import TorchNetwork, samples

import tvm_ondevice_train as odt
from relay_passes.optimizers import SGD, Adam, AdamW, Momentum
from tvm_ondevice_train.device import Session

STEPS = 20
OPTIMIZERS = [
    SGD(0.05),
    SGD(0.05, weight_decay=0.04),
    Momentum(0.05),
    Momentum(0.02, momentum=0.5, weight_decay=0.04),
    Adam(0.01, weight_decay=0.04, beta1=0.8, beta2=0.99, epsilon=1e-6),
    AdamW(0.01, lr_scale={"head.*": 3, "conv.weight": 0.5, "*.bias": 2}),
    SGD(0.05, lr_scale={"bias": 0.5, "head": 0.25}),
    Adam(0.01),
    AdamW(0.01, weight_decay=0.0),
]


def network_of(optimizer, dtype=torch.float32):
    """The same network and optimizer in PyTorch."""

    def of_torch(parameters):
        scales = SCALES[optimizer.lr_scale]
        groups = [
            {"params": [value], "lr": optimizer.learning_rate * scale}
            for value, scale in zip(parameters, scales, strict=True)
        ]
        return torch_optimizer(optimizer, groups)

    return TorchNetwork(of_torch, dtype)


def state_of(network, name):
    """What PyTorch's optimizer keeps, by the name of our tensor."""
    parameter, _, state = name.rpartition(".")
    return network.optimizer.state[network.values[parameter]][TORCH_STATES[state]].numpy()


SCALES = {  # of conv.weight, conv.bias, head.weight, head.bias
    (): (1, 1, 1, 1),
    (("bias", 0.5), ("head", 0.25)): (1, 0.5, 0.25, 0.25),
    (("head.*", 3.0), ("conv.weight", 0.5), ("*.bias", 2.0)): (0.5, 2, 3, 2),
}
TORCH_STATES = {"velocity": "momentum_buffer", "mean": "exp_avg", "square": "exp_avg_sq"}


def torch_optimizer(ours, parameters):
    """The same of PyTorch."""
    common = {"lr": ours.learning_rate, "weight_decay": ours.weight_decay}
    if not isinstance(ours, Adam):
        momentum = getattr(ours, "momentum", 0.0)
        return torch.optim.SGD(parameters, momentum=momentum, **common)
    kind = torch.optim.AdamW if isinstance(ours, AdamW) else torch.optim.Adam
    return kind(parameters, betas=(ours.beta1, ours.beta2), eps=ours.epsilon, **common)


def assert_near(found, expected, relative=1e-6):
    """To 1e-6 of the largest value."""
    assert np.abs(found - expected).max() <= relative * np.abs(expected).max()


@pytest.mark.parametrize("optimizer", slow_after(6, OPTIMIZERS, ids=map(str, OPTIMIZERS)))
def test_float_parameters_are_those_of_pytorch(optimizer, tmp_path):
    """All together to 1e-6; a bias that mostly cancels is as near to float64 as PyTorch's own.

    ``1 - beta2``, of a float32, is 1e-5 away from that of a float64.
    """
    network, exact = network_of(optimizer), network_of(optimizer, torch.float64)
    with Session(tiny_project(tmp_path / "p", optimizer)[1]) as device:
        for x, y in zip(*samples(STEPS), strict=True):
            exact.train([x], [y])
            assert device.train(x, y) == pytest.approx(network.train([x], [y]), rel=1e-5)
        ours, states = device.parameters(), device.optimizer_states()
    reference = network.numbers()
    assert_near(*(np.concatenate([v[n].ravel() for n in ours]) for v in (ours, reference)))
    for name, value in exact.numbers().items():
        own = np.abs(reference[name] - value).max()
        assert np.abs(ours[name] - value).max() <= 3 * own + 1e-8
    for name, state in states.items():
        if name.endswith("_correction"):
            beta = {"mean": optimizer.beta1, "square": optimizer.beta2}[name.partition("_")[0]]
            assert state.shape == () and state == pytest.approx(1 - beta**STEPS, rel=2e-5)
        else:
            near = 1e-5 if name.endswith("velocity") else 3e-5
            assert_near(state, state_of(network, name), near)  # sums of gradients that cancel


def stored(device):
    """Codes and float32 parameters, and velocities by parameter."""
    velocities = device.optimizer_states()
    return device.parameters(), {n.removesuffix(".velocity"): v for n, v in velocities.items()}


def scale_of(device, name, shape):
    """Scale of each code, or None for a float32 parameter."""
    scale = device.manifest.trained_parameters[name].scale
    if scale is None:
        return None
    return np.asarray(scale).reshape(-1, *[1] * (len(shape) - 1))


@pytest.mark.parametrize("weight_decay", slow_after(1, [0.04, 0.0]))
def test_codes_follow_a_float_velocity(weight_decay, tmp_path):
    """Gradients are what a second device of the same codes gets for its velocity from nothing."""
    rate, momentum, seed = 0.02, 0.75, 5
    optimizer = Momentum(rate, momentum=momentum, weight_decay=weight_decay)
    _, directory = tiny_project(tmp_path / "p", optimizer, quantized=True)
    _, other = tiny_project(tmp_path / "q", Momentum(rate), quantized=True)
    x, y = samples(12, np.int8)
    with Session(directory) as device, Session(other) as gradients:
        gradients.set_hyperparameters(momentum=0.0)
        device.set_seed(seed)
        for step in range(len(x)):
            before, velocity = stored(device)
            gradients.set_parameters(before)
            gradients.train(x[step], y[step])
            device.train(x[step], y[step])
            after, moved = stored(device)
            for name, gradient in stored(gradients)[1].items():
                codes, scale = before[name], scale_of(device, name, before[name].shape)
                value = codes if scale is None else codes * scale
                expected = momentum * velocity[name] + gradient + weight_decay * value
                assert_near(moved[name], expected)
                if scale is None:
                    continue
                inverse = (1 / scale).astype(np.float32)
                change = moved[name] * (np.float32(rate) * inverse)
                salted = salt_of(seed, step, name)
                limit = 127 if codes.dtype == np.int8 else 2**30 - 1
                assert np.array_equal(after[name], updated_codes(codes, change, limit, salted))


@pytest.mark.parametrize("optimizer", slow_after(1, [Adam(0.02, weight_decay=0.04), AdamW(0.02)]))
def test_codes_follow_the_averages_of_adam(optimizer, tmp_path):
    """In float32, from the definition; gradients are what a second device gets, as above."""
    _, directory = tiny_project(tmp_path / "p", optimizer, quantized=True)
    _, other = tiny_project(tmp_path / "q", Momentum(), quantized=True)
    decay = np.float32(optimizer.weight_decay)
    decoupled = isinstance(optimizer, AdamW)
    kept = {"mean": np.float32(optimizer.beta1), "square": np.float32(optimizer.beta2)}
    corrections = dict.fromkeys(kept, np.float32(0))
    x, y = samples(8, np.int8)
    with Session(directory) as device, Session(other) as gradients:
        gradients.set_hyperparameters(momentum=0.0)
        device.set_seed(5)
        for step in range(len(x)):
            before, old = device.parameters(), device.optimizer_states()
            gradients.set_parameters(before)
            gradients.train(x[step], y[step])
            device.train(x[step], y[step])
            after, new = device.parameters(), device.optimizer_states()
            for name, beta in kept.items():
                corrections[name] = beta * corrections[name] + (1 - beta)
                assert new[f"{name}_correction"] == corrections[name]
            for name, gradient in stored(gradients)[1].items():
                codes, scale = before[name], scale_of(device, name, before[name].shape)
                value = codes * np.float32(1 if scale is None else scale)
                seen = gradient if decoupled else gradient + decay * value
                for state, term in {"mean": seen, "square": seen * seen}.items():
                    average = kept[state] * old[f"{name}.{state}"] + (1 - kept[state]) * term
                    assert_near(new[f"{name}.{state}"], average)
                mean, square = (new[f"{name}.{s}"] / corrections[s] for s in kept)
                direction = mean / (np.sqrt(square) + np.float32(optimizer.epsilon))
                if decoupled:
                    direction = direction + decay * value
                if scale is None:
                    assert_near(after[name], value - np.float32(0.02) * direction)
                    continue
                change = direction * (np.float32(0.02) * (1 / scale).astype(np.float32))
                limit = 127 if codes.dtype == np.int8 else 2**30 - 1
                salted = salt_of(5, step, name)
                assert np.array_equal(after[name], updated_codes(codes, change, limit, salted))


def salt_of(seed, step, name):
    """What the rounding of a parameter begins from."""
    with np.errstate(over="ignore"):
        salted = np.uint32(seed) + np.uint32(step) * STEP_STRIDE
        return salted + np.uint32(zlib.crc32(name.encode()))


def test_codes_move_by_their_own_rate(tmp_path):
    """As those of a project whose rate is so many times higher; biases keep the common one."""
    scheme = odt.UpdateScheme({"conv.weight": odt.Channels(indices=(1,)), "head.bias": "all"})
    optimizers = SGD(0.05, lr_scale={"weight": 4}), SGD(0.2), SGD(0.05)
    scaled, faster, plain = (
        after_a_step(tmp_path / str(at), optimizer, scheme)
        for at, optimizer in enumerate(optimizers)
    )
    assert not np.array_equal(faster["conv.weight"], plain["conv.weight"])
    assert np.array_equal(scaled["conv.weight"], faster["conv.weight"])
    assert np.array_equal(scaled["head.bias"], plain["head.bias"])


def after_a_step(directory, optimizer, scheme):
    with Session(tiny_project(directory, optimizer, quantized=True, scheme=scheme)[1]) as device:
        device.train(*(v[0] for v in samples(1, np.int8)))
        return device.parameters()


def test_a_rate_of_nothing_is_refused():
    said = 'lr_scale: "conv.*" means nothing that trains; allowed are head, weight, bias, and names'
    with pytest.raises(odt.OdtError, match=re.escape(said)) as caught:
        odt.compile(tiny.network(), board="host", lr_scale={"conv.*": 2})
    assert "there are head.weight, head.bias" in str(caught.value)


def test_codes_move_without_bias(tmp_path):
    """The mean over 1,000 seeds is the step in the real domain."""
    rate, seeds = 0.02, 1000
    _, directory = tiny_project(tmp_path / "p", Momentum(rate), quantized=True)
    (x,), (y,) = samples(1, np.int8)
    with Session(directory) as device:
        start = device.parameters()
        totals = {n: np.zeros(v.shape) for n, v in start.items() if v.dtype != np.float32}
        for seed in range(seeds):
            device.reset()
            device.set_seed(seed * 7919)
            device.train(x, y)
            after, velocities = stored(device)
            for name, total in totals.items():
                total += after[name].astype(np.int64) - start[name]
        for name, total in totals.items():
            step = velocities[name] * rate / scale_of(device, name, total.shape)
            free = np.abs(start[name] - step) < (126 if start[name].dtype == np.int8 else np.inf)
            fraction = np.abs(step) % 1
            sigma = np.sqrt(fraction * (1 - fraction) / seeds)
            assert free.any() and fraction[free].max() > 0.05
            assert (np.abs(total / seeds + step) <= 5 * sigma + 1e-5)[free].all()


def test_states_are_counted_and_lie_in_sram(tmp_path):
    plain, _ = tiny_project(tmp_path / "p", SGD())
    kept, _ = tiny_project(tmp_path / "q", Momentum())
    elements = sum(value.size for value in plain.initial.values())
    assert len({report["flash_bytes"] for report in (plain.report, kept.report)}) == 1
    grown = kept.report["trainable_state_bytes"] - plain.report["trainable_state_bytes"]
    assert grown == 4 * elements + 4  # and the momentum
    assert kept.report["peak_sram_bytes"] >= plain.report["peak_sram_bytes"] + grown


def test_a_slice_has_a_velocity_of_its_own_shape(tmp_path):
    scheme = odt.UpdateScheme({"conv.weight": odt.Channels(indices=(1,)), "head.bias": "all"})
    _, directory = tiny_project(tmp_path / "p", Momentum(), quantized=True, scheme=scheme)
    with Session(directory) as device:
        device.train(*(v[0] for v in samples(1, np.int8)))
        shapes = {name: value.shape for name, value in device.optimizer_states().items()}
    assert shapes == {"conv.weight.velocity": (4, 1, 3, 3), "head.bias.velocity": (3,)}


def test_hyperparameters_change_while_the_device_runs(tmp_path):
    _, directory = tiny_project(tmp_path / "p", Momentum(weight_decay=0.1))
    (x,), (y,) = samples(1)
    with Session(directory) as device:
        device.train(x, y)
        before, velocity = stored(device)
        device.set_hyperparameters(learning_rate=0.0, momentum=0.25, weight_decay=0.0)
        device.train(x, y)
        device.set_hyperparameters(momentum=0.0)
        kept, moved = stored(device)
        device.train(x, y)
        _, gradient = stored(device)
        assert all(np.array_equal(before[name], kept[name]) for name in before)
        for name in before:
            assert_near(moved[name], 0.25 * velocity[name] + gradient[name])
        for wrong, message in [
            ({"momentum": 1.0}, "momentum is 1.0; it must be 0 or more, and below 1"),
            ({"weight_decay": np.nan}, "weight_decay is NaN"),
            ({"beta": 0.5}, "the project's optimizer has no beta, but learning_rate"),
        ]:
            with pytest.raises(odt.OdtError, match=message):
                device.set_hyperparameters(**wrong)


PROGRAM = """
#include <math.h>
#include "model.h"
static odt_t odt;
static uint8_t arena[ODT_ARENA_BYTES] __attribute__((aligned(ODT_ARENA_ALIGN)));
int main(void) {
  if (odt_set_momentum(&odt, 0.5f) != ODT_ERR_NULL || odt_set_momentum(NULL, 0.5f) != ODT_ERR_NULL)
    return 1;
  if (odt_init(&odt, arena, sizeof arena) != ODT_OK) return 2;
  const float wrong[] = {-0.1f, 1.0f, INFINITY, -INFINITY, NAN};
  for (int i = 0; i < 5; ++i)
    if (odt_set_momentum(&odt, wrong[i]) != ODT_ERR_HYPERPARAMETER) return 3;
  if (odt_set_weight_decay(&odt, INFINITY) != ODT_ERR_HYPERPARAMETER) return 4;
  if (odt.params.momentum[0] != 0.9f || odt.params.weight_decay[0] != 0.5f) return 5;
  if (odt_set_momentum(&odt, 0.25f) != ODT_OK || odt.params.momentum[0] != 0.25f) return 6;
  if (odt_set_weight_decay(&odt, 2.0f) != ODT_OK || odt.params.weight_decay[0] != 2.0f) return 7;
  return 0;
}
"""


def test_c_refuses_a_hyperparameter_out_of_range(tmp_path):
    compiled, _ = tiny_project(tmp_path / "p", Momentum(weight_decay=0.5))
    assert run_with(compiled, PROGRAM, tmp_path) == 0
