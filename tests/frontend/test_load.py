"""Model files: what is read, and the one line for each that cannot be."""

import numpy as np
import onnx
import pytest
import tiny
from onnx import TensorProto, helper, numpy_helper
from shared import shared_path

import tvm_ondevice_train as odt
from tvm_ondevice_train.errors import OdtError


def save(path, nodes, inputs, outputs=("y",), initializers=()):
    """A small ONNX file; inputs: name -> shape."""
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()]
    shape = next(iter(inputs.values()))
    results = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in outputs]
    constants = [numpy_helper.from_array(value, name) for name, value in initializers]
    graph = helper.make_graph(nodes, "g", values, results, constants)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


def relu(source="x", result="y"):
    return helper.make_node("Relu", [source], [result])


def conv(source, weight, result):
    return helper.make_node("Conv", [source, weight], [result])


def test_names_that_differ_only_in_punctuation_stay_apart(tmp_path):
    one, two = np.ones((2, 2, 1, 1), np.float32), np.full((2, 2, 1, 1), 2, np.float32)
    nodes = [conv("x", "a.w", "h"), conv("h", "a_w", "y")]
    initializers = [("a.w", one), ("a_w", two)]
    model = odt.load(save(tmp_path / "m.onnx", nodes, {"x": (1, 2, 1, 1)}, ("y",), initializers))
    assert [v.flat[0] for v in model.parameters.values()] == [1, 2]
    x = np.ones((1, 2, 1, 1), np.float32)
    assert tiny.run(model.module, **{"x": x}, **model.parameters)[0].tolist() == [[[[8]], [[8]]]]


def test_a_free_batch_axis_becomes_one_sample(tmp_path):
    model = odt.load(save(tmp_path / "m.onnx", [relu()], {"x": ("batch", 3)}))
    assert model.input.shape == (1, 3)
    assert model.name == "m"


@pytest.mark.parametrize(
    "nodes, inputs, outputs, message",
    [
        ([relu()], {"x": (2, 3)}, ("y",), 'input "x": batch 2; training runs one sample'),
        ([relu()], {"x": (1, "n")}, ("y",), 'input "x": the dynamic shape (1, n)'),
        ([relu()], {"x": ()}, ("y",), "dynamic shape"),
        (
            [helper.make_node("Add", ["x", "z"], ["y"])],
            {"x": (1, 3), "z": (1, 3)},
            ("y",),
            "the model: 2 inputs; exactly one is supported",
        ),
        (
            [relu(), relu("y", "z")],
            {"x": (1, 3)},
            ("y", "z"),
            "2 outputs; exactly one is supported",
        ),
        ([helper.make_node("Det", ["x"], ["y"])], {"x": (1, 3, 3)}, ("y",), "Det"),
        ([helper.make_node("Sin", ["x"], ["y"])], {"x": (1, 3)}, ("y",), 'Sin (giving "y")'),
    ],
)
def test_a_model_that_cannot_be_compiled(tmp_path, nodes, inputs, outputs, message):
    path = save(tmp_path / "m.onnx", nodes, inputs, outputs)
    refused(path, message)


def refused(path, *messages):
    with pytest.raises(OdtError) as caught:
        odt.load(path)
    text = str(caught.value)
    assert path.stem in text and "\n" not in text
    for message in messages:
        assert message in text


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("m.onnx", b"", "not a valid ONNX file"),
        ("m.onnx", b"not a model", "not a valid ONNX file"),
        ("m.tflite", b"", "not a TFLite file"),
        ("m.tflite", b"\x1c\x00\x00\x00TFL4" + bytes(100), "not a TFLite file"),
        ("m.tflite", b"\x1c\x00\x00\x00TFL3", ""),
        ("m.tflite", b"\x1c\x00\x00\x00TFL3" + b"\xff" * 200, ""),
        ("m.xyz", b"", 'unknown kind of model ".xyz"; .onnx, .tflite and .pt2 can be read'),
        ("m.pth", b"", "it holds weights, or a pickled module, and not the network's graph"),
        ("m.pt", b"", "torch.export.save(torch.export.export(model.eval(), (torch.zeros(1, 3, 32"),
        ("m.keras", b"", "tf.lite.TFLiteConverter.from_keras_model(model).convert()"),
        ("m.h5", b"", "with an input of batch_size=1"),
        ("m.pb", b"", "tf.lite.TFLiteConverter.from_saved_model(DIRECTORY).convert()"),
        ("m.csv", b"", 'as numpy.savez("data.npz", x=x, y=y) writes it'),
    ],
)
def test_a_file_that_is_no_model(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    refused(path, message)


def test_a_file_that_is_not_there(tmp_path):
    refused(tmp_path / "m.onnx", "no such file")


def test_a_directory(tmp_path):
    refused(tmp_path, "it is a directory and no model file")
    (tmp_path / "saved_model.pb").touch()
    refused(tmp_path, "tf.lite.TFLiteConverter.from_saved_model(DIRECTORY).convert()")


@pytest.mark.parametrize("kind", ["onnx", "tflite", "pt2"])
def test_a_file_without_end(tmp_path, kind):
    (tmp_path / f"m.{kind}").symlink_to("/dev/zero")
    with pytest.raises(OdtError, match="it is no file, but a device or a pipe"):
        odt.load(tmp_path / f"m.{kind}")


def test_what_is_no_path():
    with pytest.raises(OdtError, match=r"^a int is no model; give the path of a file, an Exported"):
        odt.load(3)


def test_whatever_is_raised_becomes_one_line(tmp_path, monkeypatch):
    def fail(_path):
        raise RecursionError("maximum recursion depth exceeded\nin comparison")

    monkeypatch.setattr("tvm_ondevice_train.frontend.onnx.load_onnx", fail)
    (tmp_path / "m.onnx").touch()
    refused(tmp_path / "m.onnx", "it could not be read (RecursionError: in comparison)")


@pytest.mark.parametrize("keep", [0.01, 0.5, 0.999])
@pytest.mark.parametrize("kind", ["onnx", "tflite"])
def test_a_truncated_file(tmp_path, kind, keep):
    if kind == "onnx":
        weight = [("w", np.ones((2, 2, 1, 1), np.float32))]
        nodes, inputs = [conv("x", "w", "y")], {"x": (1, 2, 3, 3)}
        whole = save(tmp_path / "w.onnx", nodes, inputs, ("y",), weight).read_bytes()
    else:
        whole = shared_path("models/mlperf_tiny/kws_ref_model.tflite").read_bytes()
    path = tmp_path / f"m.{kind}"
    path.write_bytes(whole[: int(len(whole) * keep)])
    refused(path)
