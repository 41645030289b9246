"""odt_dot.h: the same sums as numpy's and as plain loops, from every variant."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from probe_library import pointer
from simd_checks import BOARDS, HOSTS, LEVELS, codes, host_library, run_on_board, run_on_host

SOURCE = """
#include "odt_dot.h"
void column(int32_t *at, int32_t rows, int32_t depth)
{
    for (int32_t p = 0; p < rows; p++)
        for (int32_t k = 0; k < depth; k++) *at++ = odt_column(p, k, rows, depth);
}
void pack(int16_t *columns, const int8_t *x, int32_t stride, int32_t zero, int32_t rows, int32_t n)
{ odt_pack(columns, x, stride, zero, rows, n); }
void pack_rows(int16_t *c, const int8_t *x, int32_t stride, int32_t zero, int32_t rows, int32_t n)
{ odt_pack_rows(c, x, stride, zero, rows, n); }
void dot(int32_t *acc, const int16_t *columns, const int8_t *w, int32_t stride, int32_t rows,
         int32_t depth, int32_t begin, int32_t end, int32_t outputs)
{ odt_dot(acc, columns, w, stride, rows, depth, begin, end, outputs); }
void dot_columns(int32_t *acc, const int16_t *a, const int16_t *b, int32_t rows_a, int32_t rows_b,
                 int32_t depth)
{ odt_dot_columns(acc, a, b, rows_a, rows_b, depth); }
"""
SIZES = st.tuples(st.integers(1, 9), st.integers(0, 70), st.integers(0, 3), st.integers(-128, 127))
SEEDS = st.integers(0, 1 << 30)


@pytest.fixture(scope="module", params=HOSTS)
def library(request, tmp_path_factory):
    return host_library(SOURCE, tmp_path_factory.mktemp("dot"), request.param)


def order(library, rows, depth) -> np.ndarray:
    """(rows, depth): where each element of columns lies."""
    at = np.empty((rows, depth), np.int32)
    library.column(pointer(at), rows, depth)
    assert sorted(at.ravel()) == list(range(rows * depth))
    return at


@given(SIZES, SEEDS)
def test_columns_are_codes_less_their_zero_point(library, sizes, seed):
    rows, depth, extra, zero_point = sizes
    generator = np.random.default_rng(seed)
    planes, by_row = (
        codes(generator, (depth, rows + extra)),
        codes(generator, (rows, depth + extra)),
    )
    at = order(library, rows, depth)
    columns = np.empty(rows * depth, np.int16)
    library.pack(pointer(columns), pointer(planes), rows + extra, zero_point, rows, depth)
    assert np.array_equal(columns[at], planes.T[:rows].astype(np.int16) - zero_point)
    library.pack_rows(pointer(columns), pointer(by_row), depth + extra, zero_point, rows, depth)
    assert np.array_equal(columns[at], by_row[:, :depth].astype(np.int16) - zero_point)


@given(SIZES, st.integers(1, 9), st.data(), SEEDS)
def test_a_segment_adds_its_part_of_the_product(library, sizes, outputs, data, seed):
    rows, depth, extra, zero_point = sizes
    begin = data.draw(st.integers(0, depth))
    end = data.draw(st.integers(begin, depth))
    generator = np.random.default_rng(seed)
    x = codes(generator, (rows, depth)).astype(np.int16) - np.int16(zero_point)
    w = codes(generator, (outputs, end - begin + extra))
    acc = generator.integers(-(2**20), 2**20, (outputs, rows)).astype(np.int32)
    part = w[:, : end - begin].astype(np.int32) @ x.T[begin:end].astype(np.int32)
    expected = acc + part
    columns = np.empty(rows * depth, np.int16)
    columns[order(library, rows, depth)] = x
    stride = end - begin + extra
    arguments = (pointer(columns), pointer(w), stride, rows, depth, begin, end, outputs)
    library.dot(pointer(acc), *arguments)
    assert np.array_equal(acc, expected)


@given(SIZES, st.integers(1, 9), SEEDS)
def test_two_columns_multiply(library, sizes, rows_b, seed):
    rows, depth, *_ = sizes
    generator = np.random.default_rng(seed)
    a, b = (generator.integers(-4096, 4096, (n, depth)).astype(np.int16) for n in (rows, rows_b))
    acc = generator.integers(-(2**20), 2**20, (rows_b, rows)).astype(np.int32)
    expected = acc + b.astype(np.int32) @ a.T.astype(np.int32)
    ordered = []
    for matrix in (a, b):
        ordered.append(np.empty(matrix.size, np.int16))
        ordered[-1][order(library, *matrix.shape)] = matrix
    library.dot_columns(pointer(acc), *map(pointer, ordered), rows, rows_b, depth)
    assert np.array_equal(acc, expected)


@pytest.mark.parametrize("variant", HOSTS)
def test_every_variant_for_a_computer_keeps_to_its_memory(tmp_path, variant):
    assert run_on_host("dot", tmp_path, variant) == ""


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("core", BOARDS)
def test_every_core_sums_like_a_plain_loop(tmp_path, core, level):
    assert run_on_board("dot", core, level, tmp_path) == ""
