"""What `InPlace` claims of the kernels that are generated, and that the claims are true."""

import numpy as np
import pytest
from in_one_buffer import (
    kernels,
    pairs_of,
    random_values,
    results_apart_and_together,
    run_apart,
    run_together,
)
from instruments.interpreter import Interpreter
from tvm import relax

from relay_passes.ops.masks import masked
from relay_passes.ops.registry import call

op = relax.op
MAP, CODES = ((1, 4, 6, 8), "float32"), ((1, 4, 6, 8), "int8")
HALF = ((1, 4, 3, 4), "float32")
POOL = {"pool_size": [2, 2], "strides": [2, 2]}
WINDOWS = {**POOL, "padding": [0, 0, 0, 0], "dilation": [1, 1]}
QADD = {
    **{"shape": list(CODES[0]), "zero_point": -128, "low": -128, "high": 127},
    **{"left_zero_point": 3, "right_zero_point": -5, "shift": 20},
    **{"left_multiplier": 700_000, "right_multiplier": 900_000},
    **{"acc_low": 1, "acc_high": 2**40},
}


def convolved_and_added(emit, x, w, y):
    return op.add(emit(op.nn.conv2d(x, w)), y)


def transposed_and_added(emit, x, y):
    return op.add(emit(op.permute_dims(x, (0, 1, 3, 2))), y)


def both(emit, pair):
    return [emit(relax.TupleGetItem(pair, field)) for field in (0, 1)]


def added_codes(emit, a, b, **attrs):
    return emit(call("qadd", a, b, **{**QADD, "mask": False, "activation": False, **attrs}))


def added_codes_with_mask(emit, a, b):
    return both(emit, added_codes(emit, a, b, mask=True))


def added_codes_with_mask_of_relu(emit, a, b):
    return both(emit, added_codes(emit, a, b, mask=True, activation=True))


def average_input_grad(emit, dy):
    shares = [relax.const(np.full(n, 0.5, np.float32)) for n in (3, 4)]
    return emit(call("avg_pool2d_input_grad", dy, *shares, shape=list(MAP[0]), **WINDOWS))


X, XY, AB = {"x": MAP}, {"x": MAP, "y": MAP}, {"a": CODES, "b": CODES}
CASES = {
    # elementwise
    "add": (lambda emit, x, y: op.add(x, y), XY, {("x", 0), ("y", 0)}),
    "same bytes, another type": (lambda emit, x: op.astype(x, "int32"), X, {("x", 0)}),
    "fewer bytes": (lambda emit, x: op.astype(x, "int8"), X, set()),
    "twice the same": (lambda emit, x: op.multiply(op.add(x, x), x), X, {("x", 0)}),
    "masked": (
        lambda emit, x, mask: emit(masked(mask, x)),
        {"x": MAP, "mask": (MAP[0], "bool")},
        {("x", 0)},
    ),
    "qadd": (added_codes, AB, {("a", 0), ("b", 0)}),
    "qadd, mask": (added_codes_with_mask, AB, {("a", 0), ("b", 0)}),
    # what is read again, or elsewhere
    "convolution, then add": (
        convolved_and_added,
        {"x": MAP, "w": ((4, 4, 1, 1), "float32"), "y": MAP},
        {("y", 0)},
    ),
    "transpose, then add": (
        transposed_and_added,
        {"x": MAP, "y": ((1, 4, 8, 6), "float32")},
        {("y", 0)},
    ),
    "softmax": (lambda emit, x: op.nn.log_softmax(x), {"x": ((1, 9), "float32")}, set()),
    "sum over channels": (lambda emit, x: op.sum(x, [1], True), X, set()),
    "concatenation": (lambda emit, x, y: op.concat([x, y], 1), XY, set()),
    # booleans are bits of shared bytes
    "to boolean": (lambda emit, x: op.greater(x, relax.const(0.0)), X, set()),
    "boolean": (lambda emit, x: op.logical_not(x), {"x": (MAP[0], "bool")}, set()),
    # plane by plane
    "mean over a plane": (lambda emit, x: op.mean(x, [2, 3], True), X, {("x", 0)}),
    "max pool": (lambda emit, x: op.nn.max_pool2d(x, **POOL), X, {("x", 0)}),
    "average pool": (lambda emit, x: op.nn.avg_pool2d(x, **POOL), X, {("x", 0)}),
    "average pool, same size": (
        lambda emit, x: op.nn.avg_pool2d(x, (3, 3), padding=1),
        X,
        {("x", 0)},
    ),
    "argmax of a pool": (
        lambda emit, x: emit(
            call("max_pool2d_argmax", x, saved=True, shape=list(HALF[0]), **WINDOWS)
        ),
        X,
        {("x", 0)},
    ),
    "average pool, backward": (average_input_grad, {"dy": HALF}, {("dy", 0)}),
}


@pytest.mark.parametrize("body, parameters, expected", CASES.values(), ids=CASES)
def test_a_kernel_claims_the_operands_it_may_overwrite(body, parameters, expected):
    (kernel,) = kernels(parameters, body).tasks
    assert pairs_of(kernel) == expected


def max_pool_backward(emit, dy, argmax):
    return emit(call("max_pool2d_input_grad", dy, argmax, shape=list(MAP[0]), **WINDOWS))


CLAIMS = {name: (body, parameters) for name, (body, parameters, pairs) in CASES.items() if pairs}
CLAIMS |= {
    "max pool, backward": (max_pool_backward, {"dy": HALF, "argmax": (HALF[0], "uint8")}),
    "qadd, mask of a ReLU": (added_codes_with_mask_of_relu, AB),
}


@pytest.mark.parametrize("body, parameters", CLAIMS.values(), ids=CLAIMS)
def test_a_claimed_pair_changes_no_result(body, parameters):
    for kernel, pair, apart, together in results_apart_and_together(kernels(parameters, body)):
        assert together == apart, (kernel.name, pair)


CHANNELS, HEIGHT, WIDTH = 4, 8, 9


def depthwise(size, stride, padding):
    """Forward in float32 and in int8 with its mask, backward from a masked adjoint."""
    top, left, bottom, right = padding
    rows = (HEIGHT + top + bottom - size) // stride + 1
    columns = (WIDTH + left + right - size) // stride + 1
    geometry = {"strides": [stride] * 2, "padding": list(padding), "dilation": [1, 1]}
    geometry["groups"] = CHANNELS
    whole, result = [1, CHANNELS, HEIGHT, WIDTH], [1, CHANNELS, rows, columns]

    def body(emit, x, w, codes, v, bias, dy, mask):
        tables = [relax.const(np.full(CHANNELS, n, np.int32)) for n in (2**30, 37, 1, 2**20)]
        attrs = {"input_zero_point": -7, "weight_zero_point": 0, "zero_point": -20}
        attrs |= {"low": -20, "high": 127}
        attrs |= {"mask": True, "rounding": "even", "shape": result}
        quantized = emit(call("qconv2d", codes, v, bias, *tables, **geometry, **attrs))
        adjoint = emit(masked(mask, dy))
        return [
            emit(op.nn.conv2d(x, w, **geometry)),
            *both(emit, quantized),
            emit(call("conv2d_input_grad", adjoint, w, shape=whole, **geometry)),
        ]

    window = (CHANNELS, 1, size, size)
    return kernels(
        {
            **{"x": (whole, "float32"), "w": (window, "float32")},
            **{"codes": (whole, "int8"), "v": (window, "int8"), "bias": ((CHANNELS,), "int32")},
            **{"dy": (result, "float32"), "mask": (result, "bool")},
        },
        body,
    )


@pytest.mark.parametrize("padding", ["none", "same", "one side", "full"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [3, 5, 7])
def test_depthwise_convolutions_work_in_place(size, stride, padding):
    """Every activation is overwritten, unless the result is larger by no whole alignment."""
    sides = {"none": 0, "same": size // 2, "full": size - 1}
    padding = (0, 1, 1, 0) if padding == "one side" else (sides[padding],) * 4
    program = depthwise(size, stride, padding)
    claimed = set()
    for kernel, (argument, output), apart, together in results_apart_and_together(program):
        assert together == apart, kernel.name
        claimed.add((kernel.inputs[argument].name, kernel.outputs[output].name))
    windowed = [kernel for kernel in program.tasks if kernel.kind.endswith(("conv2d", "grad"))]
    assert len(windowed) == 3
    for kernel in windowed:
        data = next(t for t in kernel.inputs if t.dtype != "bool" and t.shape[2:] != (size, size))
        grown = kernel.outputs[0].size_bytes - data.size_bytes
        possible = grown <= 0 or grown % 16 == 0
        assert ((data.name, kernel.outputs[0].name) in claimed) == possible


@pytest.mark.parametrize(
    "body, parameters, pair",
    [
        (lambda emit, x: op.permute_dims(x, (0, 1, 3, 2)), X, (0, 0)),
        (convolved_and_added, {"x": MAP, "w": ((4, 4, 1, 1), "float32"), "y": MAP}, (0, 0)),
    ],
    ids=["transpose", "convolution, then add"],
)
def test_the_comparison_finds_a_pair_that_is_wrong(body, parameters, pair):
    """Else it would prove nothing. `restrict`, right for these kernels, would hide it."""
    program = kernels(parameters, body)
    (kernel,) = program.tasks
    values = random_values(program)
    interpreter = Interpreter(program, values, ("-Drestrict=",))
    together = run_together(interpreter, kernel, values, pair)
    assert together != run_apart(interpreter, kernel, values)
