"""Gradients that are shortened together, against PyTorch and, of codes, against NumPy."""

import numpy as np
import pytest
import torch
from torch_network import TorchNetwork, samples

import tvm_ondevice_train as odt
from relay_passes.optimizers import SGD, Momentum
from tvm_ondevice_train.device import Session

STEPS, RATE = 20, 0.1


LIMIT = 0.3
FLOAT = Momentum(RATE, momentum=0.5, clip_norm=LIMIT)
CODES = Momentum(RATE, momentum=0.0, clip_norm=LIMIT)


@pytest.mark.parametrize("limit", [0.05, 0.5])
def test_float_parameters_are_those_of_pytorch(limit, project):
    network = TorchNetwork(lambda p: torch.optim.SGD(p, lr=RATE, momentum=0.5))
    with Session(project(FLOAT)[1]) as device:
        device.set_hyperparameters(clip_norm=limit)
        for x, y in zip(*samples(STEPS), strict=True):
            loss = network.train([x], [y], limit)
            assert device.train(x, y) == pytest.approx(loss, rel=1e-5)
        network.assert_near(device.parameters())


def velocities(device) -> np.ndarray:
    """Of all that trains; without momentum the gradients that the step was made with."""
    return np.concatenate([value.ravel() for value in device.optimizer_states().values()])


def test_codes_follow_a_gradient_of_that_norm_in_the_real_domain(project):
    _, directory = project(CODES, quantized=True)
    shortened = 0
    with Session(directory) as plain, Session(directory) as device:
        plain.set_hyperparameters(clip_norm=0.0)
        for sample in zip(*samples(6, np.int8), strict=True):
            plain.set_parameters(device.parameters())
            plain.train(*sample)
            device.train(*sample)
            gradient = velocities(plain).astype(np.float64)
            norm = np.linalg.norm(gradient)
            shortened += norm > LIMIT
            expected = gradient * min(1.0, LIMIT / (norm + 1e-6))
            assert np.abs(velocities(device) - expected).max() <= 1e-6 * np.abs(expected).max()
    assert shortened


def test_the_norm_changes_while_the_device_runs(project):
    compiled, directory = project(FLOAT)
    assert "int odt_set_clip_norm(odt_t *odt, float clip_norm);" in compiled.files["model.h"]
    (x,), (y,) = samples(1)
    norms = []
    with Session(directory) as device:
        device.set_hyperparameters(momentum=0.0)
        start = device.parameters()
        for limit in (0.2, 0.01, 0.0):  # 0 as at compile time: any norm is allowed
            device.set_parameters(start)
            device.set_hyperparameters(clip_norm=limit)
            device.train(x, y)
            norms.append(float(np.linalg.norm(velocities(device))))
        with pytest.raises(odt.OdtError, match="clip_norm is -1"):
            device.set_hyperparameters(clip_norm=-1)
    assert norms[:2] == pytest.approx([0.2, 0.01], rel=1e-4) and norms[2] > 0.2


def test_all_gradients_lie_in_the_arena_before_the_first_update(project):
    """Those of what a layer keeps in other bytes, too: the plan holds them all at once."""
    compiled, _ = project(SGD(RATE, clip_norm=LIMIT), quantized=True)
    step = compiled.planned.train.step
    first, _ = step.updates[0]
    held = {t for t, (born, dies) in step.live.items() if born < first <= dies}
    gradients = [task.inputs[0] for task in step.tasks if task.updates]
    assert set(gradients) <= held
    assert sum(t.size_bytes for t in gradients) == 4 * sum(
        v.size for v in compiled.initial.values()
    )


def test_a_norm_that_is_not_finite_diverges(project):
    """Where the sum of squares overflows, no gradient is silently made 0."""
    _, directory = project(FLOAT)
    (x,), _ = samples(1)
    with Session(directory) as device:
        signs = np.sign(np.random.default_rng(1).normal(size=(3, 4, 1, 1)))
        device.set_parameters({"head.weight": (1e30 * signs).astype(np.float32)})
        before = device.parameters()
        wrong = int(np.argmin(device.predict(x)))
        with pytest.raises(odt.OdtError, match="not finite"):
            device.train(x, wrong)
        assert all(np.array_equal(before[n], v) for n, v in device.parameters().items())
