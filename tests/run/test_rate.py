"""Where the learning rate of a run comes from that was told none."""

from dataclasses import replace

import numpy as np
import pytest
from fake_project import fake_project

from tvm_ondevice_train import simulator
from tvm_ondevice_train.data import Data
from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.learning.schedule import COSINE, Schedule
from tvm_ondevice_train.manifest import MadeFrom, read_manifest
from tvm_ondevice_train.options import Options
from tvm_ondevice_train.run.rate import LEAST_STEPS, rate_for

DATA = Data(np.zeros((2, 4), np.float32), np.zeros(2, np.int32))


def searched(*_arguments):
    return 0.123


def too_few(*_arguments):
    raise OdtError("run: of 2 samples, 0.2 for validation leaves no other set")


@pytest.mark.parametrize(
    "options, steps, search, expected",
    [
        (None, 1000, searched, None),
        ({}, 1000, searched, 0.123),
        ({"optimizer": "momentum"}, 1000, searched, 0.123),
        ({"learning_rate": 0.3}, 1000, searched, 0.3),
        ({}, LEAST_STEPS - 1, searched, 0.01),
        ({}, 1000, too_few, 0.01),
    ],
    ids=["no options", "searched", "of any optimizer", "said", "a short run", "nothing to search"],
)
def test_the_rate(options, steps, search, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(simulator, "find_rate", search)
    directory = fake_project(tmp_path / "project")
    made_from = None if options is None else MadeFrom("net.onnx", Options.of(**options))
    manifest = replace(read_manifest(directory), made_from=made_from)
    lines = []
    found = rate_for(directory, manifest, DATA, Schedule(COSINE, steps), 0, 0, lines.append)
    assert found == expected
    assert len(lines) == (expected == 0.01)  # that of the optimizer, where another was wanted
