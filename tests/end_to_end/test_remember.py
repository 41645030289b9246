"""Save, lose power, load, go on: as if nothing had happened, bit for bit."""

import numpy as np
import pytest
from tiny_models import compiled, images

from tvm_ondevice_train.device import Session

STEPS, SAVED = 9, 5
X, Y = images(STEPS)


def train(device, steps):
    return [device.train(X[i], Y[i]) for i in steps]


def kept(device):
    """All that a step leaves for the next."""
    return {**device.parameters(), **device.optimizer_states()}


CASES = [("cnn_int8", "last:2", "momentum"), ("cnn", "full", "sgd")]


@pytest.mark.parametrize(("kind", "scheme", "optimizer"), CASES)
def test_training_goes_on_after_power_was_lost(kind, scheme, optimizer, tmp_path):
    model = compiled(kind, scheme, learning_rate=0.02, sram_bytes=4 << 20, optimizer=optimizer)
    with Session(model.save(tmp_path / "host", "host")) as device:
        device.set_seed(11)
        expected = train(device, range(STEPS))
        expected_parameters = kept(device)

    project = model.save(tmp_path / "board", "baremetal")
    with Session(project) as device:
        device.set_seed(11)
        losses = train(device, range(SAVED))
        device.save()
        train(device, range(SAVED, STEPS - 1))  # lost
    with Session(project) as device:
        device.load()
        losses += train(device, range(SAVED, STEPS))
        parameters = kept(device)
        assert device.stats()["steps"] == STEPS
    assert losses == expected
    assert parameters.keys() == expected_parameters.keys()
    assert all(np.array_equal(value, expected_parameters[n]) for n, value in parameters.items())
