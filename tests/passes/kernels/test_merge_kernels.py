"""Multiply-accumulates of kernels, from the graph, through fusion and scheduling."""

import pytest
import tiny
import tvm
from tvm import relax
from tvm.relax import op

from relay_passes import LegalizeOps, lowering
from relay_passes.kernel_attributes import MACS, macs
from relay_passes.kernels.merge_kernels import MergeKernels
from relay_passes.ops.convolution import conv2d_input_grad, conv2d_weight_grad
from relay_passes.ops.registry import call
from relay_passes.tir import tirx

IMAGE, WEIGHT = (1, 4, 6, 6), (8, 4, 3, 3)
HALVED = (1, 8, 3, 3)  # what WEIGHT makes of IMAGE with stride 2
TAPS = 4 * 3 * 3
STRIDED = {"strides": 2, "padding": 1}


def attrs_of(groups: int = 1):
    """Of a 3x3 convolution with stride 2."""
    data, weight = relax.Var("x", relax.TensorType(IMAGE, "float32")), (8, 4 // groups, 3, 3)
    weight = relax.Var("w", relax.TensorType(weight, "float32"))
    return op.nn.conv2d(data, weight, groups=groups, **STRIDED).attrs


def conv2d(emit, x, w, _dy):
    return emit(op.nn.conv2d(x, w, **STRIDED))


def relu_behind(emit, x, w, dy):
    return emit(op.nn.relu(conv2d(emit, x, w, dy)))


def dense(emit, x, _w, _dy):
    rows = emit(op.reshape(x, (24, 6)))
    return emit(op.matmul(rows, emit(op.permute_dims(rows, [1, 0]))))


def input_grad(emit, _x, w, dy):
    return emit(conv2d_input_grad(dy, w, IMAGE, attrs_of()))


def weight_grad(emit, x, _w, dy):
    return emit(conv2d_weight_grad(dy, x, WEIGHT, attrs_of()))


def elementwise(emit, x, _w, _dy):
    return emit(op.exp(x))


@pytest.mark.parametrize("fuse", [False, True])
@pytest.mark.parametrize(
    "body, expected",
    [
        (conv2d, 8 * 9 * TAPS),
        (relu_behind, 8 * 9 * TAPS),
        (dense, 24 * 24 * 6),
        (input_grad, 8 * 9 * TAPS),  # for each adjoint, not for each element of the result
        (weight_grad, 8 * 9 * TAPS),
        (elementwise, 0),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_scheduled_kernels_carry_their_macs(body, expected, fuse):
    types = {"x": (IMAGE, "float32"), "w": (WEIGHT, "float32"), "dy": (HALVED, "float32")}
    lowered = lowering(fuse)(tiny.module(types, body))
    kernels = [f for _, f in lowered.functions_items() if isinstance(f, tirx.PrimFunc)]
    assert sum(map(macs, kernels)) == expected
    assert all(int(k.attrs["tirx.is_scheduled"]) for k in kernels)


def test_a_depthwise_gradient_and_a_slice_count_what_they_compute():
    geometry = {"strides": [1, 1], "padding": [1] * 4, "dilation": [1, 1]}
    types = {"x": (IMAGE, "float32"), "dy": (IMAGE, "float32")}

    def body(emit, x, dy):
        slice_ = {"shape": [2, 1, 3, 3], "rows": [1, 3], "groups": 2, **geometry}
        taken = emit(call("take_channels", x, ranges=[1, 3], axis=1))
        return emit(call("conv2d_weight_grad", dy, taken, **slice_))

    lowered = lowering(True)(tiny.module(types, body))
    kernels = [f for _, f in lowered.functions_items() if isinstance(f, tirx.PrimFunc)]
    assert sum(map(macs, kernels)) == 36 * 2 * 9


def test_a_merged_kernel_has_the_sum_of_its_parts_and_others_have_none():
    def body(emit, x, w):
        y = emit(op.nn.conv2d(x, w, padding=1))
        return emit(op.exp(emit(op.nn.relu(y))))

    square = (4, 4, 3, 3)
    module = tiny.module({"x": (IMAGE, "float32"), "w": (square, "float32")}, body)
    legalize = [LegalizeOps(), relax.transform.AnnotateTIROpPattern()]
    fused = tvm.transform.Sequential([*legalize, relax.transform.FuseOps()])(module)
    (kernel,) = [
        f for _, f in MergeKernels()(fused).functions_items() if isinstance(f, tirx.PrimFunc)
    ]
    assert macs(kernel) == 4 * 36 * TAPS
    exp = tiny.module({"x": (IMAGE, "float32")}, lambda emit, x: emit(op.exp(x)))
    (plain,) = [f for _, f in legalize[0](exp).functions_items() if isinstance(f, tirx.PrimFunc)]
    assert macs(plain) == 0 and MACS not in plain.attrs
