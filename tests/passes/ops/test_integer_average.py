"""Means of codes against exact arithmetic: a tie is one, and goes where the rule says."""

from fractions import Fraction

import numpy as np
import pytest
import tiny
from test_quantized_ops import codes_like
from tvm import relax

from relay_passes import LowerQDQ, SparseBackward
from relay_passes.ops.integer_average import average_of_codes
from relay_passes.ops.masks import interval_mask

SHAPE = (1, 3, 7, 6)
TOLERANCE = Fraction(1, 2**18)  # of a code: a factor has 31 bits
POOLS = {
    "2x2": {"pool_size": (2, 2), "strides": (2, 2)},
    "padded": {"pool_size": (3, 2), "strides": (1, 1), "padding": (1, 1, 1, 0)},
    "pads counted": {
        **{"pool_size": (3, 2), "strides": (2, 1), "padding": (1, 1, 1, 1)},
        "count_include_pad": True,
    },
    "rounded up": {"pool_size": (2, 4), "strides": (2, 3), "ceil_mode": True},
    "dilated": {"pool_size": (2, 2), "dilation": (3, 2)},
}


def windows(x: np.ndarray, result, pool) -> dict[tuple, tuple[int, int]]:
    """(sum, number of taps that count) of each window of integers `x`."""
    top, left, bottom, right = pool.get("padding", (0, 0, 0, 0))
    border = (top, left, bottom, right) if pool.get("count_include_pad") else (0, 0, 0, 0)
    (stride_h, stride_w), (step_h, step_w) = (
        pool.get(name, (1, 1)) for name in ("strides", "dilation")
    )
    found = {}
    for n, c, h, w in np.ndindex(*result):
        rows = [h * stride_h - top + i * step_h for i in range(pool["pool_size"][0])]
        columns = [w * stride_w - left + j * step_w for j in range(pool["pool_size"][1])]
        height, width = x.shape[2:]
        rows_counted = [r for r in rows if -border[0] <= r < height + border[2]]
        columns_counted = [r for r in columns if -border[1] <= r < width + border[3]]
        inside = [r for r in rows if 0 <= r < height], [r for r in columns if 0 <= r < width]
        total = int(x[n, c][np.ix_(*inside)].sum())
        found[n, c, h, w] = total, len(rows_counted) * len(columns_counted)
    return found


def of_codes(pool):
    """LiteRT's average pool as the frontend has it."""

    def body(emit, x):
        whole = pool or {"pool_size": SHAPE[2:]}
        typed = relax.BlockBuilder().normalize(relax.op.nn.avg_pool2d(x, **whole))
        return emit(average_of_codes(typed))

    return tiny.module({"x": (SHAPE, "int8")}, body)


def averaged(pool, own, scale, mask=False):
    """The lowered module of ``quantize(avg_pool2d(dequantize(x)))``; (scale, zero point) each."""

    def body(emit, x):
        real = emit(tiny.dequantize(x, *own))
        if pool is None:
            mean = emit(relax.op.mean(real, [2, 3], True))
        else:
            mean = emit(relax.op.nn.avg_pool2d(real, **pool))
        if not mask:
            return emit(tiny.quantize(mean, *scale))
        clipped = emit(relax.op.clip(mean, 0.0, 3.0))
        return [emit(tiny.quantize(clipped, *scale)), emit(interval_mask(mean, 0.0, 3.0))]

    return LowerQDQ()(tiny.module({"x": (SHAPE, "int8")}, body))


def rounded(mean: Fraction, ties: str) -> int:
    if ties == "even":
        return round(mean)
    return int(abs(mean) + Fraction(1, 2)) * (1 if mean > 0 else -1)


@pytest.mark.parametrize(
    "name, ties",
    [
        *((name, "even") for name in [*POOLS, "global"]),
        *((name, "away") for name in ["2x2", "padded", "global"]),  # TFLite has no others
    ],
)
def test_a_mean_in_the_coding_of_its_operand_is_a_quotient(name, ties):
    """Half to even of the codes less their zero point; LiteRT's is of the codes themselves."""
    pool, zero_point = POOLS.get(name), 3
    coding = (0.1, zero_point)
    lowered = averaged(pool, coding, coding) if ties == "even" else of_codes(pool)
    assert not {"quantize", "dequantize"} & set(tiny.op_names(lowered))
    whole = pool or {"pool_size": SHAPE[2:]}
    for spread in (2, 128):
        x = np.random.default_rng(spread).integers(-spread, spread, SHAPE).astype(np.int8)
        (codes,) = tiny.run(lowered, x=x)
        centre = zero_point if ties == "even" else 0
        for at, (total, count) in windows(x.astype(int) - centre, codes.shape, whole).items():
            assert codes[at] == rounded(Fraction(total, count), ties) + centre


@pytest.mark.parametrize("name", ["2x2", "pads counted", "dilated"])
def test_a_mean_in_another_coding_is_requantized_once(name):
    x = codes_like(SHAPE, 0)
    lowered = averaged(POOLS[name], (0.1, 3), (0.07, -5))
    assert not {"quantize", "dequantize"} & set(tiny.op_names(lowered))
    (codes,) = tiny.run(lowered, x=x)
    for at, (total, count) in windows(x.astype(int) - 3, codes.shape, POOLS[name]).items():
        exact = Fraction(float(np.float32(0.1))) * total / count / Fraction(float(np.float32(0.07)))
        neighbours = {round(exact + error) - 5 for error in (-TOLERANCE, TOLERANCE)}
        assert codes[at] in {max(min(code, 127), -128) for code in neighbours}


def test_its_activation_masks_the_gradient():
    x = codes_like(SHAPE, 0)
    pool = POOLS["2x2"]
    codes, mask = tiny.run(averaged(pool, (0.1, 3), (0.1, 3), mask=True), x=x)
    for at, (total, count) in windows(x.astype(int) - 3, codes.shape, pool).items():
        mean = Fraction(float(np.float32(0.1))) * total / count
        assert mask[at] == (0 <= mean <= 3)
        assert 3 <= codes[at] <= 33


@pytest.mark.parametrize("mask", [False, True])
def test_windows_of_several_counts_stay_float_where_a_quotient_is_not_enough(mask):
    coding = (0.1, 3)
    lowered = averaged(POOLS["padded"], coding, coding if mask else (0.07, 3), mask=mask)
    assert "nn.avg_pool2d" in tiny.op_names(lowered)


@pytest.mark.parametrize("name", ["2x2", "padded", "global"])
def test_the_gradient_of_means_of_codes_is_that_of_the_real_pool(name):
    """PyTorch's, with respect to what the codes stand for."""
    torch = pytest.importorskip("torch")
    pool = POOLS.get(name) or {"pool_size": SHAPE[2:], "strides": (1, 1)}
    factor = np.linspace(-1, 2, SHAPE[1], dtype=np.float32)
    column = (SHAPE[1], 1, 1)

    def body(emit, x, _target, w):
        product = emit(relax.op.multiply(x, emit(relax.op.reshape(w, column))))
        codes = emit(tiny.quantize(product, 1.0))
        typed = relax.BlockBuilder().normalize(relax.op.nn.avg_pool2d(codes, **pool))
        real = emit(tiny.dequantize(emit(average_of_codes(typed)), 1.0))
        return emit(relax.op.sum(emit(relax.op.multiply(real, real))))

    x = np.random.default_rng(0).integers(-9, 9, SHAPE).astype(np.float32)
    types = {name: (SHAPE, "float32") for name in ("x", "target")}
    step = SparseBackward({"w"})(tiny.module({**types, "w": (factor.shape, "float32")}, body))
    found = tiny.gradients(step, x=x, target=x, w=factor)["w"]

    pads = pool.get("padding", (0, 0, 0, 0))
    padded = np.pad(np.ones(SHAPE), ((0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])))
    height, width = pool["pool_size"]

    def sums(values):
        return torch.nn.functional.avg_pool2d(
            values, (height, width), pool["strides"], divisor_override=1
        )

    counts = sums(torch.tensor(padded, dtype=torch.float32))
    w = torch.tensor(factor, requires_grad=True)
    real = torch.tensor(x) * w.reshape(column)
    real = real + (real.round() - real).detach()  # straight through
    inner = torch.nn.functional.pad(real, (pads[1], pads[3], pads[0], pads[2]))
    mean = sums(inner) / counts
    ties = torch.trunc(mean + 0.5 * torch.sign(mean))
    mean = mean + (ties - mean).detach()
    (mean * mean).sum().backward()
    np.testing.assert_allclose(found, w.grad.numpy(), rtol=1e-5)
