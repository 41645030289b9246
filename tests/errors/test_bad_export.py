"""`export` handed what it cannot use: one line, exit code 2, and nothing half-written."""

import numpy as np
import pytest
from test_bad_input import one_line, snapshot
from trained import copied

from tvm_ondevice_train.cli import main


@pytest.fixture
def project(tmp_path):
    return copied("float", tmp_path)


@pytest.fixture
def refused(tmp_path, capfd):
    """Runs an export that must fail, and gives its line; `tmp_path` must stay as it was."""

    def run(*arguments) -> str:
        before = snapshot(tmp_path)
        assert main(["export", *map(str, arguments)]) == 2
        printed = capfd.readouterr()
        assert printed.out == ""
        assert snapshot(tmp_path) == before
        return one_line(printed.err)

    return run


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("model.tflite", 'unknown kind of file ".tflite"; allowed are .onnx'),
        ("model", 'unknown kind of file ""'),
        ("missing/model.onnx", "missing/model.onnx: No such file or directory"),
        ("project/model.onnx", "lies in the project; choose a place outside of it"),
        ("project/../project/new.npz", "lies in the project"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused(target, expected, project, refused, tmp_path):
    assert expected in refused(project, "-o", tmp_path / target)


def test_a_directory_is_not_written_over(project, refused, tmp_path):
    (tmp_path / "taken.onnx").mkdir()
    assert "cannot write" in refused(project, "-o", tmp_path / "taken.onnx")


def test_a_project_that_learned_nothing_is_refused(project, refused, tmp_path):
    (project / "learned.npz").unlink()
    line = refused(project, "-o", tmp_path / "model.onnx")
    assert "has no learned.npz; train it with `ondevice-train run`" in line


@pytest.mark.parametrize("content", [None, b"", b"hello", b"\x08\x09" * 50])
def test_a_project_without_its_model_is_refused(content, project, refused, tmp_path):
    (project / "model.onnx").unlink()
    if content is not None:
        (project / "model.onnx").write_bytes(content)
    line = refused(project, "-o", tmp_path / "model.onnx")
    assert "model.onnx" in line and "compile" in line


def test_a_directory_that_is_no_project_is_refused(refused, tmp_path):
    (tmp_path / "thesis").mkdir()
    assert "is not a project" in refused(tmp_path / "thesis", "-o", tmp_path / "model.onnx")
    assert "does not exist" in refused(tmp_path / "none", "-o", tmp_path / "model.onnx")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("0.weight", np.zeros((8, 3, 3), np.float32), "0.weight is float32 of shape (8, 3, 3)"),
        ("0.bias", np.zeros(8), "0.bias is float64"),
        ("0.bias", np.full(8, np.inf, np.float32), "0.bias holds NaN or infinity"),
        ("surplus", np.zeros(8), "holds surplus, which does not train"),
        ("6.bias", None, "has no parameter 6.bias"),
    ],
)
def test_parameters_of_another_model_are_refused(name, value, expected, project, refused, tmp_path):
    with np.load(project / "learned.npz") as learned:
        arrays = {**learned, name: value}
    path = tmp_path / "other.npz"
    np.savez(path, **{n: v for n, v in arrays.items() if v is not None})
    line = refused(project, "-o", tmp_path / "model.onnx", "--from", path)
    assert expected in line and str(path) in line


def test_a_file_that_is_no_npz_is_refused(project, refused, tmp_path):
    (tmp_path / "text.npz").write_text("0.5")
    options = ("-o", tmp_path / "model.onnx", "--from")
    assert "not a readable .npz file" in refused(project, *options, tmp_path / "text.npz")
    assert "does not exist" in refused(project, *options, tmp_path / "missing.npz")
