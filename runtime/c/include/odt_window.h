/*
 * odt_window: depthwise convolution of one plane, widened to int16 and padded in scratch memory.
 *
 * A plane in scratch has a `pitch` = ODT_PITCH(width) from row to row and starts at an address
 * that is a multiple of 4, as prepared taps do. How taps lie is private to the target.
 */
#ifndef ODT_WINDOW_H
#define ODT_WINDOW_H

#include <stdint.h>

#include "odt_simd.h"

/* From row to row of a plane that has `width` columns with its borders, in elements. */
#define ODT_PITCH(width) (((width) + 1) & ~1)

#if !ODT_DSP && !ODT_MVE /* plain C, which compilers for a computer make vectors of */
ODT_INLINE void odt_zero(int16_t *to, int32_t count)
{
    for (int32_t i = 0; i < count; ++i) to[i] = 0;
}

ODT_INLINE void odt_widen(int16_t *to, const int8_t *x, int32_t zero_point, int32_t count)
{
    for (int32_t i = 0; i < count; ++i) to[i] = (int16_t)(x[i] - zero_point);
}
#endif

#if ODT_DSP
#include "odt_window_dsp.h"
#elif ODT_MVE
#include "odt_window_mve.h"
#elif ODT_AVX2
#include "odt_window_x86.h"
#else
#include "odt_window_portable.h"
#endif

/* ODT_TAPS(kh, kw): int16 elements of the prepared taps of a kh x kw filter. */

/* Widens `count` codes: to[i] = x[i] - zero_point. */
ODT_INLINE void odt_widen(int16_t *to, const int8_t *x, int32_t zero_point, int32_t count);

/* Sets `count` elements to 0. */
ODT_INLINE void odt_zero(int16_t *to, int32_t count);

/* Prepares the taps of a filter w (kh, kw); kh, kw >= 1. */
ODT_INLINE void odt_taps(int16_t *taps, const int8_t *w, int32_t kh, int32_t kw);

/* The same of the filter turned by 180 degrees, as the gradient of the data wants it. */
ODT_INLINE void odt_taps_flipped(int16_t *taps, const int8_t *w, int32_t kh, int32_t kw);

/* acc[r * count + q] += sum over i < kh, j < kw of
 *                       plane[(r * stride + i) * pitch + q * stride + j] * w[i][j]
 *
 * acc     rows x count, at a multiple of 4
 * plane   (rows - 1) * stride + kh rows, pitch even
 * taps    w, prepared by odt_taps() for these kh and kw
 * stride  >= 1; 1 and 2 are fast */
ODT_INLINE void odt_window(int32_t *acc, const int16_t *plane, int32_t pitch, const int16_t *taps,
                           int32_t kh, int32_t kw, int32_t stride, int32_t rows, int32_t count);

/* x (height, width) less zero_point, with borders of 0, as a plane of ODT_PITCH(left + width +
 * right) from row to row. height, width >= 1; borders >= 0; zero_point -128 ... 127. */
ODT_INLINE void odt_widen_plane(int16_t *plane, const int8_t *x, int32_t height, int32_t width,
                                int32_t top, int32_t left, int32_t bottom, int32_t right,
                                int32_t zero_point)
{
    const int32_t pitch = ODT_PITCH(left + width + right);
    const int32_t gap = pitch - width; /* between two rows: the borders of both */
    odt_zero(plane, top * pitch + left);
    plane += top * pitch + left;
    for (int32_t row = 0; row < height; ++row, x += width, plane += pitch) {
        if (row > 0) odt_zero(plane - gap, gap);
        odt_widen(plane, x, zero_point, width);
    }
    odt_zero(plane - gap, gap - left + bottom * pitch);
}

#endif
