"""Parameters for a device, from files."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from tiny_models import export_float, export_int8
from trained import copied, trained

from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.export.learned import learned_parameters, write
from tvm_ondevice_train.export.reading import read_parameters
from tvm_ondevice_train.export.trained_parameters import stored_parameters
from tvm_ondevice_train.files.npz import npz_bytes
from tvm_ondevice_train.manifest import read_manifest


def edited(path, change):
    """The file with other initializers: name -> what is made of its value."""
    proto = onnx.load(path)
    for initializer in proto.graph.initializer:
        if initializer.name in change:
            value = change[initializer.name](numpy_helper.to_array(initializer))
            initializer.CopyFrom(numpy_helper.from_array(np.asarray(value), initializer.name))
    onnx.save(proto, path)
    return path


def exported(case, directory):
    project = trained(case).project
    write(directory / "model.onnx", project, learned_parameters(project))
    return directory / "model.onnx"


@pytest.mark.parametrize("case", ["float", "int8", "int8, some channels"])
def test_what_was_exported_is_read(case, tmp_path):
    project = trained(case).project
    learned = learned_parameters(project)
    for path in (exported(case, tmp_path), project / "learned.npz"):
        found = read_parameters(path, project)
        assert list(found) == list(learned)
        for name, value in found.items():
            np.testing.assert_array_equal(value, learned[name], strict=True)


@pytest.mark.parametrize(
    ("case", "export", "name"),
    [
        ("float", lambda directory: export_float("cnn", directory), "3.project.weight"),
        ("int8", export_int8, "3.project.weight_quantized"),
    ],
)
def test_the_source_model_retrained_elsewhere_is_read(case, export, name, tmp_path):
    path = edited(export(tmp_path), {name: lambda value: value // 2})
    project = trained(case).project
    found = read_parameters(path, project)
    with np.load(project / "initial.npz") as initial:
        for parameter, value in found.items():
            expected = initial[parameter] // 2 if parameter == name else initial[parameter]
            np.testing.assert_array_equal(value, expected, strict=True)


def test_a_device_gets_the_channels_that_train():
    project = trained("int8, some channels").project
    manifest = read_manifest(project)
    whole = learned_parameters(project)
    stored = stored_parameters(whole, manifest)
    for name, entry in manifest.trained_parameters.items():
        assert stored[name].shape == entry.shape
        assert str(stored[name].dtype) == entry.dtype
    entry = manifest.trained_parameters["3.project.weight_quantized"]
    expected = whole["3.project.weight_quantized"][:, list(entry.columns)]
    np.testing.assert_array_equal(
        stored["3.project.weight_quantized"],
        expected if entry.rows is None else expected[list(entry.rows)],
    )


SCALE = "3.project.weight_quantized_scale"
WRONG = {
    "scale": (SCALE, lambda v: v * np.float32(1.01), "another scale than the project's"),
    "weight zero point": (
        SCALE.replace("scale", "zero_point"),
        lambda v: v + np.int8(1),
        "another zero point than the project's",
    ),
    "bias scale": ("3.project.bias_quantized_scale", lambda v: 2 * v, "another scale"),
    "activations": ("scale_3", lambda v: v * np.float32(1.5), "activations have other scales"),
    "zero point": ("zero_point", lambda v: v + np.int8(1), "activations have other scales"),
    "frozen": ("0.weight_quantized", lambda v: v // 2, "but does not train there"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_model_that_is_not_the_projects_is_refused(case, tmp_path):
    name, change, expected = WRONG[case]
    path = edited(exported("int8, some channels", tmp_path), {name: change})
    with pytest.raises(OdtError) as error:
        read_parameters(path, trained("int8, some channels").project)
    assert expected in str(error.value) and str(path) in str(error.value)


OTHERS = {
    "another head": ("int8", "int8, new head", "has no parameter head.weight"),
    "more layers": ("int8, new head", "int8", "has no parameter 6.weight_quantized"),
    "float": ("float", "int8", "has no parameter 0.weight_quantized; close: 0.weight;"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_another_projects_model_is_refused(case, tmp_path):
    theirs, ours, expected = OTHERS[case]
    with pytest.raises(OdtError) as error:
        read_parameters(exported(theirs, tmp_path), trained(ours).project)
    assert expected in str(error.value)


def test_files_that_are_none_are_refused(tmp_path):
    project = trained("float").project
    (tmp_path / "cut.onnx").write_bytes(exported("float", tmp_path).read_bytes()[:-300])
    (tmp_path / "cut.npz").write_bytes((project / "learned.npz").read_bytes()[:-30])
    (tmp_path / "other.npz").write_bytes(npz_bytes({"w": np.zeros(3)}))
    (tmp_path / "text.txt").write_text("0.5")
    np.save(tmp_path / "one.npy", np.zeros(3))
    (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    for name, expected in {
        "cut.onnx": "not a valid ONNX file",
        "cut.npz": "not a readable .npz file",
        "other.npz": "has no parameter 0.weight; it holds w",
        "one.npz": "is one array, without a name",
        "text.txt": 'unknown kind of model ".txt"',
        "missing.npz": "does not exist",
        "missing.onnx": "no such file",
    }.items():
        with pytest.raises(OdtError) as error:
            read_parameters(tmp_path / name, project)
        assert expected in str(error.value) and "\n" not in str(error.value)


def test_a_project_of_an_earlier_version_is_refused(tmp_path):
    project = copied("float", tmp_path)
    (project / "model.onnx").unlink()
    with pytest.raises(OdtError, match="compile the project again"):
        read_parameters(exported("float", tmp_path), project)
