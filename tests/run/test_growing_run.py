"""A run puts into use the classes that its labels name, and counts no others."""

import math

import numpy as np
import pytest
import tiny

import tvm_ondevice_train as odt
from tvm_ondevice_train.device import Session
from tvm_ondevice_train.errors import OdtError

USED, MOST = 2, 5


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    compiled = odt.compile(tiny.network(), classes=USED, max_classes=MOST, board="host")
    return compiled.save(tmp_path_factory.mktemp("growing") / "project")


def data(classes: int):
    """Six samples of each class."""
    y = np.arange(6 * classes) % classes
    centres = np.random.default_rng(0).normal(size=(classes, 2, 6, 6))
    return centres[y].astype(np.float32), y


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        (2, []),
        (3, ["class 2 is put into use; 2 more have room"]),
        (4, ["classes 2, 3 are put into use; 1 more has room"]),
        (5, ["classes 2, 3, 4 are put into use; 0 more have room"]),
    ],
)
def test_classes_that_the_labels_name_are_put_into_use(classes, said, project):
    lines = []
    result = odt.run_project(
        project, data(classes), steps=20, evaluate=True, learning_rate=0.1, say=lines.append
    )
    assert lines == said
    assert [row["count"] for row in result["classes"]] == [6] * classes
    assert np.shape(result["confusion"]) == (classes, classes)
    assert result["data_warnings"] == []
    assert result["evaluations"][0]["loss"] < 2 * math.log(classes)


def test_a_class_of_the_test_set_alone_is_in_use_and_said_to_be_missing(project, tmp_path):
    (x, y), (x_test, y_test), lines = data(2), data(3), []
    np.savez(tmp_path / "data.npz", x=x, y=y, x_test=x_test, y_test=y_test)
    result = odt.run_project(
        project, tmp_path / "data.npz", steps=3, evaluate=True, say=lines.append
    )
    missing = "data: no sample to learn from of class 2"
    assert lines == ["class 2 is put into use; 2 more have room", f"warning: {missing}"]
    assert result["data_warnings"] == [missing] and missing not in result["warnings"]


def test_what_was_put_into_use_is_there_when_the_device_goes_on(project):
    odt.run_project(project, data(3), steps=3, learning_rate=0.1, save=True)
    lines = []
    odt.run_project(project, data(3), steps=3, resume=True, say=lines.append)
    assert lines == []
    with Session(project) as device:
        device.load()
        assert device.classes() == 3


def test_a_label_that_there_is_no_room_for(project):
    with pytest.raises(OdtError) as error:
        odt.run_project(project, data(6))
    assert str(error.value) == (
        "data: y[5] is 5; the model has classes 0 to 4, more come with compile --classes, or "
        "--max-classes"
    )
