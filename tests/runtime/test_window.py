"""odt_window.h: the same sums as numpy's and as plain loops, from every variant."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from probe_library import pointer
from simd_checks import BOARDS, HOSTS, LEVELS, codes, host_library, run_on_board, run_on_host

SOURCE = """
#include "odt_window.h"
void window(int32_t *acc, int16_t *plane, const int8_t *x, int16_t *taps, const int8_t *w,
            const int32_t *in, int32_t kh, int32_t kw, int32_t stride, int32_t rows, int32_t count,
            int32_t flipped)
{
    const int32_t height = in[0], width = in[1], zero_point = in[6];
    odt_widen_plane(plane, x, height, width, in[2], in[3], in[4], in[5], zero_point);
    if (flipped) odt_taps_flipped(taps, w, kh, kw);
    else odt_taps(taps, w, kh, kw);
    odt_window(acc, plane, ODT_PITCH(in[3] + width + in[5]), taps, kh, kw, stride, rows, count);
}
"""
SIDES = st.tuples(*[st.integers(1, 12)] * 2)
BORDERS = st.tuples(*[st.integers(0, 3)] * 4)  # top, left, bottom, right
SEEDS = st.integers(0, 1 << 30)


@pytest.fixture(scope="module", params=HOSTS)
def library(request, tmp_path_factory):
    return host_library(SOURCE, tmp_path_factory.mktemp("window"), request.param)


@given(SIDES, BORDERS, st.data(), st.integers(1, 3), st.integers(-128, 127), st.booleans(), SEEDS)
def test_a_window_is_a_padded_convolution(
    library, sides, borders, data, stride, zero_point, flipped, seed
):
    top, left, bottom, right = borders
    padded = (sides[0] + top + bottom, sides[1] + left + right)
    kh, kw = (data.draw(st.integers(1, min(7, side))) for side in padded)
    rows, count = ((side - k) // stride + 1 for side, k in zip(padded, (kh, kw), strict=True))
    generator = np.random.default_rng(seed)
    x, w = codes(generator, sides), codes(generator, (kh, kw))
    acc = generator.integers(-(2**20), 2**20, (rows, count)).astype(np.int32)

    plane = np.pad(x.astype(np.int32) - zero_point, ((top, bottom), (left, right)))
    windows = np.lib.stride_tricks.sliding_window_view(plane, (kh, kw))[::stride, ::stride]
    filter = w[::-1, ::-1] if flipped else w
    expected = acc + (windows * filter.astype(np.int32)).sum((2, 3))

    scratch = np.empty(padded[0] * (padded[1] + 1), np.int16)
    taps = np.empty(kh * (kw + 1), np.int16)  # enough for every variant of a computer
    sizes = np.array([*sides, *borders, zero_point], np.int32)
    buffers = map(pointer, (acc, scratch, x, taps, w, sizes))
    library.window(*buffers, kh, kw, stride, rows, count, int(flipped))
    assert np.array_equal(acc, expected)


@pytest.mark.parametrize("variant", HOSTS)
def test_every_variant_for_a_computer_keeps_to_its_memory(tmp_path, variant):
    assert run_on_host("window", tmp_path, variant) == ""


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("core", BOARDS)
def test_every_core_sums_like_a_plain_loop(tmp_path, core, level):
    assert run_on_board("window", core, level, tmp_path) == ""
