"""What stands in an .onnx file's way: every obstacle, each in one true line."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_cases import model, node, normal

from tvm_ondevice_train.errors import ModelError
from tvm_ondevice_train.frontend.onnx import load_onnx_proto
from tvm_ondevice_train.frontend.onnx.inspection import inspect_onnx

WEIGHT = {"w": normal(4, 3, 3, 3)}
WINDOW = {"kernel_shape": [2, 2]}
VECTORS = {name: np.ones(3, np.float32) for name in "gbm"}


def foreign(kind, domain):
    return helper.make_node(kind, ["x"], ["y"], domain=domain)


def conv(**attributes):
    return model([node("Conv", "x", "w", **attributes)], constants=WEIGHT)


def pool(kind="MaxPool", **attributes):
    return model([node(kind, **{**WINDOW, **attributes})])


def batch_norm(variance, **attributes):
    constants = {**VECTORS, "v": np.full(3, variance, np.float32)}
    return model([node("BatchNormalization", "x", *"gbmv", **attributes)], constants=constants)


def reads_mask():
    two = helper.make_node("MaxPool", ["x"], ["p", "i"], **WINDOW)
    return model([two, helper.make_node("Cast", ["i"], ["y"], to=1)])


def training_dropout():
    constants = {"r": np.float32(0.5), "t": np.bool_(True)}
    return model([node("Dropout", "x", "r", "t")], constants=constants)


def quantizes(zero_point):
    constants = {"s": np.float32(0.1), "z": zero_point}
    codes = helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"])
    return model([codes, node("DequantizeLinear", "q", "s", "z")], constants=constants, opset=21)


def per_channel(scales, axis=0):
    constants = {"w": np.ones((4, 3, 3, 3), np.int8), "s": np.ones(scales, np.float32)}
    decode = helper.make_node("DequantizeLinear", ["w", "s"], ["d"], axis=axis)
    return model([decode, node("Conv", "x", "d")], constants=constants)


def fold(*shapes):
    constants = {name: normal(*shape) for name, shape in zip("ab", shapes, strict=True)}
    return model(
        [helper.make_node("MatMul", ["a", "b"], ["k"]), node("Add", "x", "k")], (1, 4), constants
    )


def versions(opset=20, ir=10):
    proto = model([node("Relu")], opset=opset)
    proto.ir_version = ir
    return proto


def sparse():
    proto = model([node("Add", "x", "k")])
    values = helper.make_tensor("k", TensorProto.FLOAT, [1], [1.0])
    places = helper.make_tensor("", TensorProto.INT64, [1], [0])
    proto.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [6]))
    return proto


def short_data():
    proto = conv()
    proto.graph.initializer[0].raw_data = b"\0" * 8
    return proto


def vast_weight():
    proto = conv()
    proto.graph.initializer[0].dims[:] = [2**31, 2**31, 3, 3]
    return proto


@pytest.mark.parametrize(
    "proto, expected",
    [
        (
            model([node("Sin")]),
            'Sin (node "the one"): the operator is not supported; supported are',
        ),
        (model([node("SplitToSequence")]), "SplitToSequence (node"),
        (model([foreign("Relu", "com.evil")]), 'com.evil.Relu (giving "y"): the domain "com.evil"'),
        (model([node("RandomNormalLike")]), "it draws random numbers; the model was exported in"),
        (training_dropout(), "training_mode; the model was exported in training mode: call mod"),
        (
            batch_norm(1, training_mode=1),
            "training_mode 1; the model was exported in training mode",
        ),
        (batch_norm(1, epsilon=np.inf), "epsilon inf; allowed: finite numbers"),
        (batch_norm(-5), "a variance that is not above -epsilon"),
        (conv(dilations=[0, 1]), "dilations [0, 1]; allowed: whole numbers from 1 to 2147483647"),
        (conv(dilations=[-1, -1]), "dilations [-1, -1]"),
        (conv(strides=[0, 0]), "strides [0, 0]"),
        (conv(pads=[-1, 0, 0, 0]), "pads [-1, 0, 0, 0]; allowed: whole numbers from 0"),
        (conv(pads=[1, 1, 1]), "pads [1, 1, 1]; it needs 4 numbers"),
        (conv(pads=[2**30] * 4), "at most 256 MB a tensor are read"),
        (conv(kernel_shape=[5, 5]), "kernel_shape [5, 5] for a weight of 4x3x3x3"),
        (conv(group=2), "3 channels, group 2, a weight of 4x3x3x3"),
        (conv(auto_pad="SAME_UPPER", dilations=[2, 2]), "auto_pad with dilations"),
        (conv(auto_pad="VALID", pads=[1, 1, 1, 1]), "both auto_pad and pads"),
        (conv(auto_pad="BOTH"), 'auto_pad "BOTH"; allowed: NOTSET or SAME_UPPER'),
        (conv(dilations=[9, 9]), "is empty; no window may be wider than its input"),
        (
            model([node("Conv", "x", "x")], (1, 3, 3, 3)),
            '"x" is computed from the input; it must be',
        ),
        (pool(pads=[2, 2, 2, 2]), "pads [2, 2, 2, 2] of a window [2, 2]; pads must be smaller"),
        (pool("AveragePool", count_include_pad=2), "count_include_pad 2; allowed: 0 or 1"),
        (pool(ceil_mode=7), "ceil_mode 7; allowed: 0 or 1"),
        (reads_mask(), 'it reads "i"; of a node only the first result is computed'),
        (model([node("LeakyRelu", alpha=2.0)]), "alpha 2.0; allowed: numbers from 0 to 1"),
        (model([node("Elu", alpha=np.nan)]), "alpha nan; allowed: finite numbers"),
        (model([node("Transpose", perm=[0, -1, 1, 2])]), "perm [0, -1, 1, 2]; it must name each"),
        (model([node("Transpose", perm=[0, 0, 1, 2])]), "perm [0, 0, 1, 2]"),
        (model([node("ReduceMean", axes=[1, -3])], opset=13), "axes [1, -3]; each may be named"),
        (model([node("Softmax", axis=9)]), "axis 9 of 4; it must be an axis of the tensor"),
        (model([node("Flatten", axis=9)]), "Invalid value(9) for attribute 'axis'"),
        (model([node("Clip", min=1.0, max=0.0)], opset=6), "min 1 above max 0"),
        (model([node("Cast", to=7)]), "to 7; allowed: 1"),
        (model([node("Relu", shape=3)]), 'attribute "shape"; it is not supported'),
        (
            model([node("Concat", "x", "k", axis=1)], constants={"k": normal(1, 3, 6, 6)}),
            "constant",
        ),
        (
            model([node("Add", "x", "k")], constants={"k": np.ones(6)}),
            '"x" is float32, "k" float64',
        ),
        (model([node("Add", "x", "k")], constants={"k": np.float32(np.inf)}), "NaN or infinity"),
        (quantizes(np.int16(0)), '"q" is int16; it must be int8 or uint8'),
        (quantizes(np.uint16(0)), '"q" is uint16'),
        (per_channel(3), "3 scales for 4 channels; one for each is needed"),
        (per_channel(4, axis=7), "axis 7 of 4"),
        (fold((4, 9000), (9000, 4)), 'it computes with constants alone, and "'),
        (fold((4, 3), (4, 3)), "Incompatible dimensions for matrix multiplication"),
        (model([node("Relu", "z")]), 'it reads "z", which nothing before it gives'),
        (model([node("Relu"), node("Tanh")]), 'it gives "y" a second time'),
        (
            model([helper.make_node("Relu", ["x"], ["z"])]),
            'output "y": it is the first result of no',
        ),
        (
            model([node("Relu")], element=TensorProto.DOUBLE),
            "it is float64; float32, int8 and uint8",
        ),
        (model([node("Relu")], (4, 3)), 'input "x": batch 4; training runs one sample a step'),
        (model([node("Relu")], (0, 3)), 'input "x": batch 0'),
        (model([node("Relu")], (1, 2**31, 2**31)), "shape 1x2147483648x2147483648; at most 256 MB"),
        (versions(opset=1000), "the file: opset 1000; versions 6 to 28 are read"),
        (versions(ir=42), "the file: IR version 42; versions 3 to 14 are read"),
        (sparse(), 'initializer "k": it is sparse; store it as a dense tensor'),
        (short_data(), 'initializer "w": its data are not of shape 4x3x3x3'),
        (vast_weight(), "shape 2147483648x2147483648x3x3; at most 256 MB"),
    ],
)
def test_what_cannot_be_compiled_is_one_line(proto, expected):
    lines = [str(obstacle) for obstacle in inspect_onnx(proto)]
    assert expected in lines[0]
    assert all("\n" not in line and len(line) < 700 for line in lines)


def test_all_obstacles_are_found_at_once():
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="stem", strides=[0, 0]),
        helper.make_node("LeakyRelu", ["c"], ["l"], name="slope", alpha=3.0),
        helper.make_node("Sin", ["l"], ["s"], name="wave"),
        helper.make_node("Elu", ["s"], ["y"], name="fine"),
    ]
    proto = model(nodes, constants=WEIGHT)
    found = inspect_onnx(proto)
    assert [o.where for o in found] == [
        'Conv (node "stem")',
        'LeakyRelu (node "slope")',
        'Sin (node "wave")',
    ]
    with pytest.raises(ModelError, match=r"m\.onnx: Conv .* \(and 2 more: see `ondevice-train"):
        load_onnx_proto(proto, "m.onnx")


def test_a_name_that_is_long_or_no_text_stays_on_one_line():
    proto = model([node("Sin")])
    proto.graph.node[0].name = "a\n\0b" + "c" * 500
    assert str(inspect_onnx(proto)[0]).startswith(r'Sin (node "a\n\x00bccc')
    damaged = proto.SerializeToString().replace(b"a\n\0b", b"\xff\xff\xff\xff")
    line = str(inspect_onnx(onnx.ModelProto.FromString(damaged))[0])
    assert line == "the file: a name in it is no text; export the model anew"


def test_what_is_right_has_no_obstacle():
    assert inspect_onnx(conv(auto_pad="SAME_LOWER", strides=[2, 2])) == []
