"""odt_epilogue.h: the same codes and masks as numpy's and as the plain formulae, everywhere."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from probe_library import pointer
from simd_checks import BOARDS, HOSTS, LEVELS, codes, host_library, run_on_board, run_on_host

SOURCE = """
#include "odt_epilogue.h"
void tile(int8_t *out, const int32_t *acc, const int32_t *bias, const int32_t *multiplier,
          const int32_t *shift, const int32_t *sizes)
{
    odt_requantize_tile(out, sizes[0], acc, bias, multiplier, shift, sizes[1], sizes[2], sizes[3],
                        sizes[4]);
}
void masked(int8_t *out, const int32_t *acc, const int32_t *bias, const int32_t *multiplier,
            const int32_t *shift, const int32_t *sizes, uint8_t *mask)
{
    odt_requantize_tile_masked(out, sizes[0], acc, bias, multiplier, shift, sizes[1], sizes[2],
                               sizes[3], sizes[4], mask, sizes[5], sizes[6]);
}
void add(int8_t *out, const int8_t *a, const int8_t *b, int32_t a_multiplier,
         int32_t b_multiplier, int32_t offset, int32_t shift, int32_t count)
{ odt_add_s8(out, a, b, a_multiplier, b_multiplier, offset, shift, count); }
"""
SEEDS = st.integers(0, 1 << 30)


@pytest.fixture(scope="module", params=HOSTS)
def library(request, tmp_path_factory):
    return host_library(SOURCE, tmp_path_factory.mktemp("epilogue"), request.param)


@given(
    st.integers(1, 9),
    st.integers(1, 40) | st.sampled_from([2, 4, 8, 16, 32]),
    st.integers(0, 1),
    st.integers(-128, 127),
    st.integers(0, 5),
    st.integers(0, 40),
    st.integers(1, 3),
    SEEDS,
)
def test_a_tile_is_rounded_clamped_and_masked(
    library, outer, inner, step, zero_point, extra, index, apart, seed
):
    generator = np.random.default_rng(seed)
    multiplier = generator.integers(1 << 30, 1 << 31, outer).astype(np.int32)
    shift = generator.integers(0, 22, outer).astype(np.int32)
    bias = generator.integers(-(1 << 30), 1 << 30, outer).astype(np.int32)
    of_row = np.arange(outer) * step
    factors = (multiplier / 2.0 ** (33 + shift))[of_row, None]
    sums = (generator.integers(-300, 300, (outer, inner)) - zero_point + 0.3) / factors
    acc = np.clip(sums - bias[of_row, None], -(1 << 30), (1 << 30) - 1).astype(np.int32)
    product = (acc.astype(np.int64) + bias[of_row, None]) * multiplier[of_row, None]
    down = 33 + shift[of_row, None].astype(np.int64)
    code = ((product + (1 << (down - 1))) >> down) + zero_point

    stride, mask_stride, index = inner + extra, apart * inner, index * inner
    out = np.full((outer, stride), 77, np.int8)
    offset = 2 * zero_point + 1
    sizes = np.array([stride, step, offset, outer, inner, index, mask_stride], np.int32)
    arguments = [pointer(a) for a in (acc, bias, multiplier, shift, sizes)]
    expected = out.copy()
    expected[:, :inner] = np.clip(code, -128, 127)
    library.tile(pointer(out), *arguments)
    assert np.array_equal(out, expected)

    bits = generator.integers(0, 2, index + outer * mask_stride + 8).astype(np.uint8)
    mask = np.packbits(bits, bitorder="little")
    places = index + np.arange(outer)[:, None] * mask_stride + np.arange(inner)
    bits[places] = (code >= -128) & (code <= 127)
    out[:] = 77
    library.masked(pointer(out), *arguments, pointer(mask))
    assert np.array_equal(out, expected)
    assert np.array_equal(mask, np.packbits(bits, bitorder="little"))


@given(st.integers(0, 40), st.integers(1, 22), st.sampled_from(["out", "a", "b"]), SEEDS)
def test_a_sum_is_scaled_rounded_down_and_clamped(library, count, shift, where, seed):
    generator = np.random.default_rng(seed)
    a, b = codes(generator, (2, count))
    most = (1 << min(shift + 1, 22)) - 1
    left, right = (int(m) for m in generator.integers(-most, most + 1, 2))
    offset = int(generator.integers(-(1 << 23), 1 << 23))
    total = offset + a.astype(np.int32) * left + b.astype(np.int32) * right
    expected = np.clip(total >> shift, -128, 127)
    out = {"out": np.empty_like(a), "a": a, "b": b}[where]
    library.add(*map(pointer, (out, a, b)), left, right, offset, shift, count)
    assert np.array_equal(out, expected)


@pytest.mark.parametrize("variant", HOSTS)
def test_every_variant_for_a_computer_keeps_to_its_memory(tmp_path, variant):
    assert run_on_host("epilogue", tmp_path, variant) == ""


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("core", BOARDS)
def test_every_core_ends_like_the_plain_formula(tmp_path, core, level):
    assert run_on_board("epilogue", core, level, tmp_path) == ""
