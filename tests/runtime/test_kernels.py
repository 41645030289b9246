"""odt_kernels.h: extrema, stochastic updates and packed booleans."""

import numpy as np
import pytest
from probe_library import SPECIALS, Probe, pointer
from stochastic_rounding import updated_codes

LARGEST = 2**30 - 1  # the widest limit of odt_update_code


@pytest.fixture(scope="module")
def probe(tmp_path_factory):
    # The sanitizer ends the test run at any undefined behaviour.
    checks = ["-fsanitize=undefined,float-cast-overflow", "-fno-sanitize-recover=all"]
    return Probe(tmp_path_factory.mktemp("probe"), extra=checks)


def test_extrema_prefer_the_second_argument_when_nothing_is_larger(probe):
    a = np.array([1, 2, np.nan, 1, 0.0, -0.0, -np.inf], np.float32)
    b = np.array([2, 1, 1, np.nan, -0.0, 0.0, np.inf], np.float32)
    largest, smallest = np.empty_like(a), np.empty_like(a)
    probe.library.probe_extrema(len(a), *map(pointer, (a, b, largest, smallest)))
    assert np.array_equal(largest.view(np.uint32), np.where(a > b, a, b).view(np.uint32))
    assert np.array_equal(smallest.view(np.uint32), np.where(a < b, a, b).view(np.uint32))


def test_bits_lie_as_numpy_packs_them_little_endian(probe):
    generator = np.random.default_rng(0)
    values = generator.integers(0, 2, 1003).astype(np.int32)
    packed = np.packbits(values.astype(bool), bitorder="little")
    read = np.empty_like(values)
    probe.library.probe_bit_read(len(values), pointer(packed), pointer(read))
    assert np.array_equal(read, values)

    written = generator.integers(0, 256, len(packed)).astype(np.uint8)
    tail = written[-1] & 0xF8  # of the last byte only three bits are elements
    order = generator.permutation(len(values)).astype(np.int32)
    any_truth = (values * generator.choice([1, -1, 256], len(values))).astype(np.int32)
    shuffled = np.ascontiguousarray(any_truth[order])
    probe.library.probe_bit_write(len(order), pointer(written), pointer(order), pointer(shuffled))
    assert np.array_equal(written[:-1], packed[:-1])
    assert written[-1] == packed[-1] | tail


@pytest.mark.parametrize("count", [2, 4, 8, 16, 32])
def test_runs_of_bits_lie_as_single_bits_do(probe, count):
    generator = np.random.default_rng(count)
    elements = generator.integers(0, 2, (64, count)).astype(np.uint64)
    values = (elements << np.arange(count, dtype=np.uint64)).sum(1).astype(np.uint32)
    written = generator.integers(0, 256, 64 * count // 8).astype(np.uint8)
    probe.library.probe_bits_write(64, pointer(written), count, pointer(values))
    assert np.array_equal(written, np.packbits(elements.astype(bool), bitorder="little"))


STEPS = [0.5, 0.25, -0.25, 1e-3, -1e-3, 0.999, -0.999, 2.75, -2.75, 100.1, -77.7, 65536.3, 1e-30]


@pytest.mark.parametrize("vary", ["seed", "index"])
@pytest.mark.parametrize("step", STEPS)
def test_the_mean_of_stochastic_rounding_is_the_step(probe, step, vary):
    count = 1 << 20
    seed, index = (np.arange(count), 5) if vary == "seed" else (5, np.arange(count))
    step = float(np.float32(step))
    moved = -probe.update(0, step, LARGEST, seed, index).astype(np.int64)
    assert set(np.unique(moved)) <= {np.floor(step), np.ceil(step)}
    fraction = step - np.floor(step)
    sigma = np.sqrt(fraction * (1 - fraction) / count)
    assert abs(moved.mean() - step) <= 5 * sigma + 2**-32


@pytest.mark.parametrize("limit", [127, 32767, LARGEST])
def test_an_update_is_rounded_by_its_random_number(probe, limit):
    """To the bit, for steps of every magnitude and sign."""
    generator = np.random.default_rng(4)
    magnitude = np.concatenate([10.0 ** generator.uniform(-12, 9, 50_000), np.arange(5000) / 4])
    step = (magnitude * generator.choice([-1, 1], len(magnitude))).astype(np.float32)
    code, index = generator.integers(-128, 128, len(step)), np.arange(len(step))
    expected = updated_codes(code, step, limit, 9, index)
    assert np.array_equal(probe.update(code, step, limit, 9, index), expected)


def test_clamping_to_int8(probe):
    x = np.array([-(2.0**30), -129, -128, -127, 0, 126, 127, 128, 2.0**29], np.float32)
    assert np.array_equal(probe("clamp8", x), np.clip(5 - x, -128, 127))


def test_neighbouring_random_numbers_are_independent(probe):
    """Of elements, of steps, and of both at once, for the halves that 0.5 is rounded to."""
    side = 1024
    seed, index = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    moved = -probe.update(0, 0.5, LARGEST, seed.ravel(), index.ravel()).reshape(side, side)
    centred = 2.0 * moved - 1
    for rows, columns in [(0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0)]:
        product = (centred * np.roll(centred, (rows, columns), (0, 1))).mean()
        assert abs(product) <= 5 / side
    for axis in (0, 1):
        assert np.abs(centred.mean(axis)).max() <= 5.5 / np.sqrt(side)


def test_an_update_is_a_function_of_its_arguments(probe):
    generator = np.random.default_rng(2)
    code, step = generator.integers(-128, 128, 5000), generator.normal(0, 3, 5000)
    index = np.arange(5000)
    first = probe.update(code, step, 127, 9, index)
    order = generator.permutation(5000)
    shuffled = probe.update(code[order], step[order], 127, 9, index[order])
    assert np.array_equal(shuffled, first[order])
    assert not np.array_equal(probe.update(code, step, 127, 10, index), first)


@pytest.mark.parametrize("limit", [0, 127, 32767, LARGEST])
def test_updates_saturate_and_none_overflows(probe, limit):
    """Whole steps, where the result is known: every extreme code and step, with UBSan on."""
    ends = [2**31 - 1, 2**30, 2**30 - 1, 127, 1, 0]
    codes = np.array(ends + [-v - 1 for v in ends], np.int64)
    whole = np.array([0, 1, 127, 128, 2.0**24, 2.0**30 - 64, 2.0**30], np.float32)
    steps = np.concatenate([whole, -whole])
    code, step = (a.ravel() for a in np.meshgrid(codes, steps))
    expected = np.clip(code - step.astype(np.int64), -limit - 1, limit)
    assert np.array_equal(probe.update(code, step, limit, 3, np.arange(len(code))), expected)


@pytest.mark.parametrize("limit", [127, LARGEST])
def test_a_step_that_is_no_number_or_too_large(probe, limit):
    nan = np.array([0x7FC00000, 0xFFC00000, 0x7F800001], np.uint32).view(np.float32)
    nan = np.append(nan, np.array([np.inf, -np.inf], np.float32))
    codes, not_finite = probe.update_checked(55, nan, limit, 1, 2)
    assert codes.tolist() == [55] * 5 and not_finite.tolist() == [1] * 5
    assert probe.update(2**31 - 1, nan, limit, 1, 2).tolist() == [limit] * 5
    huge = np.array([3e38, 2.0**31, -3e38, -(2.0**31), 0.5, -0.0], np.float32)
    codes, not_finite = probe.update_checked(10, huge, limit, 1, 2)
    away = np.clip(10 - np.clip(huge, -(2.0**30), 2.0**30).astype(np.int64), -limit - 1, limit)
    assert codes[:4].tolist() == away[:4].tolist()
    assert not not_finite.any()


def test_no_argument_is_undefined(probe):
    bits = np.random.default_rng(3).integers(0, 2**32, 100_000, np.uint32)
    probe.all(np.concatenate([bits.view(np.float32), SPECIALS, -SPECIALS]))
