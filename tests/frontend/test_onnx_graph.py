"""Constants, names and layouts of .onnx files, against ONNX Runtime."""

import os

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_cases import computed, model, node, normal, runtime_result

import tvm_ondevice_train as odt
from tvm_ondevice_train.frontend.onnx import load_onnx_proto

pytest.importorskip("onnxruntime")

PAIR = {"a": normal(1, 3, 6, 6), "b": np.abs(normal(1, 3, 6, 6, seed=1)), "i": np.array([1])}


def equals_runtime(proto, shape=(1, 3, 6, 6)):
    x = normal(*shape, seed=3)
    loaded = load_onnx_proto(proto, "m.onnx")
    np.testing.assert_allclose(computed(loaded, x), runtime_result(proto, x), rtol=1e-5, atol=1e-6)
    return loaded


@pytest.mark.parametrize(
    "kind, operands, attributes",
    [
        ("Relu", "a", {}),
        ("Softmax", "a", {}),
        ("Dropout", "a", {}),
        ("ReduceSum", "ai", {"keepdims": 1}),
        ("AveragePool", "a", {"kernel_shape": [3, 3], "auto_pad": "SAME_UPPER"}),
        ("Pow", "ba", {}),
        ("Div", "ab", {}),
        ("Concat", "ab", {"axis": 0}),
        ("Gather", "ai", {"axis": 1}),
        ("MatMul", "ab", {}),
        ("Identity", "a", {}),
        ("Cast", "a", {"to": 1}),
    ],
)
def test_what_is_computed_from_constants_alone(kind, operands, attributes):
    folded = helper.make_node(kind, list(operands), ["k"], **attributes)
    mean = helper.make_node("ReduceMean", ["k"], ["m"], keepdims=1)
    equals_runtime(model([folded, mean, node("Add", "x", "m")], constants=PAIR))


def test_a_shape_that_is_computed():
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["n"]),
        helper.make_node("Unsqueeze", ["n", "first"], ["u"]),
        helper.make_node("Concat", ["u", "rest"], ["target"], axis=0),
        node("Reshape", "x", "target"),
    ]
    constants = {"zero": np.array(0), "first": np.array([0]), "rest": np.array([-1])}
    equals_runtime(model(nodes, constants=constants))


@pytest.mark.parametrize("move", ["Identity", "Transpose"])
def test_a_weight_keeps_its_name_where_it_is_only_moved(move):
    moved = helper.make_node(move, ["layer.weight"], ["w"])
    proto = model([moved, node("MatMul", "x", "w")], (1, 6), {"layer.weight": normal(6, 6)})
    assert [*equals_runtime(proto, (1, 6)).parameters] == ["layer.weight"]


def test_initializers_that_are_inputs_too():
    proto = model([node("Gemm", "x", "w", "b")], (1, 6), {"w": normal(6, 4), "b": normal(4)}, 9)
    proto.ir_version = 3
    for tensor in proto.graph.initializer:
        value = helper.make_tensor_value_info(tensor.name, TensorProto.FLOAT, tensor.dims)
        proto.graph.input.append(value)
    assert {*equals_runtime(proto, (1, 6)).parameters} == {"w", "b"}


@pytest.mark.parametrize("name", ["main", "t0", "", "onnx::w", "a.b", "x y\n\0", "lv"])
def test_names_are_only_names(name):
    proto = model([node("MatMul", "x", "w")], (1, 6), {"w": normal(6, 4)})
    proto.graph.input[0].name = proto.graph.node[0].input[0] = name or "main"
    proto.graph.initializer[0].name = proto.graph.node[0].input[1] = f"{name}2"
    loaded = load_onnx_proto(proto, "m.onnx")
    assert [*loaded.parameters] == [f"{name}2".removeprefix("onnx::")]
    x = normal(1, 6)
    np.testing.assert_allclose(computed(loaded, x), x @ normal(6, 4), rtol=1e-5, atol=1e-6)


def test_nodes_that_the_output_does_not_need_are_left_out():
    unread = helper.make_node("Conv", ["x", "v"], ["unread"])
    weights = {"w": normal(2, 3, 3, 3), "v": normal(5, 3, 1, 1)}
    assert [
        *equals_runtime(model([unread, node("Conv", "x", "w")], constants=weights)).parameters
    ] == ["w"]


def external(path, location, **entries):
    """A model whose weight is said to lie in `location`; beside it is a file of 4 KB."""
    proto = model([node("MatMul", "x", "w")], (1, 6), {"w": normal(6, 4)})
    weight = proto.graph.initializer[0]
    (path.parent / "weights.bin").write_bytes(weight.raw_data + bytes(4000))
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        entry = weight.external_data.add()
        entry.key, entry.value = key, str(value)
    onnx.save(proto, path)
    return path


def test_data_beside_the_file(tmp_path):
    loaded = odt.load(external(tmp_path / "m.onnx", "weights.bin", offset=0, length=96))
    np.testing.assert_array_equal(loaded.parameters["w"].reshape(4, 6), normal(6, 4).T)


@pytest.mark.parametrize(
    "location, entries, expected",
    [
        ("/etc/passwd", {}, 'lies in "/etc/passwd", which is no path below the model'),
        ("../weights.bin", {}, "which is no path below the model's directory"),
        ("link.bin", {}, "which is no path below the model's directory"),
        ("a\0b", {}, r'"a\x00b", which is no path'),
        ("", {}, "which is no path"),
        ("pipe.bin", {}, "which is no file"),
        ("weights.bin", {"offset": -5, "length": 96}, "at byte -5, 96 bytes long; the file has"),
        ("weights.bin", {"length": 10**15}, "1000000000000000 bytes long"),
        ("weights.bin", {"offset": "abc"}, "is no number"),
        ("weights.bin", {"length": 90}, "its data are not of shape 6x4"),
    ],
)
def test_data_that_lie_where_they_may_not(tmp_path, location, entries, expected):
    inside = tmp_path / "inside"
    inside.mkdir()
    os.mkfifo(inside / "pipe.bin")
    (inside / "link.bin").symlink_to("/etc/passwd")
    path = external(inside / "m.onnx", location, **entries)
    with pytest.raises(odt.OdtError) as caught:
        odt.load(path)
    assert str(caught.value).startswith('m.onnx: initializer "w": ') and expected in str(
        caught.value
    )


def test_a_chain_of_any_length_is_walked():
    chain = [helper.make_node("Identity", ["w"], ["w0"])]
    chain += [helper.make_node("Identity", [f"w{n}"], [f"w{n + 1}"]) for n in range(1500)]
    proto = model([*chain, node("Add", "x", "w1500")], (1, 6), {"w": normal(6)})
    assert len(load_onnx_proto(proto, "m.onnx").parameters) == 1


def test_a_constant_that_is_computed_knows_the_tensors_behind_it():
    nodes = [
        helper.make_node("Add", ["w", "v"], ["sum"]),
        helper.make_node("Mul", ["sum", "half"], ["weight"]),
        node("MatMul", "x", "weight"),
    ]
    constants = {"w": normal(6, 4), "v": normal(6, 4, seed=1), "half": np.float32(0.5)}
    loaded = equals_runtime(model(nodes, (1, 6), constants=constants), (1, 6))
    assert {name: set(of) for name, of in loaded.computed.items()} == {"dense0.weight": {"w", "v"}}
