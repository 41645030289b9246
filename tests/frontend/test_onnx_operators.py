"""ONNX Clip, Max and Min become one Relax operator each, in all their forms."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from relay_passes.graph import bindings_of, op_name
from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.frontend import load

LARGEST = float(np.finfo(np.float32).max)
NUMBERS = {"zero": 0.0, "six": 6.0, "nan": np.nan}


def write_clip(path, opset, bounds=(), extra=(), **attributes):
    """A convolution, then a Clip; `bounds` are names of `NUMBERS`, or of what `extra` computes."""
    values = [helper.make_tensor("weight", TensorProto.FLOAT, [4, 3, 1, 1], np.ones(12))]
    values += [helper.make_tensor(n, TensorProto.FLOAT, [], [v]) for n, v in NUMBERS.items()]
    conv = helper.make_node("Conv", ["x", "weight"], ["c"])
    clip = helper.make_node("Clip", ["c", *bounds], ["y"], **attributes)
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, 4, 4])
        for name, channels in (("x", 3), ("y", 4))
    ]
    graph = helper.make_graph([conv, *extra, clip], "clip", ends[:1], ends[1:], values)
    imports = [helper.make_opsetid("", opset)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8), path)


@pytest.mark.parametrize(
    "opset, bounds, attributes, expected",
    [
        (6, (), {"min": 0.0, "max": 6.0}, (0, 6)),
        (6, (), {"min": 0.0}, (0, LARGEST)),
        (11, ("zero", "six"), {}, (0, 6)),
        (13, ("zero",), {}, (0, LARGEST)),
        (13, ("", "six"), {}, (-LARGEST, 6)),
        (13, ("nan", "six"), {}, (-LARGEST, 6)),
        (17, (), {}, (-LARGEST, LARGEST)),
    ],
)
def test_bounds(tmp_path, opset, bounds, attributes, expected):
    path = tmp_path / "clip.onnx"
    write_clip(path, opset, bounds, **attributes)
    calls = [binding.value for binding in bindings_of(load(path).module["main"])]
    found = [
        tuple(float(bound.value) for bound in call.args[1:3])
        for call in calls
        if op_name(call) == "relax.clip"
    ]
    assert found == [expected]


@pytest.mark.parametrize("kind, expected", [("Max", "relax.maximum"), ("Min", "relax.minimum")])
@pytest.mark.parametrize("operands", [1, 2, 3])
def test_extrema_of_any_number_of_operands(tmp_path, kind, expected, operands):
    path = tmp_path / "extremum.onnx"
    values = [helper.make_tensor("weight", TensorProto.FLOAT, [4, 3, 1, 1], np.ones(12))]
    values += [helper.make_tensor(n, TensorProto.FLOAT, [], [v]) for n, v in NUMBERS.items()]
    nodes = [helper.make_node("Conv", ["x", "weight"], ["c"])]
    nodes.append(helper.make_node(kind, ["c", "six", "zero"][:operands], ["m"]))
    nodes.append(helper.make_node("Tanh", ["m"], ["y"]))
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, 4, 4])
        for name, channels in (("x", 3), ("y", 4))
    ]
    graph = helper.make_graph(nodes, "extremum", ends[:1], ends[1:], values)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    names = [op_name(binding.value) for binding in bindings_of(load(path).module["main"])]
    assert names.count(expected) == operands - 1 and "relax.stack" not in names


def test_bounds_that_are_computed_are_refused(tmp_path, capsys):
    path = tmp_path / "clip.onnx"
    least = helper.make_node("ReduceMean", ["c"], ["least"], keepdims=0)
    write_clip(path, 17, ("least", "six"), [least])
    with pytest.raises(OdtError, match=r'"least" is computed from the input; it must be a const'):
        load(path)
    assert capsys.readouterr().out == ""
