"""The fifth tutorial, with fewer epochs at the desk: nothing is lost but what was not saved."""

import runpy
from pathlib import Path

import numpy as np
import onnx
from shared import slow

TUTORIALS = Path(__file__).parents[2] / "tutorials"


def network_and_digits(folder):
    story = runpy.run_path(str(TUTORIALS / "01_train_on_a_microcontroller.py"))
    story["prepare"].__globals__.update(PRETRAIN_EPOCHS=2)
    return story["prepare"](folder)


@slow
def test_the_device_remembers(tmp_path):
    story = runpy.run_path(str(TUTORIALS / "05_remember.py"))
    story["main"].__globals__.update(
        network_and_digits=network_and_digits, STEPS=60, SAVE_EVERY=8, POWER_FAILS_AFTER=37
    )
    result = story["main"](str(tmp_path))
    assert result["same"] and (result["kept"], result["steps"]) == (32, 28)
    assert result["equal"] == result["count"] == 397
    learned = onnx.load(tmp_path / "learned.onnx")
    weights = {
        tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in learned.graph.initializer
    }
    with np.load(tmp_path / "device" / "learned.npz") as expected:
        assert len(expected) == 8
        assert all((weights[name] == expected[name]).all() for name in expected)
