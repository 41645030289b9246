"""Learned parameters to files."""

import json

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from tiny_models import compiled
from trained import copied, trained

from tvm_ondevice_train.cli import main
from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.export.learned import learned_parameters, merge, write
from tvm_ondevice_train.files.npz import npz_bytes

CASE = "int8, some channels"


@pytest.fixture
def learned():
    return learned_parameters(trained(CASE).project)


def initializers(proto) -> dict[str, np.ndarray]:
    return {i.name: numpy_helper.to_array(i) for i in proto.graph.initializer}


def test_what_training_left_is_read_whole(learned):
    with np.load(trained(CASE).project / "learned.npz") as expected:
        assert list(learned) == list(expected)
        for name, value in learned.items():
            np.testing.assert_array_equal(value, expected[name], strict=True)
    assert learned["3.project.weight_quantized"].shape == (8, 12, 1, 1)


def test_only_what_trains_is_replaced(learned):
    project = trained(CASE).project
    before = initializers(onnx.load(project / "model.onnx"))
    merged = merge(project, {name: -value for name, value in learned.items()})
    onnx.checker.check_model(merged)
    after = initializers(merged)
    assert list(after) == list(before)
    for name, value in after.items():
        expected = -learned[name] if name in learned else before[name]
        np.testing.assert_array_equal(value, expected, strict=True)


@pytest.mark.parametrize("suffix", [".onnx", ".npz"])
def test_the_same_parameters_give_the_same_bytes(suffix, learned, tmp_path):
    files = [tmp_path / f"{name}{suffix}" for name in "ab"]
    shuffled = dict(reversed(learned.items()))
    for path, parameters in zip(files, (learned, shuffled), strict=True):
        write(path, trained(CASE).project, parameters)
    assert files[0].read_bytes() == files[1].read_bytes()
    assert sorted(tmp_path.iterdir()) == files


def test_a_file_from_elsewhere_takes_the_place_of_learned_npz(learned, tmp_path, capsys):
    project = copied(CASE, tmp_path)
    (project / "learned.npz").unlink()
    other = {**learned, "head.bias": learned["head.bias"] + 1}
    (tmp_path / "other.npz").write_bytes(npz_bytes(other))
    target = tmp_path / "model.onnx"
    arguments = ["export", str(project), "-o", str(target), "--from", str(tmp_path / "other.npz")]
    assert main(arguments) == 0
    np.testing.assert_array_equal(initializers(onnx.load(target))["head.bias"], other["head.bias"])
    values = sum(value.size for value in learned.values())
    expected = f"{values:,} learned values of {len(learned)} parameters are in {target}\n"
    assert capsys.readouterr().out == expected


def test_what_another_model_learned_there_is_not_taken(learned, tmp_path):
    project = copied(CASE, tmp_path)
    run = json.loads((project / "run.json").read_text())
    (project / "run.json").write_text(json.dumps({**run, "model_hash": run["model_hash"] ^ 1}))
    with pytest.raises(OdtError, match=r"learned\.npz was learned before .* for another model"):
        learned_parameters(project)
    assert learned_parameters(project, project / "learned.npz").keys() == learned.keys()


def test_a_project_that_was_made_before_is_replaced(tmp_path):
    for scheme in ("head", "full"):
        project = compiled("cnn", scheme).save(tmp_path / "project", "host")
        onnx.checker.check_model(str(project / "model.onnx"))
        (project / "learned.npz").write_bytes(b"")


def replaced(name, change):
    return lambda learned: {**learned, name: change(learned[name])}


NAN = np.float32([np.nan, 0, 0, 0, 0])
WRONG = {
    "missing": (lambda p: {"head.bias": p["head.bias"]}, "has no parameter Conv_30_quantized"),
    "unknown": (lambda p: {**p, "w": NAN}, "holds w, which does not train in this project"),
    "cut": (replaced("head.weight", lambda v: v[1:]), "(4, 8, 1, 1); the project's is float32 of"),
    "wider": (replaced("head.bias", np.float64), "head.bias is float64"),
    "real": (replaced("Conv_29_quantized", np.float32), "float32 of shape (12, 8, 1, 1)"),
    "NaN": (replaced("head.bias", lambda _: NAN), "head.bias holds NaN or infinity"),
    "beyond": (
        replaced("Conv_30_quantized", lambda v: np.full_like(v, -(2**31))),
        "Conv_30_quantized holds 2,147,483,648; the device's sums allow 1,073,741,823",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_the_device_cannot_hold_is_refused(case, learned, tmp_path):
    change, expected = WRONG[case]
    for suffix in (".onnx", ".npz"):
        with pytest.raises(OdtError) as error:
            write(tmp_path / f"out{suffix}", trained(CASE).project, change(learned))
        assert expected in str(error.value)
    assert not list(tmp_path.iterdir())
