"""Every obstacle at once, and a model beside the program that its file was made for."""

import json
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import tvm_ondevice_train as odt
from tvm_ondevice_train.checking import check as checking
from tvm_ondevice_train.checking.agreement import compared
from tvm_ondevice_train.checking.references import Reference, reference_of
from tvm_ondevice_train.cli import main
from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.options import Options
from tvm_ondevice_train.tensor_spec import TensorSpec

GENERATOR = np.random.default_rng(0)
WEIGHT = GENERATOR.normal(size=(3, 4)).astype(np.float32)
HOST = Options.of(board="host")


def written(path, nodes, **constants):
    x, y = (
        helper.make_tensor_value_info(n, TensorProto.FLOAT, (1, size))
        for n, size in (("x", 3), ("y", 4))
    )
    tensors = [numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items()]
    graph = helper.make_graph(nodes, "net", [x], [y], tensors)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    return path


def dense_and_softmax(path):
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"]),
        helper.make_node("Softmax", ["m"], ["y"], axis=1),
    ]
    return written(path, nodes, w=WEIGHT)


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    pytest.importorskip("onnxruntime")
    path = dense_and_softmax(tmp_path_factory.mktemp("net") / "net.onnx")
    return path, odt.compile(path, HOST)


def test_a_model_that_is_right_is_beside_its_reference(net, tmp_path):
    path, compiled = net
    data = tmp_path / "data.npz"
    np.savez(data, x=GENERATOR.normal(size=(5, 3)).astype(np.float32))
    report = checking.compare(path, compiled, HOST, data)
    assert report.ok and report.reference.startswith("ONNX Runtime")
    assert [(a.samples, a.count, a.same_argmax) for a in report.agreements] == [
        ("random", 16, 16),
        ("given", 5, 5),
    ]
    assert all(a.largest < 1e-6 and a.largest_codes is None for a in report.agreements)
    assert "given samples: " in repr(report) and "nothing is in the way" in repr(report)


def test_a_model_that_computes_something_else_is_an_obstacle(net, monkeypatch):
    path, compiled = net
    right = reference_of(path)
    wrong = Reference("ONNX Runtime", lambda x: right.run(2 * x), "float32")
    monkeypatch.setattr(checking, "reference_of", lambda source: wrong)
    report = checking.compare(path, compiled, HOST)
    (obstacle,) = report.obstacles
    assert obstacle.where == "net.onnx" and "something else than ONNX Runtime" in obstacle.found
    assert "report this model" in obstacle.cure and not report.ok


def test_without_the_reference_a_line_says_what_to_install(net, monkeypatch):
    path, compiled = net
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    report = checking.compare(path, compiled, HOST)
    assert report.ok and report.reference is None
    (note,) = report.notes
    assert note == "not compared: ONNX Runtime is not installed (pip install onnxruntime)"


def test_samples_that_the_model_does_not_take_are_refused(net, tmp_path):
    path, compiled = net
    np.savez(tmp_path / "data.npz", y=np.zeros(3))
    with pytest.raises(OdtError, match="has no array x; it holds y"):
        checking.compare(path, compiled, HOST, tmp_path / "data.npz")


def test_the_command_lists_every_obstacle(tmp_path, capsys):
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"]),
        helper.make_node("Sin", ["m"], ["s"], name="odd one"),
        helper.make_node("Cos", ["s"], ["y"]),
    ]
    path = written(tmp_path / "net.onnx", nodes, w=WEIGHT)
    assert main(["check", str(path)]) == 2
    printed = capsys.readouterr()
    first, second = printed.out.splitlines()
    assert first.startswith('1. Sin (node "odd one"): ') and second.startswith("2. Cos (giving ")
    assert printed.err == "ondevice-train: error: net.onnx: 2 obstacles\n"

    assert main(["check", str(path), "--json"]) == 2
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is False and len(report["obstacles"]) == 2


def test_a_budget_is_an_obstacle_as_well(tmp_path):
    path = dense_and_softmax(tmp_path / "net.onnx")
    report = odt.check(path, board="mps2-an500", sram_bytes=64)
    (obstacle,) = report.obstacles
    assert "bytes of SRAM" in str(obstacle)


def test_compile_compares_on_the_way(net, tmp_path, monkeypatch, capsys):
    path, compiled = net
    monkeypatch.setattr(odt, "compile", lambda model, options: compiled)
    arguments = ["compile", str(path), "-o", str(tmp_path / "project"), "--board", "host"]
    assert main([*arguments, "--check"]) == 0
    assert "beside ONNX Runtime" in capsys.readouterr().out

    other = dense_and_softmax(tmp_path / "other.onnx")
    model = onnx.load(other)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(-WEIGHT, "w"))
    onnx.save(model, other)
    arguments = ["compile", str(other), "-o", str(tmp_path / "other"), "--board", "host"]
    assert main([*arguments, "--check"]) == 2
    assert "something else than ONNX Runtime" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_an_exported_program_is_compared_with_pytorch():
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.LogSoftmax(1)).eval()
    program = torch.export.export(net, (torch.ones(1, 3),))
    reference = reference_of(program)
    x = np.array([[0.5, -1, 2]], np.float32)
    np.testing.assert_array_equal(reference.run(x), net(torch.from_numpy(x)).detach().numpy())
    assert reference.input_dtype == "float32" and reference.step is None


def test_codes_of_a_file_are_fed_as_it_has_them():
    def fed(dtype, spec):
        codes = np.array([[-128, 0, 127]], np.int8)
        return Reference("some", lambda x: x, dtype).sample_of(codes, spec)

    np.testing.assert_array_equal(fed("uint8", TensorSpec((1, 3), "int8")), [[0, 128, 255]])
    np.testing.assert_array_equal(fed("int8", TensorSpec((1, 3), "int8")), [[-128, 0, 127]])
    real = fed("float32", TensorSpec((1, 3), "int8", 0.5, -128))
    np.testing.assert_array_equal(real, [[0, 64, 127.5]])


@pytest.mark.parametrize(
    "apart, step, codes, fine",
    [
        (0.0005, None, False, True),
        (0.005, None, False, False),
        (0.04, None, True, True),
        (0.2, None, True, False),
        (0.2, 0.125, True, True),  # less than two codes
        (np.nan, None, True, False),
        (np.inf, None, False, False),
    ],
)
def test_how_far_rounding_goes(apart, step, codes, fine):
    theirs = np.ones((8, 2))
    ours = theirs.copy()
    ours[:, 1] += apart
    assert compared("random", ours, theirs, step, codes).within_rounding == fine


def test_one_sample_that_rounds_the_other_way_is_no_other_function():
    theirs = np.ones((100, 2))
    ours = theirs.copy()
    ours[3, 1] += 0.2
    found = compared("given", ours, theirs, None, True)
    assert found.within_rounding and found.largest == pytest.approx(0.2)
