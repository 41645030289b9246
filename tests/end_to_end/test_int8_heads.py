"""A network that ends in an int8 layer learns on the device, in either form of its head."""

import json

import int8_heads
import numpy as np
import pytest

import tvm_ondevice_train as odt
from tvm_ondevice_train.device import Session

NARROW = 0.002  # scale of the output codes: all of them are clamped
STEPS = 90


def samples():
    return np.random.default_rng(5).integers(-128, 128, (3, 4, 1, 1), dtype=np.int8)


def losses(project):
    with Session(project) as device:
        return [device.train(samples()[i % 3], (i + 1) % 3) for i in range(STEPS)]


def test_all_outputs_clamped_it_still_learns(tmp_path):
    """Each loss can only be that of codes at an end of their range, until they come back."""
    model = int8_heads.network(NARROW)
    made = odt.compile(model, scheme="full", head="int8", board="host", learning_rate=0.05)
    found = losses(made.save(tmp_path / "project"))
    assert np.mean(found[-9:]) < 0.95 * np.mean(found[:9])


def test_as_float_it_learns_them_by_heart(tmp_path):
    model = int8_heads.network(NARROW)
    made = odt.compile(model, scheme="head", board="host", learning_rate=0.01)
    found = losses(made.save(tmp_path / "project"))
    assert np.mean(found[-9:]) < 0.1 < np.mean(found[:3])


@pytest.mark.parametrize(("head", "saturated"), [("int8", "head.weight"), ("float", "conv.weight")])
def test_a_rate_that_destroys_the_network_is_not_silent(head, saturated, tmp_path):
    """Every number stays finite, so that no step is taken back."""
    model = int8_heads.network(0.1)
    made = odt.compile(model, scheme="full", head=head, board="host", learning_rate=1e10)
    project, data = made.save(tmp_path / "project"), tmp_path / "data.npz"
    np.savez(data, x=samples(), y=np.array([1, 2, 0]))
    told = odt.run_project(project, data, steps=30)
    assert told == json.loads((project / "run.json").read_text())
    assert told["stopped"] is None and len(told["losses"]) == 30
    assert told["saturation"][saturated] > 0.5
    warning = f"of the codes of {saturated} are at the end of their range"
    assert any(warning in line for line in told["warnings"])
