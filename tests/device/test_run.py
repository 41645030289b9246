import json

import numpy as np
import pytest
from fake_project import CLASSES, INPUTS, REPORT, edited, fake_project, samples

from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.run import load_data, run_project


def save(path, **arrays):
    np.savez(path, **arrays)
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    (x, y), (x_test, y_test) = samples(200), samples(50, seed=1)
    path = tmp_path_factory.mktemp("data") / "data.npz"
    return save(path, x=x, y=y, x_test=x_test, y_test=y_test)


def test_a_run_on_a_board_reports_everything(data, tmp_path):
    directory = fake_project(tmp_path / "project", "mps2-an500")
    seen = []
    result = run_project(
        directory,
        data,
        evaluate=True,
        learning_rate=0.1,
        on_progress=lambda *progress: seen.append(progress),
    )
    assert json.loads((directory / "run.json").read_text()) == result
    assert len(result["losses"]) == 200
    assert seen[-1] == (200, 200, result["losses"][-1])
    assert result["accuracy_before"] < 0.4 < 0.95 < result["accuracy_after"]
    assert 4096 + 2616 < result["peak_sram_bytes"] < 4096 + 2616 + 1500
    assert result["stack_bytes"] < result["stack_reserved_bytes"] == 8192
    assert result["instructions_per_step"] > result["instructions_forward"] > INPUTS * CLASSES
    assert 2000 < result["flash_bytes"] < 12000
    assert result["wall_seconds"] > 0


def test_a_host_run_has_the_same_losses_and_no_costs(data, tmp_path):
    host = run_project(fake_project(tmp_path / "host"), data, steps=20, seed=3)
    board = run_project(fake_project(tmp_path / "board", "mps2-an386"), data, steps=20, seed=3)
    assert host["losses"] == board["losses"]
    assert host["accuracy_before"] is host["accuracy_after"] is None
    for key in ("peak_sram_bytes", "stack_bytes", "instructions_per_step", "flash_bytes"):
        assert host[key] is None


def test_the_seed_sets_the_order_and_epochs_the_length(data, tmp_path):
    directory = fake_project(tmp_path / "project")
    first = run_project(directory, data, epochs=2, seed=1)["losses"]
    assert len(first) == 400
    assert first == run_project(directory, data, epochs=2, seed=1)["losses"]
    assert first != run_project(directory, data, epochs=2, seed=2)["losses"]


def test_a_step_that_fails_says_which(tmp_path):
    files = edited(model_c=("    odt->steps++;", "    if (odt->steps++ == 4) return -4;"))
    x, y = samples(10)
    path = save(tmp_path / "data.npz", x=x, y=y)
    with pytest.raises(OdtError, match="^run: step 5 of 10, sample .*not finite"):
        run_project(fake_project(tmp_path / "project", files=files), path)


X, Y = samples(4)
F = X.astype(np.float32)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y": Y}, "no array x; it holds y"),
        ({"x": X}, "no array y; it holds x"),
        ({"x": X, "y": Y[:3]}, "x has 4 samples and y 3"),
        ({"x": X[:0], "y": Y[:0]}, "x has no samples"),
        ({"x": X[:, :63], "y": Y}, r"x has shape \(4, 63\); the model takes \(N, 64\)"),
        ({"x": X.astype(np.int32), "y": Y}, "x is int32; the model takes float32 or int8"),
        ({"x": np.where(F == F[2, 0], np.nan, F), "y": Y}, "x holds NaN or infinity in sample"),
        ({"x": X, "y": Y + 10}, r"y\[0\] is \d+; the model has classes 0 to 9"),
        ({"x": X, "y": Y - 10}, r"y\[0\] is -\d+; the model has classes"),
        ({"x": X, "y": Y.astype(np.float32)}, "y is float32 of shape"),
        ({"x": X, "y": Y[:, None]}, r"labels are integers of shape \(N,\)"),
        ({"x": X, "y": Y, "x_test": X}, "x_test has no labels y_test"),
        ({"x": X, "y": Y, "y_test": Y}, "y_test but no x_test"),
        ({"x": X, "y": Y, "x_test": X[:, :1], "y_test": Y}, "x_test has shape"),
        ({"x": np.array([None]), "y": Y}, "not a readable .npz"),
    ],
)
def test_bad_data_is_one_line(arrays, message, tmp_path):
    with pytest.raises(OdtError, match=message) as error:
        load_data(save(tmp_path / "data.npz", **arrays), REPORT)
    assert "\n" not in str(error.value)


def test_a_file_that_is_no_npz_is_refused(tmp_path, data):
    with pytest.raises(OdtError, match="does not exist"):
        load_data(tmp_path / "none.npz", REPORT)
    for name, content in {"text": b"hello", "empty": b"", "cut": data.read_bytes()[:500]}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(OdtError, match="not a readable .npz"):
            load_data(tmp_path / name, REPORT)
    np.save(tmp_path / "one.npy", X)
    with pytest.raises(OdtError, match="is one array"):
        load_data(tmp_path / "one.npy", REPORT)


@pytest.mark.parametrize("length", [{"steps": 0}, {"epochs": -1}, {"steps": 1, "epochs": 1}])
def test_a_length_without_meaning_is_refused(length, data, tmp_path):
    with pytest.raises(OdtError, match="^run: "):
        run_project(fake_project(tmp_path / "project"), data, **length)


def test_a_model_of_values_learns_to_reproduce_its_input(tmp_path):
    values = {**REPORT, "target": {"kind": "values", "shape": [1, INPUTS]}}
    loaded = load_data(save(tmp_path / "data.npz", x=X), values)
    assert loaded.x.dtype == np.int8
    assert (loaded.y == X.astype(np.float32) / 128).all()
    with pytest.raises(OdtError, match="y is int64; this model learns float32"):
        load_data(save(tmp_path / "data.npz", x=X, y=Y), values)
    with pytest.raises(OdtError, match="the model learns 64 values each"):
        load_data(save(tmp_path / "data.npz", x=X, y=F[:, :3]), values)
