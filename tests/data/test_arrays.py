"""Samples and targets from a file: what is taken, and what is refused in one line."""

from dataclasses import replace

import numpy as np
import pytest
from fake_project import INPUTS, MANIFEST, samples

from tvm_ondevice_train.data import Data, load_data
from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.manifest import Target


def save(path, **arrays):
    np.savez(path, **arrays)
    return path


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
        ({"x": np.where(F[2, 0] == F, np.nan, F), "y": Y}, "x holds NaN or infinity in sample"),
        ({"x": X, "y": Y + 10}, r"y\[0\] is \d+; the model has classes 0 to 9"),
        ({"x": X, "y": Y - 10}, r"y\[0\] is -\d+; the model has classes"),
        ({"x": X, "y": Y.astype(np.float32)}, "y is float32 of shape"),
        ({"x": X, "y": Y[:, None]}, r"labels are integers of shape \(N,\)"),
        ({"x": X, "y": Y, "x_test": X}, "x_test has no labels y_test"),
        ({"x": X, "y": Y, "y_test": Y}, "y_test but no x_test"),
        ({"x": X, "y": Y, "x_test": X[:, :1], "y_test": Y}, "x_test has shape"),
        ({"x": np.array([None]), "y": Y}, r"not a readable \.npz"),
    ],
)
def test_bad_data_is_one_line(arrays, message, tmp_path):
    with pytest.raises(OdtError, match=message) as error:
        load_data(save(tmp_path / "data.npz", **arrays), MANIFEST)
    assert "\n" not in str(error.value)


def test_a_file_that_is_no_npz_is_refused(tmp_path):
    whole = save(tmp_path / "whole.npz", x=X, y=Y).read_bytes()
    with pytest.raises(OdtError, match="does not exist"):
        load_data(tmp_path / "none.npz", MANIFEST)
    for name, content in {"text": b"hello", "empty": b"", "cut": whole[:500]}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(OdtError, match=r"not a readable \.npz"):
            load_data(tmp_path / name, MANIFEST)
    np.save(tmp_path / "one.npy", X)
    with pytest.raises(OdtError, match="is one array"):
        load_data(tmp_path / "one.npy", MANIFEST)


def test_a_model_of_values_learns_to_reproduce_its_input(tmp_path):
    values = replace(
        MANIFEST,
        loss="mse",
        classes=None,
        output_shape=(1, INPUTS),
        target=Target("values", (1, INPUTS)),
    )
    loaded = load_data(save(tmp_path / "data.npz", x=X), values)
    assert loaded.x.dtype == np.int8
    assert (loaded.y == X.astype(np.float32) / 128).all()
    with pytest.raises(OdtError, match="y is int64; this model learns float32"):
        load_data(save(tmp_path / "data.npz", x=X, y=Y), values)
    with pytest.raises(OdtError, match="the model learns 64 values each"):
        load_data(save(tmp_path / "data.npz", x=X, y=F[:, :3]), values)


def of_kind(loss, kind, output, target, classes=None, ignored=None):
    return replace(
        MANIFEST,
        loss=loss,
        classes=classes,
        output_shape=output,
        target=Target(kind, target, ignored),
    )


YES_NO = of_kind("bce", "probabilities", (1, 2), (1, 2))
ONE = of_kind("bce", "probabilities", (1, 1), (1, 1))
MAPS = of_kind("cross_entropy", "label_map", (1, 3, 2, 2), (1, 2, 2), classes=3, ignored=255)
PIXELS = np.array([[[0, 1], [2, 255]]] * 4)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32, np.float64])
def test_yes_and_no_may_be_of_any_type(dtype):
    y = np.array([[0, 1], [1, 1], [0, 0], [1, 0]])
    found = load_data({"x": X, "y": y.astype(dtype)}, YES_NO).y
    assert found.dtype == np.float32 and (found == y).all()
    assert (load_data({"x": X, "y": y[:, 0].astype(dtype)}, ONE).y == y[:, :1]).all()


def test_a_map_of_labels_is_one_row_a_sample():
    found = load_data({"x": X, "y": PIXELS}, MAPS).y
    assert found.dtype == np.int32 and (found == PIXELS.reshape(4, 4)).all()


@pytest.mark.parametrize(
    ("manifest", "y", "message"),
    [
        (YES_NO, F[:, :2] * 0 - 0.5, "y holds -0.5 in sample 0; this model learns values from 0"),
        (YES_NO, np.array([[0, 1], [0, 1], [0, 2], [0, 0]]), "y holds 2 in sample 2"),
        (YES_NO, F[:, :2] * np.nan, "y holds NaN or infinity in sample 0"),
        (YES_NO, Y, r"y has shape \(4,\); the model learns 2 values each"),
        (YES_NO, np.array([["a", "b"]] * 4), "y is <U1; this model learns float32 values"),
        (MAPS, PIXELS[:, :1], r"y is int64 of shape \(4, 1, 2\); labels are .* \(N, 2, 2\)"),
        (MAPS, PIXELS * 1.0, "y is float64 of shape"),
        (MAPS, PIXELS + 1, r"y\[0, 1, 0\] is 3; .* classes 0 to 2, and ignores 255"),
        (replace(MAPS, target=Target("label_map", (1, 2, 2))), PIXELS, r"is 255; .* 0 to 2$"),
    ],
)
def test_targets_that_cannot_be_learned_are_one_line(manifest, y, message):
    with pytest.raises(OdtError, match=message) as error:
        load_data({"x": X, "y": y}, manifest)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("manifest", [YES_NO, MAPS])
def test_only_values_can_be_those_of_the_input(manifest):
    with pytest.raises(OdtError, match="no array y; it holds x"):
        load_data({"x": X}, manifest)


def test_accuracy_is_measured_on_the_test_set_where_there_is_one():
    alone, both = Data(X, Y), Data(X, Y, X[:2], Y[:2])
    assert alone.samples("validation", "test")[0] == "training"
    assert [len(array) for array in both.samples("test")[1:]] == [2, 2]


@pytest.mark.parametrize(
    "data",
    [
        {"x": X, "y": Y, "x_test": X[:2], "y_test": Y[:2]},
        {"x": X, "y": Y.tolist(), "x_test": X[:2], "y_test": Y[:2].tolist()},
    ],
)
def test_arrays_by_name_are_taken_as_a_file_is(data, tmp_path):
    found = load_data(data, MANIFEST)
    expected = load_data(save(tmp_path / "data.npz", **data), MANIFEST)
    for name in ("x", "y", "x_test", "y_test"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), strict=True)


def test_a_pair_is_taken_for_x_and_y():
    found = load_data((F / 128, Y), MANIFEST)
    np.testing.assert_array_equal(found.x, X)
    np.testing.assert_array_equal(found.y, Y)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (X, "it is a ndarray; it must be an .npz file, arrays by name, or the pair"),
        (None, "it is a NoneType"),
        ({"y": Y}, "what was given has no array x; it holds y"),
        ({"x": [[1.0], [1.0, 2.0]], "y": Y}, "x is no array: "),
        ({"x": np.float32(1), "y": Y}, r"x has shape \(\); the model takes \(N, 64\)"),
        ({"x": X, "y": 3}, "labels are integers of shape"),
    ],
)
def test_what_is_no_data_is_one_line(data, message):
    with pytest.raises(OdtError, match=message):
        load_data(data, MANIFEST)
