/*
 * odt_epilogue: how kernels end, from accumulators to codes, and the residual add.
 *
 * The codes are those of odt_requantize.h, in every variant. All sizes best are constants.
 */
#ifndef ODT_EPILOGUE_H
#define ODT_EPILOGUE_H

#include <stdint.h>

#include "odt_kernels.h"
#include "odt_requantize.h"
#include "odt_simd.h"

/* What the functions on tiles do for `count` elements of one row, 1 to 32 if masked; `out` and
 * `acc` move on by as many. Bit q of the result is the boolean of element q, bits from `count` on
 * are 0. */
ODT_INLINE void odt_requantize_row(int8_t **out, const int32_t **acc, int32_t bias,
                                   int32_t multiplier, int32_t shift, int32_t offset,
                                   int32_t count);
ODT_INLINE uint32_t odt_requantize_row_masked(int8_t **out, const int32_t **acc, int32_t bias,
                                              int32_t multiplier, int32_t shift, int32_t offset,
                                              int32_t count);

#if !ODT_DSP && !ODT_MVE
ODT_INLINE void odt_add_s8(int8_t *out, const int8_t *a, const int8_t *b, int32_t a_multiplier,
                           int32_t b_multiplier, int32_t offset, int32_t shift, int32_t count)
{
    for (int32_t i = 0; i < count; ++i) {
        const int32_t sum =
            odt_scaled_sum_narrow(a[i], a_multiplier, b[i], b_multiplier, offset);
        out[i] = (int8_t)odt_clamp8(sum >> shift);
    }
}
#endif

#if ODT_DSP
#include "odt_epilogue_dsp.h"
#elif ODT_MVE
#include "odt_epilogue_mve.h"
#elif ODT_AVX2
#include "odt_epilogue_x86.h"
#else
#include "odt_epilogue_portable.h"
#endif

/* out[r * out_stride + q] = the code of acc[r * inner + q] + bias, for r < outer and q < inner:
 * odt_requantize_high() of it, clamped to int8. No such sum may leave int32.
 *
 * out_stride  >= inner; outer, inner >= 1
 * bias, multiplier, shift
 *             of row r at r * step: `step` is 1 for a channel a row, 0 for one channel
 * shift       0 ... 21, which leaves rounding and zero point room beside the product
 * offset      2 * zero_point + 1 */
ODT_INLINE void odt_requantize_tile(int8_t *out, int32_t out_stride, const int32_t *acc,
                                    const int32_t *bias, const int32_t *multiplier,
                                    const int32_t *shift, int32_t step, int32_t offset,
                                    int32_t outer, int32_t inner)
{
    int32_t b = *bias, m = *multiplier, s = *shift;
    if (step == 0 && out_stride == inner) { /* one row as well */
        inner *= outer;
        out_stride = inner;
        outer = 1;
    }
#if ODT_MVE
    if (step == 1 && ((outer | inner) & 3) == 0) {
        for (int32_t r = 0; r < outer; r += 4) {
            odt_requantize_rows4(out + r * out_stride, out_stride, acc + r * inner, bias + r,
                                 multiplier + r, shift + r, offset, inner);
        }
        return;
    }
#endif
    for (int32_t r = 0; r < outer; ++r, out += out_stride - inner) {
        if (step != 0) {
            b = bias[r * step];
            m = multiplier[r * step];
            s = shift[r * step];
        }
        odt_requantize_row(&out, &acc, b, m, s, offset, inner);
    }
}

/* Sets elements index ... index + count - 1 of packed booleans to the lowest bits of `bits`, whose
 * bits from `count` on are 0; count 0 ... 32. */
ODT_INLINE void odt_bits_write_any(uint8_t *mask, int32_t index, int32_t count, uint32_t bits)
{
    for (int32_t n = 0; count > 0; index += n, count -= n, bits >>= n) {
        const int32_t first = index & 7;
        uint8_t *byte = mask + (index >> 3);
        n = odt_mini(8 - first, count);
        *byte = (uint8_t)((*byte & ~(((1u << n) - 1u) << first)) | bits << first);
    }
}

/* The same, and element mask_index + r * mask_stride + q of the packed booleans `mask` tells
 * whether that code lay in int8 before it was clamped. All other elements stay.
 *
 * mask_index, mask_stride
 *             multiples of `inner` where that is 2, 4, 8, 16 or 32; else any */
ODT_INLINE void odt_requantize_tile_masked(int8_t *out, int32_t out_stride, const int32_t *acc,
                                           const int32_t *bias, const int32_t *multiplier,
                                           const int32_t *shift, int32_t step, int32_t offset,
                                           int32_t outer, int32_t inner, uint8_t *mask,
                                           int32_t mask_index, int32_t mask_stride)
{
    const int is_whole = inner > 1 && inner <= 32 && (inner & (inner - 1)) == 0;
    int32_t b = *bias, m = *multiplier, s = *shift;
    if (step == 0 && out_stride == inner && mask_stride == inner) { /* fewer, longer rows */
        if (!is_whole) {
            inner *= outer;
            outer = 1;
        }
        while (is_whole && (mask_index & 7) == 0 && inner < 32 && (outer & 1) == 0) {
            inner *= 2;
            outer /= 2;
        }
        out_stride = inner;
        mask_stride = inner;
    }
    mask += mask_index >> 3;
    mask_index = is_whole && inner >= 8 ? 0 : mask_index & 7;
#if ODT_MVE
    if (step == 1 && ((outer | inner) & 3) == 0 && inner <= 32) {
        for (int32_t r = 0; r < outer; r += 4) {
            uint32_t bits[4];
            odt_requantize_rows4_masked(out + r * out_stride, out_stride, acc + r * inner,
                                        bias + r, multiplier + r, shift + r, offset, inner, bits);
            for (int32_t i = 0; i < 4; ++i, mask_index += mask_stride) {
                if (is_whole) {
                    odt_bits_write(mask, mask_index, inner, bits[i]);
                } else {
                    odt_bits_write_any(mask, mask_index, inner, bits[i]);
                }
            }
        }
        return;
    }
#endif
    for (int32_t r = 0; r < outer; ++r, out += out_stride - inner) {
        if (step != 0) {
            b = bias[r * step];
            m = multiplier[r * step];
            s = shift[r * step];
        }
        for (int32_t q = 0; q < inner; q += 32) {
            const int32_t count = odt_mini(inner - q, 32);
            const uint32_t bits = odt_requantize_row_masked(&out, &acc, b, m, s, offset, count);
            if (is_whole) {
                odt_bits_write(mask, mask_index, inner, bits);
            } else {
                odt_bits_write_any(mask, mask_index + q, count, bits);
            }
        }
        if ((mask_stride & 7) == 0) { /* what is to be done in a byte stays the same */
            mask += mask_stride / 8;
        } else {
            mask_index += mask_stride;
        }
    }
}

/* out[r * stride + q] = acc[r * count + q] where element index + r * stride + q of the packed
 * booleans `mask` is 1, else 0, for r < rows and q < count; stride >= count. */
ODT_INLINE void odt_mask_tile_f32(float *out, int32_t stride, const float *acc,
                                  const uint8_t *mask, int32_t index, int32_t rows, int32_t count)
{
    for (int32_t r = 0; r < rows; ++r, out += stride, acc += count, index += stride) {
        int32_t q = 0;
        if ((index & 7) == 0) {
            for (const uint8_t *byte = mask + (index >> 3); q + 8 <= count; q += 8, ++byte) {
                for (int32_t i = 0; i < 8; ++i) {
                    const uint32_t keep = 0u - (*byte >> i & 1u);
                    out[q + i] = odt_float_of(odt_bits_of(acc[q + i]) & keep);
                }
            }
        }
        for (; q < count; ++q) out[q] = odt_bit_read(mask, index + q) ? acc[q] : 0.0f;
    }
}

/* out[i] = (offset + a[i] * a_multiplier + b[i] * b_multiplier) >> shift, clamped to int8, for
 * i < count: a sum of codes in the form of relay_passes/ops/sum_in_32_bits.py.
 *
 * out                         may be a or b, but overlap neither otherwise
 * a_multiplier, b_multiplier  within +-(2^23 - 1)
 * offset                      no sum may leave int32, the partial ones too
 * shift                       1 ... 30 */
ODT_INLINE void odt_add_s8(int8_t *out, const int8_t *a, const int8_t *b, int32_t a_multiplier,
                           int32_t b_multiplier, int32_t offset, int32_t shift, int32_t count);

#endif
