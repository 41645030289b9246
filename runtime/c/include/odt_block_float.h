/*
 * odt_block_float: float32 numbers as int16 codes that share a factor.
 *
 * A block is what one integer sum reads. Its peak is its largest magnitude; a code is
 * round(x * limit / peak), half to even, so no code is larger than the limit. The same bits on
 * every target; of numbers that are not finite the peak is none, so the factor is 0 and what the
 * codes stand for is not finite either: it never gets lost.
 */
#ifndef ODT_BLOCK_FLOAT_H
#define ODT_BLOCK_FLOAT_H

#include "odt_dot.h"
#include "odt_kernels.h"
#include "odt_window.h"
#include "odt_window_phases.h"

/* An FPv5 has VMAXNM; of the numbers it takes a NaN counts as none. */
#if defined(ODT_ASSEMBLY) && ODT_FPU && ((__ARM_FP & 8) || __ARM_ARCH >= 8)
#define ODT_VMAXNM 1
#else
#define ODT_VMAXNM 0
#endif
#define ODT_BLOCK_FPU (ODT_FPU && (ODT_DSP || ODT_MVE))
#define ODT_BLOCK_MVE (ODT_FPU && ODT_MVE)
#if ODT_BLOCK_MVE
#include "odt_block_float_mve.h"
#elif ODT_BLOCK_FPU
#include "odt_block_float_fpu.h"
#elif ODT_AVX2
#include "odt_block_float_x86.h"
#endif

/* The larger of peak >= 0 and the magnitude of x; not finite as soon as either is not. Bits of
 * magnitudes are in the order of the numbers, with NaN above all. */
ODT_INLINE float odt_peak(float peak, float x)
{
    const uint32_t magnitude = odt_bits_of(x) & ~ODT_SIGN;
    return magnitude > odt_bits_of(peak) ? odt_float_of(magnitude) : peak;
}

/* What the numbers of a block are multiplied with: limit / peak, and 0 for a block of zeros or of
 * numbers so small that the quotient could overflow. */
ODT_INLINE float odt_block_factor(float peak, float limit)
{
    return peak >= 1e-30f ? limit / peak : 0.0f;
}

/* odt_block_code() in the lower half of a word. Adding 1.5 * 2^23 leaves the integer in the lower
 * bits of the fraction. */
ODT_INLINE uint32_t odt_block_word(float x, float factor)
{
    return odt_bits_of(x * factor + 12582912.0f);
}

#if ODT_DSP && !ODT_BLOCK_FPU

/* words[i] = odt_block_word(x[i], factor) for i < 4. */
ODT_INLINE void odt_block_words(uint32_t *words, const float *x, float factor)
{
    for (int32_t i = 0; i < 4; ++i) words[i] = odt_block_word(x[i], factor);
}

#endif

/* x * factor as an int16, rounded to nearest, half to even: |x * factor| < 32767.5, otherwise any
 * int16. */
ODT_INLINE int16_t odt_block_code(float x, float factor)
{
    return (int16_t)(uint16_t)odt_block_word(x, factor);
}

/* x * scale[k]; x if scale is NULL. */
ODT_INLINE float odt_scaled(float x, const float *scale, int32_t k)
{
    return scale ? x * scale[k] : x;
}

/* peak[p] = odt_peak(peak[p], x[k * stride + p] * scale[k]) for k = 0 ... depth - 1.
 *
 * peak   rows
 * x      depth planes, `stride` >= rows apart
 * scale  depth, or NULL for 1 */
ODT_INLINE void odt_peak_planes(float *peak, const float *x, int32_t stride, const float *scale,
                                int32_t rows, int32_t depth)
{
    int32_t p = 0;
#if ODT_BLOCK_MVE
    if (!scale && rows == 1 && stride == 1 && depth > 0) {
        odt_peak_row(peak, x, depth);
        return;
    }
    for (; scale && depth > 0 && p < (rows & ~3); p += 4) {
        odt_peak_4(peak + p, x + p, stride, scale, depth);
    }
#elif ODT_BLOCK_FPU && ODT_VMAXNM
    if (scale && depth > 0) {
        for (; p < (rows & ~7); p += 8) {
            odt_peak_8(peak + p, x + p, stride * (int32_t)sizeof *x, scale, depth);
        }
    } else if (!scale && rows == 1 && stride == 1) {
        const int32_t eights = depth & ~7;
        *peak = odt_peak_row(*peak, x, eights);
        x += eights, depth -= eights;
    }
#elif ODT_AVX2
    if (!scale && rows == 1 && stride == 1) {
        *peak = odt_peak_row(*peak, x, depth);
        return;
    }
    for (; p < (rows & ~7); p += 8) odt_peak_8(peak + p, x + p, stride, scale, depth);
#endif
    for (; p < (rows & ~3); p += 4) { /* as many as loads can be shared between */
        float p0 = peak[p], p1 = peak[p + 1], p2 = peak[p + 2], p3 = peak[p + 3];
        const float *from = x + p;
        for (int32_t k = 0; k < depth; ++k, from += stride) {
            p0 = odt_peak(p0, odt_scaled(from[0], scale, k));
            p1 = odt_peak(p1, odt_scaled(from[1], scale, k));
            p2 = odt_peak(p2, odt_scaled(from[2], scale, k));
            p3 = odt_peak(p3, odt_scaled(from[3], scale, k));
        }
        peak[p] = p0, peak[p + 1] = p1, peak[p + 2] = p2, peak[p + 3] = p3;
    }
    for (; p < rows; ++p) {
        float largest = peak[p];
        for (int32_t k = 0; k < depth; ++k) {
            largest = odt_peak(largest, odt_scaled(x[k * stride + p], scale, k));
        }
        peak[p] = largest;
    }
}

/* peak[p] = odt_peak(peak[p], x[p * stride + k]) for k = 0 ... depth - 1, p = 0 ... rows - 1. */
ODT_INLINE void odt_peak_rows(float *peak, const float *x, int32_t stride, int32_t rows,
                              int32_t depth)
{
    for (int32_t p = 0; p < rows; ++p) odt_peak_planes(peak + p, x + p * stride, 1, 0, 1, depth);
}

/* Columns of odt_dot.h: columns(p, k) = odt_block_code(x[k * stride + p] * scale[k], factor[p]).
 *
 * x       depth planes, `stride` >= rows apart
 * scale   depth, or NULL for 1
 * factor  rows */
ODT_INLINE void odt_pack_planes(int16_t *columns, const float *x, int32_t stride,
                                const float *scale, const float *factor, int32_t rows,
                                int32_t depth)
{
    int32_t p = 0;
#if ODT_DSP
    for (; p < (rows & ~3); p += 4) { /* a block: odt_dot_dsp.h says how it lies */
        const float f0 = factor[p], f1 = factor[p + 1], f2 = factor[p + 2], f3 = factor[p + 3];
        odt_pair_t *to = (odt_pair_t *)(void *)(columns + p * depth);
        const float *low = x + p;
        int32_t k = 0;
#if ODT_BLOCK_FPU
        if (scale && depth >= 4) {
            k = depth & ~3;
            odt_pack_f32_4(columns + p * depth, low, stride * (int32_t)sizeof *x, scale,
                           factor + p, k / 4);
            low += k * stride;
        }
#endif
        for (; k < (depth & ~3); k += 4, low += 2 * stride) {
            for (int32_t odd = 0; odd < 2; ++odd, to += 4, low += stride) {
                const float *high = low + 2 * stride;
                to[0] = odt_lower_halves(odt_block_word(odt_scaled(low[0], scale, k + odd), f0),
                                         odt_block_word(odt_scaled(high[0], scale, k + odd + 2), f0));
                to[1] = odt_lower_halves(odt_block_word(odt_scaled(low[1], scale, k + odd), f1),
                                         odt_block_word(odt_scaled(high[1], scale, k + odd + 2), f1));
                to[2] = odt_lower_halves(odt_block_word(odt_scaled(low[2], scale, k + odd), f2),
                                         odt_block_word(odt_scaled(high[2], scale, k + odd + 2), f2));
                to[3] = odt_lower_halves(odt_block_word(odt_scaled(low[3], scale, k + odd), f3),
                                         odt_block_word(odt_scaled(high[3], scale, k + odd + 2), f3));
            }
        }
        for (; k < depth; ++k, low += stride) {
            for (int32_t q = p; q < p + 4; ++q) {
                columns[odt_column(q, k, rows, depth)] =
                    odt_block_code(odt_scaled(low[q - p], scale, k), factor[q]);
            }
        }
    }
#elif ODT_BLOCK_MVE
    for (; scale && p < (rows & ~3); p += 4) { /* a block: odt_dot_mve.h says how it lies */
        const int32_t whole = depth & ~7;
        if (whole > 0) {
            odt_pack_f32_4(columns + p * depth, x + p, stride * (int32_t)sizeof *x, scale,
                           factor + p, whole / 8);
        }
        for (int32_t q = p; q < p + 4; ++q) {
            for (int32_t k = whole; k < depth; ++k) {
                columns[odt_column(q, k, rows, depth)] =
                    odt_block_code(x[k * stride + q] * scale[k], factor[q]);
            }
        }
    }
#elif ODT_AVX2
    for (; p < (rows & ~7); p += 8) { /* a block: odt_dot_x86.h says how it lies */
        odt_pack_f32_8(columns + p * depth, x + p, stride, scale, factor + p, depth);
    }
#endif
    for (; p < rows; ++p) {
        for (int32_t k = 0; k < depth; ++k) {
            columns[odt_column(p, k, rows, depth)] =
                odt_block_code(odt_scaled(x[k * stride + p], scale, k), factor[p]);
        }
    }
}

/* Columns of odt_dot.h: columns(p, k) = odt_block_code(x[p * stride + k], factor[p]). */
ODT_INLINE void odt_pack_rows_f32(int16_t *columns, const float *x, int32_t stride,
                                  const float *factor, int32_t rows, int32_t depth)
{
    for (int32_t p = 0; p < rows; ++p, x += stride) {
        const float f = factor[p];
        int32_t k = 0;
#if ODT_BLOCK_MVE
        if (p >= (rows & ~3)) {
            odt_code_row(columns + p * depth, x, f, depth);
            continue;
        }
        odt_code_eights(columns + (p & ~3) * depth + 8 * (p & 3), x, f, depth >> 3);
        k = depth & ~7;
#elif ODT_DSP
        const int32_t first = p & ~(ODT_BLOCK - 1), block = odt_block_rows(first, rows);
        odt_pair_t *to = (odt_pair_t *)(void *)(columns + first * depth) + (p - first);
        for (; k < (depth & ~3); k += 4, to += 2 * block) {
            uint32_t words[4];
            odt_block_words(words, x + k, f);
            to[0] = odt_lower_halves(words[0], words[2]);
            to[block] = odt_lower_halves(words[1], words[3]);
        }
#endif
        for (; k < depth; ++k) columns[odt_column(p, k, rows, depth)] = odt_block_code(x[k], f);
    }
}

/* A plane of odt_window.h, `rows` x `columns`, of zeros but for the codes of x on a grid:
 * plane(top + i * down, left + j * across) = odt_block_code(x[i * stride + j], factor).
 *
 * x  height x width, the rows `stride` apart; all of the grid lies in the plane */
ODT_INLINE void odt_block_plane(int16_t *plane, int32_t rows, int32_t columns, int32_t top,
                                int32_t left, int32_t down, int32_t across, const float *x,
                                int32_t stride, int32_t height, int32_t width, float factor)
{
    const int32_t pitch = ODT_PITCH(columns);
    odt_zero(plane, rows * pitch);
    plane += top * pitch + left;
    for (int32_t i = 0; i < height; ++i, x += stride, plane += down * pitch) {
        int32_t j = 0;
#if ODT_BLOCK_MVE
        if (across == 1) {
            odt_code_row(plane, x, factor, width);
            continue;
        }
#elif ODT_DSP
        for (; across == 1 && j < (width & ~3); j += 4) {
            uint32_t words[4], pair;
            odt_block_words(words, x + j, factor);
            pair = odt_lower_halves(words[0], words[1]);
            memcpy(plane + j, &pair, sizeof pair);
            pair = odt_lower_halves(words[2], words[3]);
            memcpy(plane + j + 2, &pair, sizeof pair);
        }
#elif ODT_AVX2
        for (; across == 1 && j < (width & ~7); j += 8) odt_code_row_8(plane + j, x + j, factor);
#endif
        for (; j < width; ++j) plane[j * across] = odt_block_code(x[j], factor);
    }
}

/* Numbers under their mask, from planes:
 * out[k * rows + p] = bit index + k * stride + p of mask ? x[k * stride + p] : 0.
 *
 * x  depth planes, `stride` >= rows apart */
ODT_INLINE void odt_mask_planes(float *out, const float *x, int32_t stride, const uint8_t *mask,
                                int32_t index, int32_t rows, int32_t depth)
{
    for (int32_t k = 0; k < depth; ++k, out += rows, x += stride, index += stride) {
        int32_t p = 0;
        if ((index & 7) == 0) {
            for (const uint8_t *byte = mask + (index >> 3); p + 8 <= rows; p += 8, ++byte) {
                const uint32_t bits = *byte;
#if ODT_BLOCK_MVE
                odt_keep_8(out + p, x + p, bits);
                continue;
#endif
                for (int32_t i = 0; i < 8; ++i) {
                    const uint32_t keep = 0u - (bits >> i & 1u);
                    out[p + i] = odt_float_of(odt_bits_of(x[p + i]) & keep);
                }
            }
        }
        for (; p < rows; ++p) out[p] = odt_bit_read(mask, index + p) ? x[p] : 0.0f;
    }
}

/* out[p] = 0 + x[p * stride] + x[p * stride + 1] ... + x[p * stride + depth - 1], in turn.
 *
 * out  rows; may start where x does */
ODT_INLINE void odt_sum_rows(float *out, const float *x, int32_t stride, int32_t rows,
                             int32_t depth)
{
    for (int32_t p = 0; p < rows; ++p, x += stride) {
        float sum = 0.0f;
        int32_t k = 0;
#if ODT_BLOCK_FPU
        for (; k < (depth & ~7); k += 8) sum = odt_sum_8(sum, x + k);
#endif
        for (; k < depth; ++k) sum += x[k];
        out[p] = sum;
    }
}

/* The same of the numbers under their mask: x[i] where bit index + i of it is 1, else 0. */
ODT_INLINE void odt_sum_rows_masked(float *out, const float *x, int32_t stride,
                                    const uint8_t *mask, int32_t index, int32_t rows,
                                    int32_t depth)
{
    for (int32_t p = 0; p < rows; ++p, x += stride, index += stride) {
        float sum = 0.0f;
        int32_t k = 0;
#if ODT_BLOCK_FPU
        if ((index & 7) == 0) {
            const uint8_t *byte = mask + (index >> 3);
            for (; k < (depth & ~7); k += 8) sum = odt_sum_8_masked(sum, x + k, *byte++);
        }
#endif
        for (; k < depth; ++k) sum += odt_bit_read(mask, index + k) ? x[k] : 0.0f;
        out[p] = sum;
    }
}

#include "odt_block_result.h"

#endif
