"""Out of a device and into it: what the project, its flash or its board has."""

import numpy as np
import pytest
from fake_project import CLASSES, INPUTS, fake_project, samples
from wired import OnSerial, OnTcp, started

import tvm_ondevice_train as odt
from tvm_ondevice_train.device import Session
from tvm_ondevice_train.errors import OdtError

X, Y = samples(30)


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, x=X, y=Y)
    return path


@pytest.fixture
def values(tmp_path):
    """A file of parameters, and what it holds."""
    random = np.random.default_rng(0)
    arrays = {
        "weight": random.normal(size=(CLASSES, INPUTS)).astype(np.float32),
        "bias": random.normal(size=CLASSES).astype(np.float32),
    }
    np.savez(tmp_path / "values.npz", **arrays)
    return tmp_path / "values.npz", arrays


def held(path):
    with np.load(path) as arrays:
        return {name: arrays[name].tobytes() for name in arrays}


@pytest.mark.parametrize("board", ["host", "mps2-an500"])
def test_what_the_device_kept_is_what_the_run_left(board, data, tmp_path):
    project = fake_project(tmp_path / "project", board)
    odt.run_project(project, data, save=True)
    odt.run_project(project, data, steps=3)  # which is not saved
    odt.export_project(project, tmp_path / "now.npz")
    odt.export_project(project, tmp_path / "kept.npz", saved=True)
    assert held(tmp_path / "now.npz") != held(tmp_path / "kept.npz")
    odt.run_project(project, data, steps=1, resume=True, learning_rate=1e-30)
    assert held(project / "learned.npz") == held(tmp_path / "kept.npz")


def test_what_was_imported_is_what_training_goes_on_with(values, data, tmp_path):
    path, arrays = values
    project = fake_project(tmp_path / "project")
    assert odt.import_project(project, path).sequence == 1
    assert odt.import_project(project, path).sequence == 2
    resumed = odt.run_project(project, data, resume=True)
    begun = odt.run_project(fake_project(tmp_path / "other"), data, start=path)
    assert resumed["first_step"] == begun["first_step"] == 0
    assert resumed["losses"] == begun["losses"]
    with Session(project) as device:
        device.set_parameters(arrays)
        order = np.random.default_rng(0).permutation(len(X))
        assert device.train(X[order[0]], Y[order[0]]) == begun["losses"][0]


@pytest.mark.parametrize("kind", [OnTcp, OnSerial])
def test_a_board_at_a_line(kind, values, tmp_path):
    path, arrays = values
    transport = "uart" if kind is OnSerial else None
    project = fake_project(tmp_path / "project", kind.board, transport=transport)
    with started(kind, project) as board:
        saved = odt.import_project(project, path, port=board.port)
        assert (saved is None) == (kind is OnSerial)  # which has no flash
        odt.export_project(project, tmp_path / "out.npz", port=board.port)
    assert held(tmp_path / "out.npz") == {n: v.tobytes() for n, v in arrays.items()}


def test_sources_that_exclude_each_other_are_refused(values, data, tmp_path):
    path, _ = values
    project = fake_project(tmp_path / "project")
    for device in ({"saved": True}, {"port": "/dev/none"}):
        with pytest.raises(OdtError, match="a file or a device, not both"):
            odt.export_project(project, tmp_path / "out.npz", path, **device)
    with pytest.raises(OdtError, match="from a file or from what the device kept, not both"):
        odt.run_project(project, data, start=path, resume=True)


def test_nothing_is_written_where_nothing_was_kept(tmp_path):
    project = fake_project(tmp_path / "project")
    with pytest.raises(OdtError, match="nothing was ever saved here"):
        odt.export_project(project, tmp_path / "out.npz", saved=True)
    assert not (tmp_path / "out.npz").exists()
