"""Every obstacle of a file at once, each at its node in the words of the file."""

import onnx
import pytest
from importing import imported
from onnx import TensorProto, helper
from tflite_files import one_operator
from tvm import relax

import tvm_ondevice_train as odt
from tvm_ondevice_train.errors import ModelError, Obstacle, OdtError

op, SIN = relax.op, 66


def written(path, nodes):
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, (1, 3)) for n in ("x", "y")]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:])
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    return path


def obstacles(source) -> list[str]:
    """Where each of them is."""
    with pytest.raises(ModelError) as caught:
        odt.load(source)
    return [obstacle.where for obstacle in caught.value.obstacles]


def test_onnx_nodes_are_named_or_known_by_what_they_give(tmp_path):
    nodes = [
        helper.make_node("Sin", ["x"], ["s"], name="odd one"),
        helper.make_node("Relu", ["s"], ["r"]),  # reads what is unknown: no obstacle of its own
        helper.make_node("Cos", ["r"], ["y"]),
    ]
    path = written(tmp_path / "net.onnx", nodes)
    assert obstacles(path) == [
        'Sin (node "odd one")',
        'Cos (giving "y")',
    ]


def test_the_line_of_a_file_says_how_many_more(tmp_path):
    nodes = [helper.make_node("Sin", ["x"], ["s"]), helper.make_node("Cos", ["s"], ["y"])]
    path = written(tmp_path / "net.onnx", nodes)
    with pytest.raises(OdtError, match=r"net.*: Sin .*\(and 1 more: see `ondevice-train ch"):
        odt.load(path)


def test_nodes_of_an_exported_program_have_the_layer_that_they_lie_in():
    torch = pytest.importorskip("torch")

    class Odd(torch.nn.Module):
        def forward(self, x):
            return torch.sin(x)

    net = torch.nn.Sequential(torch.nn.Linear(3, 2), Odd())
    program = torch.export.export(net.eval(), (torch.ones(1, 3),))
    (where,) = obstacles(program)
    assert where.startswith('aten.sin.default (node "sin", ') and '"1"' in where


def test_tflite_operators_are_counted(tmp_path):
    path = tmp_path / "net.tflite"
    path.write_bytes(one_operator(SIN, (1, 4)))
    (where,) = obstacles(path)
    assert where.startswith("SIN (operator 0")


def test_an_operator_that_no_importer_marked_has_its_name_in_the_passes():
    with pytest.raises(ModelError) as caught:
        imported(lambda emit, x: emit(op.cos(emit(op.sin(x)))), ((1, 3), "float32"))
    assert [o.where for o in caught.value.obstacles] == ['operator "sin"', 'operator "cos"']


def test_what_a_reader_refuses_is_an_obstacle_too():
    def body(emit, x):
        wide = emit(op.nn.conv2d(x, x))  # its weight is no constant
        return emit(op.sin(wide))

    with pytest.raises(ModelError) as caught:
        imported(body, ((1, 1, 3, 3), "float32"))
    first, second = caught.value.obstacles
    assert first.where == 'operator "conv2d"' and "constant weight" in first.found
    assert second.where == 'operator "sin"'


def test_an_obstacle_without_a_cure_ends_where_it_ends():
    assert str(Obstacle("here", "this")) == "here: this"
    assert str(Obstacle("here", "this", "do that")) == "here: this; do that"
