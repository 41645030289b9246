"""odt_float.h: every product and sum rounded to float32, in the stated order, on every core."""

import ctypes
import subprocess

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from probe_library import pointer
from simd_checks import BOARDS, HOSTS, LEVELS, run_on_board, run_on_host

from tvm_ondevice_train.project import runtime_dir

SOURCE = """
#include "odt_float.h"
void dot(float *acc, const float *a, int32_t stride, const float *b, int32_t rows_a,
         int32_t rows_b, int32_t depth)
{ odt_dot_f32(acc, a, stride, b, rows_a, rows_b, depth); }
void scale_columns(float *b, const int8_t *w, int32_t stride, const float *scale, int32_t rows_b,
                   int32_t depth)
{ odt_scale_columns_f32(b, w, stride, scale, rows_b, depth); }
void window(float *acc, const float *plane, int32_t pitch, const float *taps, int32_t kh,
            int32_t kw, int32_t stride, int32_t rows, int32_t count)
{ odt_window_f32(acc, plane, pitch, taps, kh, kw, stride, rows, count); }
"""
FLAGS = (
    "-std=c99 -O3 -ffp-contract=off -Wall -Wextra -Wpedantic -Wundef -Wconversion -Werror".split()
)
FLAGS += ["-fsanitize=undefined", "-fno-sanitize-recover=all", "-shared", "-fPIC"]
SEEDS = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("variant", HOSTS)
def test_every_variant_for_a_computer_keeps_to_its_memory(tmp_path, variant):
    assert run_on_host("float", tmp_path, variant) == ""


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("core", BOARDS)
def test_every_core_gives_the_same_bits(tmp_path, core, level):
    assert run_on_board("float", core, level, tmp_path) == ""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    directory = tmp_path_factory.mktemp("float")
    source, target = directory / "float.c", directory / "float.so"
    source.write_text(SOURCE)
    include = f"-I{runtime_dir() / 'include'}"
    # -march=native: a compiler that contracts would use its fused multiply-add
    command = ["gcc", *FLAGS, "-march=native", include, str(source), "-o", str(target)]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(target))


def floats(seed: int, *shape: int) -> np.ndarray:
    """Numbers of a gradient's range, some of them zero or subnormal."""
    generator = np.random.default_rng(seed)
    values = generator.normal(size=shape) * 2.0 ** generator.integers(-12, 4, shape)
    tiny = generator.choice([0.0, -0.0, 2.0**-149, 2.0**-130, -(2.0**-127)], shape)
    return np.where(generator.random(shape) < 0.1, tiny, values).astype(np.float32)


def assert_same_bits(ours: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_array_equal(ours.view(np.uint32), expected.view(np.uint32))


@settings(deadline=None)
@given(st.integers(1, 70), st.integers(1, 4), st.integers(0, 90), st.integers(0, 5), SEEDS)
def test_a_dot_product_adds_in_the_order_of_its_depth(library, rows_a, rows_b, depth, gap, seed):
    a, b = floats(seed, depth, rows_a + gap), floats(seed + 1, depth, rows_b)
    acc = floats(seed + 2, rows_b, rows_a)
    expected = acc.copy()
    for a_row, b_row in zip(a, b, strict=True):
        expected += b_row[:, None] * a_row[None, :rows_a]
    library.dot(pointer(acc), pointer(a), rows_a + gap, pointer(b), rows_a, rows_b, depth)
    assert_same_bits(acc, expected)


@settings(deadline=None)
@given(st.integers(1, 9), st.integers(0, 40), st.integers(0, 5), SEEDS)
def test_a_weight_is_scaled_with_one_rounding(library, rows_b, depth, gap, seed):
    weights = np.random.default_rng(seed).integers(-128, 128, (depth, rows_b + gap), np.int8)
    scale = floats(seed, depth)
    b = np.empty((depth, rows_b), np.float32)
    arguments = pointer(b), pointer(weights), rows_b + gap, pointer(scale), rows_b, depth
    library.scale_columns(*arguments)
    assert_same_bits(b, weights[:, :rows_b].astype(np.float32) * scale[:, None])


@settings(deadline=None)
@given(
    st.integers(1, 8),
    st.integers(1, 8),
    st.integers(1, 3),
    st.integers(1, 5),
    st.integers(1, 40),
    st.integers(0, 5),
    SEEDS,
)
def test_a_window_adds_in_the_order_of_its_taps(library, kh, kw, stride, rows, count, gap, seed):
    width = (count - 1) * stride + kw
    plane = floats(seed, (rows - 1) * stride + kh, width + gap)
    taps, acc = floats(seed + 1, kh, kw), floats(seed + 2, rows, count)
    expected = acc.copy()
    for i, j in np.ndindex(kh, kw):
        under = plane[i::stride, j:width:stride][:rows, :count]
        expected += under * taps[i, j]
    sizes = kh, kw, stride, rows, count
    library.window(pointer(acc), pointer(plane), width + gap, pointer(taps), *sizes)
    assert_same_bits(acc, expected)
