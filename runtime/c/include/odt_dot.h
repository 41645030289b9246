/*
 * odt_dot: the inner loops of convolutions and dense layers, over int8 weights and int16 columns.
 *
 * A matrix of "columns" has a row for each pixel (or whatever shares the weights) and `depth`
 * int16 elements in a row. Its order is private to the target; odt_column() tells it. It takes
 * rows * depth elements and starts at an address that is a multiple of 4.
 *
 * No sum may leave int32. rows, outputs >= 1; depth >= 0. All sizes best are constants: the
 * functions are inlined and keep only the branches that the sizes need. Best with 4 rows.
 */
#ifndef ODT_DOT_H
#define ODT_DOT_H

#include <stdint.h>

#include "odt_simd.h"

#if ODT_DSP
#include "odt_dot_dsp.h"
#elif ODT_MVE
#include "odt_dot_mve.h"
#elif ODT_AVX2
#include "odt_dot_x86.h"
#else
#include "odt_dot_portable.h"
#endif

/* Where element (row p, k) of columns lies, 0 ... rows * depth - 1. */
ODT_INLINE int32_t odt_column(int32_t p, int32_t k, int32_t rows, int32_t depth);

/* Columns from planes: columns(p, k) = x[k * stride + p] - zero_point.
 *
 * x           depth planes, `stride` apart; the rows are neighbours in each
 * zero_point  -128 ... 127 */
ODT_INLINE void odt_pack(int16_t *columns, const int8_t *x, int32_t stride, int32_t zero_point,
                         int32_t rows, int32_t depth);

/* Columns from rows: columns(p, k) = x[p * stride + k] - zero_point. */
ODT_INLINE void odt_pack_rows(int16_t *columns, const int8_t *x, int32_t stride,
                              int32_t zero_point, int32_t rows, int32_t depth);

/* acc[o * rows + p] += sum over k = begin ... end - 1 of columns(p, k) * w[o * stride + k - begin].
 *
 * acc         outputs x rows
 * w           a row of end - begin weights for each output, `stride` >= end - begin apart
 * begin, end  0 <= begin <= end <= depth: which part of the depth these weights are for; best
 *             multiples of 8, or of 4 without Helium */
ODT_INLINE void odt_dot(int32_t *acc, const int16_t *columns, const int8_t *w, int32_t stride,
                        int32_t rows, int32_t depth, int32_t begin, int32_t end, int32_t outputs);

/* acc[j * rows_a + i] += sum over k of a(i, k) * b(j, k), both of them columns. */
ODT_INLINE void odt_dot_columns(int32_t *acc, const int16_t *a, const int16_t *b, int32_t rows_a,
                                int32_t rows_b, int32_t depth);

#endif
