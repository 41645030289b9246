"""Gradients read layouts, dtypes and symbolic batches, or are refused in one line."""

import numpy as np
import pytest
import torch
import tvm
from against_torch import check, constant, normal, step_of
from torch.nn import functional
from tvm import relax

op, nn = relax.op, relax.op.nn


def laid(tensor, layout, wanted):
    """`tensor` of `layout` in the layout `wanted`."""
    return tensor.transpose([layout.index(axis) for axis in wanted])


def permuted(tensor, layout, wanted):
    return tensor.permute([layout.index(axis) for axis in wanted])


CONVOLUTION = {"strides": (2, 1), "padding": (1, 0, 2, 1), "dilation": (1, 2)}


def check_convolution(data_layout, kernel_layout, groups=1, dtype="float32", multiplier=None):
    outputs = 6 if multiplier is None else 4 * multiplier
    data, weight = normal(2, 4, 7, 6), normal(outputs, 4 // groups, 3, 2)
    layouts = {"data_layout": data_layout, "kernel_layout": kernel_layout}

    def reference(x, w):
        x, w = permuted(x, data_layout, "NCHW"), permuted(w, kernel_layout, "OIHW")
        x = functional.pad(x, (0, 1, 1, 2))
        y = functional.conv2d(x, w, stride=(2, 1), dilation=(1, 2), groups=groups)
        return permuted(y, "NCHW", data_layout)

    check(
        lambda emit, x, w: emit(nn.conv2d(x, w, groups=groups, **CONVOLUTION, **layouts)),
        reference,
        laid(data, "NCHW", data_layout),
        laid(weight, "OIHW", kernel_layout),
        dtype=dtype,
    )


@pytest.mark.parametrize(
    "layouts",
    ["NCHW OIHW", "NHWC OHWI", "NHWC HWIO", "NCHW HWIO", "NHWC HWOI", "HWCN HWIO"],
)
def test_convolution(layouts):
    check_convolution(*layouts.split())


@pytest.mark.parametrize("layouts", ["NHWC HWIO", "NHWC OHWI"])
@pytest.mark.parametrize("groups, multiplier", [(2, None), (4, 1), (4, 2)])
def test_convolution_in_groups(layouts, groups, multiplier):
    check_convolution(*layouts.split(), groups, multiplier=multiplier)


@pytest.mark.parametrize("layout", ["NHWC", "HWNC"])
@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize("kind", ["max", "avg"])
def test_pool(kind, layout, ceil):
    pool = {"max": nn.max_pool2d, "avg": nn.avg_pool2d}[kind]
    further = {"count_include_pad": False} if kind == "avg" else {}

    def reference(x):
        x = permuted(x, layout, "NCHW")
        own = {"max": functional.max_pool2d, "avg": functional.avg_pool2d}[kind]
        return permuted(own(x, 3, 2, 1, ceil_mode=ceil, **further), "NCHW", layout)

    check(
        lambda emit, x: emit(pool(x, (3, 3), (2, 2), (1,) * 4, ceil_mode=ceil, layout=layout)),
        reference,
        laid(normal(2, 3, 8, 7), "NCHW", layout),
    )


def test_a_result_in_another_layout_than_the_operand():
    """TVM cannot lower such a convolution, so its gradient is compared with that of a plain one."""

    def shapes(out_layout):
        step = step_of(
            lambda emit, x, w: emit(nn.conv2d(x, w, data_layout="NHWC", out_layout=out_layout)),
            [(1, 5, 5, 2), (3, 2, 3, 3)],
        )
        _, gradients = step["main"].ret_ty.fields
        return [tuple(int(n) for n in field.shape) for field in gradients.fields]

    assert shapes("NCHW") == shapes("NHWC") == [(1, 5, 5, 2), (3, 2, 3, 3)]


NARROW = ["float16", "bfloat16"]
SLOPES = normal(4)
OPERATORS = {
    "conv2d": lambda dtype: check_convolution("NCHW", "OIHW", dtype=dtype),
    "max_pool2d": lambda dtype: check(
        lambda emit, x: emit(nn.max_pool2d(x, (2, 2), (2, 2))),
        lambda x: functional.max_pool2d(x, 2),
        normal(1, 3, 6, 6),
        dtype=dtype,
    ),
    "avg_pool2d": lambda dtype: check(
        lambda emit, x: emit(nn.avg_pool2d(x, (3, 3), (2, 2))),
        lambda x: functional.avg_pool2d(x, 3, 2),
        normal(1, 3, 7, 7),
        dtype=dtype,
    ),
    "relu": lambda dtype: check(
        lambda emit, x: emit(nn.relu(x)), functional.relu, normal(3, 4), dtype=dtype
    ),
    "clip": lambda dtype: check(
        lambda emit, x: emit(op.clip(x, -1, 0.5)),
        lambda x: torch.clip(x, -1, 0.5),
        normal(3, 4),
        dtype=dtype,
    ),
    "gelu": lambda dtype: check(
        lambda emit, x: emit(nn.gelu(x)), functional.gelu, normal(3, 4), dtype=dtype
    ),
    "matmul": lambda dtype: check(
        lambda emit, x, y: emit(op.matmul(x, y)),
        torch.matmul,
        normal(3, 4),
        normal(4, 5),
        dtype=dtype,
    ),
    "a bias of many pixels": lambda dtype: check(
        lambda emit, x, b: emit(op.add(x, b)),
        lambda x, b: x + b,
        normal(1, 2, 64, 64),
        normal(2, 1, 1),
        dtype=dtype,
    ),
}


@pytest.mark.parametrize("dtype", [*NARROW, "float64"])
@pytest.mark.parametrize("operator", OPERATORS)
def test_dtype(operator, dtype):
    OPERATORS[operator](dtype)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_prelu(dtype):
    check(
        lambda emit, x, a: emit(nn.prelu(x, a, -1)),
        lambda x, a: torch.where(x > 0, x, a * x),
        normal(2, 3, 4),
        SLOPES,
        dtype=dtype,
    )


@pytest.mark.parametrize("name", ["conv2d", "matmul"])
def test_a_sum_in_float32_of_float16(name):
    """As `ToMixedPrecision` writes it: ``astype(conv2d(x, w, out_dtype="float32"), "float16")``."""
    operator, reference, *shapes = {
        "conv2d": (nn.conv2d, functional.conv2d, (1, 3, 5, 5), (4, 3, 3, 3)),
        "matmul": (op.matmul, torch.matmul, (3, 4), (4, 5)),
    }[name]
    check(
        lambda emit, x, w: emit(op.astype(emit(operator(x, w, out_dtype="float32")), "float16")),
        reference,
        *(normal(*shape) for shape in shapes),
        dtype="float16",
    )


def network(emit, x, w, b, v, head):
    """Two convolutions, the second one depthwise, an average pool, a mean, a dense layer."""
    y = emit(nn.relu(emit(op.add(emit(nn.conv2d(x, w, padding=1)), b))))
    y = emit(nn.relu(emit(nn.conv2d(y, v, padding=1, groups=4))))
    y = emit(op.mean(emit(nn.avg_pool2d(y, (2, 2), (2, 2))), [2, 3]))
    return emit(nn.log_softmax(emit(op.matmul(y, head))))


def network_in_pytorch(x, w, b, v, head):
    y = functional.relu(functional.conv2d(x, w, padding=1) + b)
    y = functional.relu(functional.conv2d(y, v, padding=1, groups=4))
    return (functional.avg_pool2d(y, 2).mean((2, 3)) @ head).log_softmax(-1)


CHANNELS_LAST = relax.transform.ConvertLayout({"relax.nn.conv2d": ["NHWC", "OHWI"]})
MIXED = relax.transform.ToMixedPrecision()


@pytest.mark.parametrize(
    "before",
    [[CHANNELS_LAST], [MIXED], [CHANNELS_LAST, MIXED]],
    ids=["ConvertLayout", "ToMixedPrecision", "both"],
)
def test_behind_a_pass_of_tvms(before):
    shapes = (1, 3, 8, 8), (4, 3, 3, 3), (4, 1, 1), (4, 1, 3, 3), (4, 5)
    check(network, network_in_pytorch, *(normal(*shape) for shape in shapes), before=before)


def conv(emit, x, w, **attrs):
    return emit(nn.conv2d(x, w, padding=1, **attrs))


SYMBOLIC = {
    "conv2d": (
        lambda emit, x, w, b: emit(op.add(conv(emit, x, w, strides=2), b)),
        lambda x, w, b: functional.conv2d(x, w, padding=1, stride=2) + b,
        (4, 3, 3, 3),
        (4, 1, 1),
    ),
    "depthwise": (
        lambda emit, x, w, v: conv(emit, emit(nn.relu(conv(emit, x, w))), v, groups=4),
        lambda x, w, v: functional.conv2d(
            functional.relu(functional.conv2d(x, w, padding=1)), v, padding=1, groups=4
        ),
        (4, 3, 3, 3),
        (8, 1, 3, 3),
    ),
    "max_pool2d": (
        lambda emit, x, w: emit(nn.max_pool2d(conv(emit, x, w), (3, 3), (2, 2), (1,) * 4)),
        lambda x, w: functional.max_pool2d(functional.conv2d(x, w, padding=1), 3, 2, 1),
        (4, 3, 3, 3),
    ),
    "avg_pool2d": (
        lambda emit, x, w: emit(nn.avg_pool2d(conv(emit, x, w), (2, 2), (2, 2))),
        lambda x, w: functional.avg_pool2d(functional.conv2d(x, w, padding=1), 2),
        (4, 3, 3, 3),
    ),
    "clip, gelu, prelu": (
        lambda emit, x, w, a: emit(
            nn.prelu(emit(nn.gelu(emit(op.clip(conv(emit, x, w), -2, 2)))), a, 1)
        ),
        lambda x, w, a: functional.prelu(
            functional.gelu(torch.clip(functional.conv2d(x, w, padding=1), -2, 2)), a
        ),
        (4, 3, 3, 3),
        (4,),
    ),
}


@pytest.mark.parametrize("name", SYMBOLIC)
def test_a_symbolic_batch(name):
    operator, reference, *shapes = SYMBOLIC[name]
    arrays = [normal(*shape) for shape in shapes]
    check(operator, reference, *arrays, batch=normal(2, 3, 8, 8))


def quantized(emit, x, scale, zero_point, dtype, axis=0, out_dtype="float32"):
    codes = emit(op.quantize(x, scale, zero_point, axis, dtype))
    return emit(op.dequantize(codes, scale, zero_point, axis, out_dtype))


WIDE = 30 * np.random.default_rng(0).uniform(-1, 1, size=(20, 3, 9))


@pytest.mark.parametrize(
    "dtype, low, high",
    [("int8", -128, 127), ("uint8", 0, 255), ("int16", -32768, 32767), ("uint16", 0, 65535)],
)
def test_fake_quantize(dtype, low, high):
    scale = 0.1 if dtype.endswith("int8") else 0.0005
    check(
        lambda emit, x: quantized(emit, x, constant(scale), constant(3, dtype), dtype),
        lambda x: torch.fake_quantize_per_tensor_affine(x, scale, 3, low, high),
        WIDE,
    )


@pytest.mark.parametrize("zero_points", [[1, -3, 7], 0])
def test_fake_quantize_per_channel(zero_points):
    scales = [0.1, 0.05, 0.2]
    coding = constant(scales), constant(zero_points, "int8")
    numbers = torch.tensor(np.broadcast_to(np.int32(zero_points), 3).copy())
    check(
        lambda emit, x: quantized(emit, x, *coding, "int8", axis=1),
        lambda x: torch.fake_quantize_per_channel_affine(
            x, torch.tensor(scales), numbers, 1, -128, 127
        ),
        WIDE,
    )


def test_fake_quantize_with_a_computed_scale():
    def operator(emit, x):
        scale = emit(op.add(constant(0.05), constant(0.05)))
        return quantized(emit, x, scale, constant(3, "uint8"), "uint8")

    check(operator, lambda x: torch.fake_quantize_per_tensor_affine(x, 0.1, 3, 0, 255), WIDE)


def test_fake_quantize_of_float16():
    check(
        lambda emit, x: quantized(
            emit, x, constant(0.125), constant(3, "int8"), "int8", out_dtype="float16"
        ),
        lambda x: torch.fake_quantize_per_tensor_affine(x.float(), 0.125, 3, -128, 127).half(),
        WIDE,
        dtype="float16",
    )


REFUSED = {
    "relax.nn.conv2d has no gradient in layout": (
        lambda emit, x, w: emit(nn.conv2d(x, w, data_layout="NCHW4c", kernel_layout="OIHW4o")),
        [(1, 1, 5, 5, 4), (1, 4, 3, 3, 4)],
        (1, 1, 3, 3, 4),
    ),
    "relax.quantize has no gradient for float8_e4m3fn codes": (
        lambda emit, x: quantized(emit, x, constant(1), constant(0, "float16"), "float8_e4m3fn"),
        [(2, 3)],
        (2, 3),
    ),
    "relax.astype has no gradient to int8": (
        lambda emit, x: emit(op.astype(emit(op.astype(x, "int8")), "float32")),
        [(2, 3)],
        (2, 3),
    ),
    'relax.nn.pad has no gradient in mode "reflect"': (
        lambda emit, x: emit(nn.pad(x, [0, 0, 1, 1], "reflect")),
        [(2, 3)],
        (2, 5),
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_refused_in_one_line(message):
    operator, shapes, target = REFUSED[message]
    with pytest.raises(ValueError) as refusal:
        step_of(operator, shapes, target=target)
    assert message in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "attrs, axis, message",
    [
        ({}, 2, "where an extent is n and no number"),
        ({"dilation": 2}, 0, "with dilation and a batch that is no number"),
    ],
)
def test_a_symbolic_extent_is_refused(attrs, axis, message):
    extents = [2, 3, 8, 8]
    extents[axis] = tvm.tirx.Var("n", "int64")
    with pytest.raises(ValueError, match=f"relax.nn.conv2d has no gradient {message}"):
        step_of(
            lambda emit, x, w: emit(op.sum(emit(nn.conv2d(x, w, **attrs)))),
            [(4, 3, 3, 3)],
            batch=extents,
        )
