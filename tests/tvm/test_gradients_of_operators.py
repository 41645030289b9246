"""Every operator with a gradient, TVM's rule or ours, beside PyTorch's autograd."""

import numpy as np
import pytest
import torch
from against_torch import check, constant, normal
from torch.nn import functional
from tvm import relax

op, nn = relax.op, relax.op.nn
POSITIVE = np.random.default_rng(1).uniform(0.2, 0.9, size=(2, 3))
TIES = np.array([[0.0, 1.0, -1.0]])
CHANNELS = [np.random.default_rng(seed).uniform(0.5, 2, 3).astype(np.float32) for seed in (1, 2)]


def first(emit, pair, position=0):
    return emit(relax.TupleGetItem(emit(pair), position))


# name -> operator of Relax, the same in PyTorch, operands
CASES = {
    "matmul, vector": (op.matmul, torch.matmul, normal(4), normal(4, 5)),
    "matmul, by vector": (op.matmul, torch.matmul, normal(2, 3, 4), normal(4)),
    "matmul, two vectors": (op.matmul, torch.matmul, normal(4), normal(4)),
    "matmul, batches": (op.matmul, torch.matmul, normal(2, 1, 3, 4), normal(3, 4, 5)),
    "matmul, one of a batch": (op.matmul, torch.matmul, normal(2, 3, 4), normal(4, 5)),
    "linear": (op.linear, functional.linear, normal(3, 4), normal(5, 4), normal(5)),
    "softmax": (lambda x: nn.softmax(x, 1), lambda x: x.softmax(1), normal(2, 3, 4)),
    "log_softmax": (lambda x: nn.log_softmax(x, 0), lambda x: x.log_softmax(0), normal(2, 3, 4)),
    "mean": (lambda x: op.mean(x, [0, -1]), lambda x: x.mean((0, -1)), normal(2, 3, 4)),
    "sum": (lambda x: op.sum(x, [-2], True), lambda x: x.sum(-2, True), normal(2, 3, 4)),
    "variance": (
        lambda x: op.variance(x, [1]),
        lambda x: x.var(1, correction=0),
        normal(2, 3, 4),
    ),
    "max": (lambda x: op.max(x, [-1]), lambda x: x.amax(-1), [[1, 1, 0, 0], [1, 2, 3, 0]]),
    "min of all": (op.min, torch.amin, normal(2, 3)),
    "flatten": (op.flatten, torch.flatten, normal(2, 3, 4)),
    "batch_flatten": (nn.batch_flatten, lambda x: x.flatten(1), normal(2, 3, 4)),
    "concat": (
        lambda x, y: op.concat([x, y], -1),
        lambda x, y: torch.cat([x, y], -1),
        normal(2, 3),
        normal(2, 4),
    ),
    "stack": (
        lambda x, y: op.stack([x, y], 1),
        lambda x, y: torch.stack([x, y], 1),
        normal(2, 3),
        normal(2, 3),
    ),
    "permute_dims": (
        lambda x: op.permute_dims(x, [-1, 0, 1]),
        lambda x: x.permute(2, 0, 1),
        normal(2, 3, 4),
    ),
    "squeeze": (lambda x: op.squeeze(x, [1]), lambda x: x.squeeze(1), normal(2, 1, 4)),
    "squeeze all": (op.squeeze, torch.squeeze, normal(2, 1, 4)),
    "expand_dims": (lambda x: op.expand_dims(x, [0, 2]), lambda x: x[None, :, None], normal(2, 4)),
    "flip": (lambda x: op.flip(x, 1), lambda x: x.flip(1), normal(2, 3)),
    "strided_slice": (
        lambda x: op.strided_slice(x, [0, 2], [-2, 1], [100, -1], [1, 3]),
        lambda x: x[-2:100, :, 1:-1:3] * 1,
        normal(3, 2, 9),
    ),
    "strided_slice from below": (
        lambda x: op.strided_slice(x, [0], [-9], [2]),
        lambda x: x[-9:2] * 1,
        normal(3, 2),
    ),
    "pad": (
        lambda x: nn.pad(x, [0, 0, 0, 0, 1, 2, 3, 0]),
        lambda x: functional.pad(x, (3, 0, 1, 2)),
        normal(1, 2, 3, 4),
    ),
    "take, last axis": (
        lambda x: op.take(x, constant([1, 1, 0], "int32"), -1),
        lambda x: x[:, [1, 1, 0]],
        normal(2, 5),
    ),
    "take, indices of two axes": (
        lambda x: op.take(x, constant([[1, 1], [0, 4]], "int64"), 1),
        lambda x: x[:, torch.tensor([[1, 1], [0, 4]])],
        normal(2, 5, 3),
    ),
    "take, one": (lambda x: op.take(x, constant(1, "int32"), 0), lambda x: x[1] * 1, normal(2, 5)),
    "take, clipped": (
        lambda x: op.take(x, constant([0, 9, -7], "int32"), 1, mode="clip"),
        lambda x: x[:, [0, 4, 0]],
        normal(2, 5),
    ),
    "take, wrapped": (
        lambda x: op.take(x, constant([0, -1, 6], "int64"), 1, mode="wrap"),
        lambda x: x[:, [0, 4, 1]],
        normal(2, 5),
    ),
    "where": (
        lambda x, y: op.where(constant([[True], [False]], "bool"), x, y),
        lambda x, y: torch.where(torch.tensor([[True], [False]]), x, y),
        normal(1, 3),
        normal(2, 1),
    ),
    "broadcast_to": (
        lambda x: op.broadcast_to(x, (4, 2, 3)),
        lambda x: x.expand(4, 2, 3),
        normal(2, 1),
    ),
    "cumsum": (lambda x: op.cumsum(x, 1), lambda x: x.cumsum(1), normal(2, 3)),
    "power": (op.power, torch.pow, POSITIVE, normal(3)),
    "add": (op.add, torch.add, normal(3, 1), normal(4)),
    "subtract": (op.subtract, torch.sub, normal(3, 1), normal(4)),
    "divide": (op.divide, torch.div, normal(2, 1), POSITIVE),
    "maximum": (op.maximum, torch.maximum, TIES, TIES * [[1, 1, 2]]),
    "maximum, broadcast": (op.maximum, torch.maximum, normal(3, 4), normal(4)),
    "minimum": (op.minimum, torch.minimum, TIES, TIES * [[1, 1, 2]]),
    "abs": (op.abs, torch.abs, TIES),
    "relu": (nn.relu, torch.relu, TIES),
    "clip": (lambda x: op.clip(x, 0, 1), lambda x: x.clip(0, 1), TIES),
    "relu6": (nn.relu6, functional.relu6, 4 * normal(3, 4)),
    "leakyrelu": (
        lambda x: nn.leakyrelu(x, 0.2),
        lambda x: functional.leaky_relu(x, 0.2),
        normal(3, 4),
    ),
    "silu": (nn.silu, functional.silu, normal(3, 4)),
    "softplus": (
        lambda x: nn.softplus(x, 2.0),
        lambda x: functional.softplus(x, 2.0),
        3 * normal(3, 4),
    ),
    "prelu": (lambda x, a: nn.prelu(x, a, 1), functional.prelu, normal(2, 3, 4), normal(3)),
    "prelu of one slope": (
        lambda x, a: nn.prelu(x, a, -1),
        functional.prelu,
        normal(2, 3, 4),
        normal(1),
    ),
    "layer_norm": (
        lambda x, g, b: nn.layer_norm(x, g, b, [-2, -1]),
        lambda x, g, b: functional.layer_norm(x, (3, 4), g, b),
        normal(2, 3, 4),
        normal(3, 4),
        normal(3, 4),
    ),
    "rms_norm": (
        lambda x, g: nn.rms_norm(x, g, [-1], 1e-5),
        lambda x, g: functional.rms_norm(x, (4,), g, 1e-5),
        normal(2, 3, 4),
        normal(4),
    ),
    "group_norm, channels last": (
        lambda x, g, b: nn.group_norm(x, g, b, 2, -1, [1, 2]),
        lambda x, g, b: functional.group_norm(x.movedim(-1, 1), 2, g, b).movedim(1, -1),
        normal(2, 3, 3, 4),
        normal(4),
        normal(4),
    ),
    "instance_norm": (
        lambda x, g, b: nn.instance_norm(x, g, b, 1, [2, 3]),
        lambda x, g, b: functional.instance_norm(x, weight=g, bias=b),
        normal(2, 4, 3, 3),
        normal(4),
        normal(4),
    ),
    "nll_loss": (
        lambda x: nn.nll_loss(nn.log_softmax(x), constant([1, 0], "int32"), reduction="mean"),
        lambda x: functional.cross_entropy(x, torch.tensor([1, 0])),
        normal(2, 3),
    ),
    "conv1d": (
        lambda x, w: nn.conv1d(x, w, padding=(2, 1), strides=2, dilation=2, groups=2),
        lambda x, w: functional.conv1d(
            functional.pad(x, (2, 1)), w, stride=2, dilation=2, groups=2
        ),
        normal(2, 4, 9),
        normal(6, 2, 3),
    ),
    "conv1d, channels last": (
        lambda x, w: nn.conv1d(x, w, padding=1, data_layout="NWC", kernel_layout="WIO"),
        lambda x, w: functional.conv1d(x.mT, w.permute(2, 1, 0), padding=1).mT,
        normal(2, 9, 4),
        normal(3, 4, 5),
    ),
    "max_pool1d": (
        lambda x: nn.max_pool1d(x, 3, 2, (1, 1), layout="NWC"),
        lambda x: functional.max_pool1d(x.mT, 3, 2, 1).mT,
        normal(2, 9, 4),
    ),
    "avg_pool1d": (
        lambda x: nn.avg_pool1d(x, 3, 2, (1, 1), count_include_pad=True),
        lambda x: functional.avg_pool1d(x, 3, 2, 1),
        normal(2, 4, 9),
    ),
    "conv2d_transpose": (
        lambda x, w: nn.conv2d_transpose(
            x, w, strides=(2, 3), padding=(1, 0, 1, 0), output_padding=(1, 2), groups=2
        ),
        lambda x, w: functional.conv_transpose2d(
            x, w, stride=(2, 3), padding=(1, 0), output_padding=(1, 2), groups=2
        ),
        normal(2, 4, 4, 3),
        normal(4, 3, 3, 2),
    ),
    "adaptive_avg_pool2d": (
        lambda x: nn.adaptive_avg_pool2d(x, (2, 3), layout="NHWC"),
        lambda x: functional.adaptive_avg_pool2d(x.movedim(-1, 1), (2, 3)).movedim(1, -1),
        normal(1, 6, 6, 2),
    ),
}
for _name in ("exp", "log", "sqrt", "rsqrt", "square", "sigmoid", "tanh", "sin", "cos", "negative"):
    CASES[_name] = (getattr(op, _name), getattr(torch, _name), POSITIVE)


@pytest.mark.parametrize("name", CASES)
def test_operator(name):
    operator, reference, *arrays = CASES[name]
    check(lambda emit, *operands: emit(operator(*operands)), reference, *arrays)


IN_FLOAT16 = ["softmax", "max", "strided_slice", "take, last axis", "where", "maximum, broadcast"]
IN_FLOAT16 += ["leakyrelu", "softplus", "layer_norm", "conv1d", "conv2d_transpose", "square"]


@pytest.mark.parametrize("name", IN_FLOAT16)
def test_operator_in_float16(name):
    operator, reference, *arrays = CASES[name]
    check(lambda emit, *v: emit(operator(*v)), reference, *arrays, dtype="float16")


def test_split_of_which_one_part_is_read():
    check(
        lambda emit, x: first(emit, op.split(x, [1, 3], 1), 1),
        lambda x: x[:, 1:3] * 1,
        normal(3, 4),
    )


@pytest.mark.parametrize("training", [False, True])
def test_batch_norm(training):
    moving = [constant(values) for values in CHANNELS]

    def reference(x, gamma, beta):
        statistics = [torch.tensor(values) for values in CHANNELS]
        return functional.batch_norm(x, *statistics, gamma, beta, training=training)

    check(
        lambda emit, *v: first(emit, nn.batch_norm(*v, *moving, axis=1, training=training)),
        reference,
        normal(2, 3, 4, 4),
        normal(3),
        normal(3),
    )


def test_hard_swish():
    def operator(emit, x):
        shifted = emit(op.clip(emit(op.add(x, constant(3))), 0, 6))
        return emit(op.multiply(x, emit(op.divide(shifted, constant(6)))))

    check(operator, functional.hardswish, 4 * normal(3, 4))


def test_a_condition_has_no_gradient():
    check(
        lambda emit, x: emit(
            op.multiply(x, emit(op.astype(emit(op.greater(x, constant(0))), "float32")))
        ),
        lambda x: x * (x > 0),
        normal(3, 4),
    )
