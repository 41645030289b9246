"""Every operator and attribute value on the list of what is accepted, against ONNX Runtime."""

import numpy as np
import pytest
from onnx import helper
from onnx_cases import computed, model, node, normal, runtime_result

from tvm_ondevice_train.frontend.onnx import load_onnx_proto
from tvm_ondevice_train.frontend.onnx.accepted import DOMAINS

pytest.importorskip("onnxruntime")

COLUMN = {"k": normal(3, 1, 1)}
WEIGHT = {"w": normal(4, 3, 3, 3), "b": normal(4)}
DENSE = {"w": normal(6, 5), "b": normal(5)}
NORM = {"s": normal(3), "b": normal(3, seed=1), "m": normal(3, seed=2), "v": np.abs(normal(3))}
SCALE = {"s": np.float32(0.05), "z": np.int8(3), "n": np.float32(-0.2), "p": np.float32(0.4)}
BYTES = {**SCALE, "z": np.uint8(128)}
INTEGERS = {"flat": np.array([1, -1]), "kept": np.array([0, 0, -1]), "two": np.array([2, 3])}
ROW, WIDE, SQUARE = (1, 6), (1, 1, 6), (1, 3, 6, 6)
CHANNELS, BLOCKS = (1, 8, 4, 4), (1, 2, 6, 6)


def case(kind, *operands, shape=SQUARE, constants=None, opset=20, **attributes):
    """Model of one node, and the shape of its input; Neg keeps a softmax from being the output."""
    said = " ".join(f"{name}={value}" for name, value in attributes.items())
    one = node(kind, *operands, **attributes)
    one.output[0] = "one"
    one.name = "the other"
    proto = model([one, node("Neg", "one")], shape, constants, opset)
    return pytest.param(proto, shape, id=f"{kind} {' '.join(operands)} {said} opset{opset}")


def unary():
    for kind in ("Abs", "Erf", "Exp", "HardSwish", "Mish", "Neg", "Reciprocal", "Relu"):
        yield case(kind)
    for kind in ("Sigmoid", "Softplus", "Softsign", "Tanh", "GlobalAveragePool", "Identity"):
        yield case(kind)
    for kind, attribute, values in (
        ("Elu", "alpha", (0.5, -0.5)),
        ("Gelu", "approximate", ("none", "tanh")),
        ("HardSigmoid", "alpha", (0.3,)),
        ("HardSigmoid", "beta", (0.1,)),
        ("LeakyRelu", "alpha", (0.0, 0.3, 1.0)),
        ("Selu", "alpha", (0.5,)),
        ("Selu", "gamma", (0.5,)),
        ("Softmax", "axis", (0, 1, -1)),
        ("LogSoftmax", "axis", (0, 2)),
        ("Flatten", "axis", (0, 2, -1)),
        ("Transpose", "perm", ([0, 2, 3, 1],)),
        ("Cast", "to", (1,)),
    ):
        if kind not in ("Gelu", "Cast"):
            yield case(kind)
        yield from (case(kind, **{attribute: value}) for value in values)
    yield case("Softmax", axis=1, opset=11)
    yield case("LogSoftmax", axis=2, opset=11)


def of_positive_numbers():
    for kind in ("Log", "Sqrt"):
        first = helper.make_node("Abs", ["x"], ["a"])
        yield pytest.param(model([first, node(kind, "a")], ROW), ROW, id=kind)


def binary():
    for kind in ("Add", "Sub", "Mul", "Div", "Max", "Min"):
        for operands in (("x", "k"), ("k", "x"), ("x", "x")):
            yield case(kind, *operands, constants=COLUMN)
        yield case(kind, "x", "k", constants={"k": normal(1, 3, 6, 6)})
    yield case("Max", "x", "k", "x", constants=COLUMN)
    yield case("Max", "x")
    yield case("PRelu", "x", "k", constants=COLUMN)
    yield case("PRelu", "x", "k", constants={"k": normal(1)})
    yield case("CastLike", "x", "k", constants=COLUMN)
    yield case("Concat", "x", "x", axis=1)
    yield case("Concat", "x", "x", axis=-1)


def clips():
    for bounds in (("n", "p"), ("n",), ("", "p"), ("p", "n")):
        yield case("Clip", "x", *bounds, constants=SCALE)
    yield case("Clip", min=-0.2, max=0.4, opset=6)


def layers():
    for attributes in (
        {},
        {"strides": [2, 1], "pads": [1, 0, 2, 1]},
        {"dilations": [2, 1], "kernel_shape": [3, 3]},
        *({"auto_pad": pad, "strides": [2, 2]} for pad in ("SAME_UPPER", "SAME_LOWER", "VALID")),
        {"auto_pad": "NOTSET", "pads": [1, 1, 1, 1]},
    ):
        yield case("Conv", "x", "w", "b", constants=WEIGHT, **attributes)
    yield case("Conv", "x", "w", constants={"w": normal(6, 1, 3, 3)}, group=3)
    yield case("Conv", "x", "w", constants={"w": normal(2, 1, 3)}, shape=WIDE, pads=[2, 1])
    for attributes in ({}, {"alpha": 0.5, "beta": 2.0}):
        yield case("Gemm", "x", "w", "b", shape=ROW, constants=DENSE, **attributes)
    turned = {"w": DENSE["w"].T.copy(), "b": DENSE["b"]}
    yield case("Gemm", "x", "w", "b", shape=ROW, constants=turned, transB=1)
    yield case("Gemm", "x", "w", shape=(1, 1), constants={"w": normal(1, 5)}, transA=1)
    yield case("MatMul", "x", "w", shape=ROW, constants=DENSE)
    yield case("MatMul", "x", "w", shape=(1, 3, 6), constants=DENSE)
    yield case("MatMul", "w", "x", shape=(1, 5, 1), constants={"w": normal(4, 5)})
    yield case("MatMul", "w", "x", shape=(1, 5, 3), constants={"w": normal(4, 5)})
    for attributes in ({}, {"epsilon": 0.1, "momentum": 0.3, "training_mode": 0}):
        yield case("BatchNormalization", "x", *"sbmv", constants=NORM, **attributes)
    yield case("BatchNormalization", "x", *"sbmv", constants=NORM, opset=8, spatial=1)


def pools():
    window = {"kernel_shape": [3, 2], "strides": [2, 2]}
    for kind in ("MaxPool", "AveragePool"):
        yield case(kind, **window)
        for pad in ("SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET"):
            yield case(kind, shape=(1, 3, 5, 7), auto_pad=pad, **window)
        for ceil in (0, 1):
            yield case(kind, ceil_mode=ceil, pads=[1, 1, 0, 1], **window)
            yield case(kind, ceil_mode=ceil, dilations=[2, 1], **window)
        yield case(kind, shape=WIDE, kernel_shape=[2], strides=[3], pads=[1, 1], ceil_mode=1)
    for counted in (0, 1):
        for ceil in (0, 1):
            attributes = {"count_include_pad": counted, "ceil_mode": ceil, "pads": [1, 0, 2, 1]}
            yield case("AveragePool", **attributes, **window)
    yield case("MaxPool", storage_order=1, kernel_shape=[2, 2])


def shapes():
    yield case("Reshape", "x", "flat", constants=INTEGERS)
    yield case("Reshape", "x", "kept", constants=INTEGERS, allowzero=0)
    yield case("Reshape", "x", "flat", constants=INTEGERS, allowzero=1)
    for opset in (11, 13):
        unit = {"a": np.array([2, -1])}
        operands, axes = (("x",), {"axes": [2, -1]}) if opset < 13 else (("x", "a"), {})
        yield case("Squeeze", *operands, shape=(1, 3, 1, 1), constants=unit, opset=opset, **axes)
        yield case("Unsqueeze", *operands, shape=ROW, constants=unit, opset=opset, **axes)
    for keep in (0, 1):
        yield case("ReduceMean", axes=[2, -1], keepdims=keep, opset=13)
        yield case("ReduceMean", "x", "two", constants=INTEGERS, keepdims=keep)
        yield case("ReduceMean", keepdims=1, noop_with_empty_axes=keep)
    yield case("Dropout", "x", "p", constants=SCALE, seed=3)
    yield case("Dropout", ratio=0.3, opset=7)
    for mode in ("DCR", "CRD"):
        yield case("DepthToSpace", shape=CHANNELS, blocksize=2, mode=mode)
    yield case("SpaceToDepth", shape=BLOCKS, blocksize=3)


def quantized():
    """Codes in the middle of a network, where nothing moves to the host."""
    for constants, opset, encode, decode in (
        (SCALE, 21, {"saturate": 1}, {}),
        (BYTES, 21, {"axis": 1}, {"axis": 1}),
        (SCALE, 21, {"output_dtype": 3, "block_size": 0}, {"block_size": 0}),
        (SCALE, 23, {"precision": 0}, {"output_dtype": 1}),
    ):
        nodes = [
            helper.make_node("Neg", ["x"], ["n1"]),
            helper.make_node("QuantizeLinear", ["n1", "s", "z"], ["q"], **encode),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"], **decode),
            node("Neg", "d"),
        ]
        label = f"QDQ {encode} {decode} opset{opset}"
        yield pytest.param(model(nodes, SQUARE, constants, opset), SQUARE, id=label)


def microsoft():
    for kind, operands in (
        ("Gelu", "x"),
        ("FastGelu", "x"),
        ("FastGelu", "xk"),
        ("BiasGelu", "xk"),
    ):
        one = helper.make_node(kind, list(operands), ["y"], domain="com.microsoft")
        proto = model([one], ROW, {"k": normal(6)}, domains=["com.microsoft"])
        yield pytest.param(proto, ROW, id=f"com.microsoft.{kind} {operands}")


CASES = [
    *unary(),
    *of_positive_numbers(),
    *binary(),
    *clips(),
    *layers(),
    *pools(),
    *shapes(),
    *quantized(),
    *microsoft(),
]


@pytest.mark.parametrize("proto, shape", CASES)
def test_an_accepted_node_computes_what_onnx_runtime_does(proto, shape):
    x = normal(*shape, seed=7)
    expected = runtime_result(proto, x)
    found = computed(load_onnx_proto(proto, "case.onnx"), x)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


# of opset 6 alone, where ONNX Runtime has no kernel; and of casts between float32 and float32
UNTRIED = {("Gemm", "broadcast")} | {
    (kind, name)
    for kind, name in (
        *((k, n) for k in ("Add", "Sub", "Mul", "Div") for n in ("axis", "broadcast")),
        *((k, n) for k in ("Cast", "CastLike") for n in ("saturate", "round_mode")),
    )
}


def test_every_operator_and_attribute_on_the_list_is_tried():
    nodes = [one for case in CASES for one in case.values[0].graph.node]
    tried = {(one.domain, one.op_type) for one in nodes}
    tried_attributes = {(one.op_type, a.name) for one in nodes for a in one.attribute}
    for domain in ("", "com.microsoft"):
        for kind, accepted in DOMAINS[domain].items():
            same = domain and kind in DOMAINS[""]
            assert (domain, kind) in tried or same, kind
            missing = {(kind, name) for name in accepted.attributes} - tried_attributes - UNTRIED
            assert not missing
