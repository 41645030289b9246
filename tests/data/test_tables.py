"""Windows of measured values in .csv files."""

import numpy as np
import pytest
from manifests import taking

from tvm_ondevice_train.data import Reading, load_data
from tvm_ondevice_train.errors import OdtError

VALUES = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)


def table(path, values=VALUES, labels=None, names="ax,ay,az", time=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [("time," if time else "") + names + (",label" if labels else "")]
    for at, row in enumerate(values):
        cells = [*([str(at)] if time else []), *map(repr, row.tolist())]
        lines.append(",".join([*cells, *([labels[at]] if labels else [])]))
    path.write_text("\n".join(lines) + "\n")
    return path


LABELS = ["walk"] * 9 + ["run"] * 7 + ["walk"] * 4


def windows(stride=4, size=4):
    """Of LABELS: a window never holds rows of two labels."""
    runs = [(0, 9), (9, 16), (16, 20)]
    return [at for a, b in runs for at in range(a, b - size + 1, stride)]


@pytest.mark.parametrize(
    ("shape", "channels_first"),
    [((3, 4), True), ((3, 1, 4), True), ((1, 4, 3), False), ((4, 3), False), ((4, 3, 1), False)],
)
@pytest.mark.parametrize("stride", [None, 2])
def test_a_window_has_rows_of_one_label(shape, channels_first, stride, tmp_path):
    path = table(tmp_path / "data.csv", labels=LABELS)
    reading = Reading.of(window=4, stride=stride)
    found = load_data(path, taking(*shape, classes=2), reading)
    starts = windows(stride or 4)
    expected = [VALUES[at : at + 4] for at in starts]
    expected = np.stack([one.T if channels_first else one for one in expected])
    np.testing.assert_array_equal(found.x.reshape(expected.shape), expected)
    assert found.class_names == ("run", "walk")
    assert found.y.tolist() == [["run", "walk"].index(LABELS[at]) for at in starts]


def test_a_label_of_many_digits_is_a_name(tmp_path):
    path = table(tmp_path / "data.csv", labels=["9" * 5000] * 20)
    assert load_data(path, taking(3, 4)).class_names == ("9" * 5000,)


def test_folders_are_classes_and_the_time_is_left_out(tmp_path):
    table(tmp_path / "train" / "walk" / "0.csv", time=True)
    table(tmp_path / "train" / "run" / "0.csv", VALUES[:3], time=True)
    table(tmp_path / "train" / "run" / "1.csv", VALUES[:8] + 1, time=True)
    table(tmp_path / "test" / "walk" / "0.csv", VALUES[:4])
    lines = []
    found = load_data(tmp_path, taking(3, 4, classes=2), say=lines.append)
    assert found.y.tolist() == [0, 0, 1, 1, 1, 1, 1] and len(found.x_test) == 1
    np.testing.assert_array_equal(found.x[0], VALUES[:4].T + 1)
    assert lines[-1] == "data: 1 runs of rows are shorter than a window, and left out"


def test_the_time_is_a_channel_where_the_model_has_one(tmp_path):
    path = table(tmp_path / "data.csv", labels=["0"] * 20, time=True)
    x = load_data(path, taking(4, 5)).x
    np.testing.assert_array_equal(x[0, 0], np.arange(5))


def test_labels_are_numbers_and_one_channel_is_enough(tmp_path):
    path = table(tmp_path / "d.csv", VALUES[:, :1], ["2"] * 10 + ["0"] * 10, names="level")
    found = load_data(path, taking(5), Reading.of(normalize="mean=1,std=2"))
    assert found.y.tolist() == [2, 2, 0, 0]
    np.testing.assert_allclose(found.x.reshape(-1), (VALUES[:, 0] - 1) / 2, rtol=1e-5, atol=1e-6)


def test_a_detector_of_what_is_unusual_needs_no_labels(tmp_path):
    found = load_data(table(tmp_path / "d.csv"), taking(3, 4, classes=None))
    np.testing.assert_array_equal(found.y, found.x.reshape(5, 12))


def replaced(path, old, new):
    path.write_text(path.read_text().replace(old, new, 1))


LAST = repr(VALUES[2, 2].item())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: replaced(p, LAST, "nan"), "data.csv, line 4: az is 'nan'; it must be a finite"),
        (lambda p: replaced(p, LAST, ""), "line 4: az is ''"),
        (lambda p: replaced(p, LAST, "high"), "line 4: az is 'high'"),
        (lambda p: replaced(p, LAST + ",walk", LAST), "line 4: it has 3 columns; the first line"),
        (lambda p: replaced(p, LAST + ",walk", LAST + ","), "line 4: it has no label"),
        (lambda p: replaced(p, "ax,ay,az,label\n", ""), "no names of columns in its first line"),
        (lambda p: replaced(p, "az,label", "az,kind"), "line 2: kind is 'walk'"),
        (lambda p: p.write_text(""), "no names of columns"),
        (lambda p: p.write_text("ax,ay,az,label\n"), "has no samples"),
        (lambda p: p.write_bytes(b"ax,ay\xff\n"), "is no readable table"),
    ],
)
def test_a_table_that_cannot_be_read_is_one_line(change, message, tmp_path):
    path = table(tmp_path / "data.csv", labels=LABELS)
    change(path)
    with pytest.raises(OdtError, match=message):
        load_data(path, taking(3, 4))


def test_other_refusals(tmp_path):
    path = table(tmp_path / "data.csv")
    with pytest.raises(OdtError, match=r"has no label: .* or give the class in a column label"):
        load_data(path, taking(3, 4))
    with pytest.raises(OdtError, match=r"--window is 7; the model takes \(3, 4\)"):
        load_data(path, taking(3, 4), Reading.of(window=7))
    with pytest.raises(OdtError, match="--window is 3; with 3 channels the model takes 4"):
        load_data(path, taking(3, 4), Reading.of(window=3))
    with pytest.raises(OdtError, match=r"3 channels \(ax, ay, az\); the model takes \(4, 5\)"):
        load_data(path, taking(4, 5))
    with pytest.raises(OdtError, match=r"windows of channels; the model takes \(3, 4, 5\)"):
        load_data(path, taking(3, 4, 5))
