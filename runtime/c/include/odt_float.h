/*
 * odt_float: the inner loops of the float32 gradients of convolutions.
 *
 * Every product is rounded before it is added, and sums run in the order given, so that all
 * targets give the same bits, but for the sign and payload of a NaN. Compile for Armv8.1-M without
 * mve.fp, whose arithmetic flushes subnormal numbers. Sizes best are constants: the functions are
 * inlined and keep only the branches that the sizes need.
 */
#ifndef ODT_FLOAT_H
#define ODT_FLOAT_H

#include <stdint.h>

#include "odt_arithmetic.h"
#include "odt_simd.h"

enum { ODT_F32_TILE = 8 }; /* sums that the loops in C keep in registers */

/* odt_scale_columns_f32(), element by element. */
ODT_INLINE void odt_scale_each_f32(float *b, const int8_t *w, int32_t stride, const float *scale,
                                   int32_t rows_b, int32_t depth)
{
    for (int32_t k = 0; k < depth; ++k) {
        for (int32_t j = 0; j < rows_b; ++j) {
            b[k * rows_b + j] = (float)w[k * stride + j] * scale[k];
        }
    }
}

/* odt_window_f32() for 1 ... ODT_F32_TILE neighbours in a row. */
ODT_INLINE void odt_window_tile_f32(float *acc, const float *plane, int32_t pitch,
                                    const float *taps, int32_t kh, int32_t kw, int32_t stride,
                                    int32_t count)
{
    float sums[ODT_F32_TILE];
    for (int32_t q = 0; q < count; ++q) sums[q] = acc[q];
    for (int32_t i = 0; i < kh; ++i, plane += pitch) {
        for (int32_t j = 0; j < kw; ++j) {
            const float tap = taps[i * kw + j];
            for (int32_t q = 0; q < count; ++q) sums[q] += plane[q * stride + j] * tap;
        }
    }
    for (int32_t q = 0; q < count; ++q) acc[q] = sums[q];
}

/* odt_window_f32() of any size. */
ODT_INLINE void odt_window_each_f32(float *acc, const float *plane, int32_t pitch,
                                    const float *taps, int32_t kh, int32_t kw, int32_t stride,
                                    int32_t rows, int32_t count)
{
    const int32_t whole = count - count % ODT_F32_TILE;
    for (int32_t r = 0; r < rows; ++r, acc += count, plane += stride * pitch) {
        for (int32_t q = 0; q < whole; q += ODT_F32_TILE) {
            odt_window_tile_f32(acc + q, plane + q * stride, pitch, taps, kh, kw, stride,
                                ODT_F32_TILE);
        }
        if (whole < count) {
            odt_window_tile_f32(acc + whole, plane + whole * stride, pitch, taps, kh, kw, stride,
                                count - whole);
        }
    }
}

/* A single-precision FPU of the M profile: VLDM, and VMLA, which rounds twice. */
#if defined(ODT_ASSEMBLY) && ODT_FPU
#include "odt_float_fpu.h"
#else
#include "odt_float_portable.h"
#endif

/* acc[j * rows_a + i] += a[k * stride + i] * b[k * rows_b + j], for k = 0 ... depth - 1 in turn.
 *
 * acc     rows_b x rows_a, apart from a and b
 * a       depth x rows_a, the rows `stride` >= rows_a apart
 * b       depth x rows_b
 * rows_a  >= 1; of the larger ones, multiples of 5 take the fewest instructions
 * rows_b  1 ... 4, best 4
 * depth   >= 0 */
ODT_INLINE void odt_dot_f32(float *acc, const float *a, int32_t stride, const float *b,
                            int32_t rows_a, int32_t rows_b, int32_t depth);

/* The b of odt_dot_f32() from int8 weights: b[k * rows_b + j] = w[k * stride + j] * scale[k].
 *
 * b       depth x rows_b, apart from w and scale
 * w       depth x rows_b, the rows `stride` >= rows_b apart, at any address
 * scale   depth
 * rows_b  >= 1, best 4
 * depth   >= 0 */
ODT_INLINE void odt_scale_columns_f32(float *b, const int8_t *w, int32_t stride,
                                      const float *scale, int32_t rows_b, int32_t depth);

/* acc[r * count + q] += plane[(r * stride + i) * pitch + q * stride + j] * taps[i * kw + j],
 * for i = 0 ... kh - 1, in it j = 0 ... kw - 1, in turn.
 *
 * acc          rows x count, apart from plane and taps
 * plane        (rows - 1) * stride + kh rows, `pitch` >= (count - 1) * stride + kw apart
 * taps         kh x kw
 * kh, kw       >= 1
 * stride       >= 1; 1 is fast for kh = kw = 3, 5, 7
 * rows, count  >= 1; of counts, multiples of 8 take the fewest instructions */
ODT_INLINE void odt_window_f32(float *acc, const float *plane, int32_t pitch, const float *taps,
                               int32_t kh, int32_t kw, int32_t stride, int32_t rows, int32_t count);

#endif
