/*
 * odt_block_result: what sums of the codes of odt_block_float.h stand for, as float32 numbers or as
 * weights after a step. odt_block_float.h includes it.
 */
#ifndef ODT_BLOCK_RESULT_H
#define ODT_BLOCK_RESULT_H

#include "odt_block_float.h"

/* What a sum of codes stands for: acc * unit, both float32. */
ODT_INLINE float odt_real(int32_t acc, float unit)
{
#if ODT_BLOCK_MVE
    float number; /* in C it may become vcvtne, which assemblers take for MVE's vcvtn */
    __asm__("vcvt.f32.s32 %0, %1" : "=t"(number) : "t"(acc));
    return number * unit;
#else
    return (float)acc * unit;
#endif
}

/* Codes of weights after a step of gradient descent, as odt_update_code() makes them:
 * out[r * stride + q] from codes[r * stride + q] and the gradient odt_real(acc[r * count + q],
 * unit[r]) * (rate * inverse[r]), with index + r * stride + q.
 *
 * out            may be codes; stride >= count
 * unit, inverse  rows
 * not_finite     as for odt_update_code() */
ODT_INLINE void odt_update_tile(int8_t *out, const int8_t *codes, int32_t stride,
                                const int32_t *acc, const float *unit, float rate,
                                const float *inverse, uint32_t seed, uint32_t index, int32_t rows,
                                int32_t count, uint32_t *not_finite)
{
    for (int32_t r = 0; r < rows; ++r, out += stride, codes += stride, acc += count) {
        const float u = unit[r], by = rate * inverse[r];
        for (int32_t q = 0; q < count; ++q) {
#if ODT_AVX2
            q += odt_update_eights(out + q, codes + q, acc + q, u, by, seed,
                                   index + (uint32_t)(r * stride + q), count - q);
            if (q == count) break;
#endif
            const float step = odt_real(acc[q], u) * by;
            const uint32_t at = index + (uint32_t)(r * stride + q);
            out[q] = (int8_t)odt_update_code(codes[q], step, 127, seed, at, not_finite);
        }
    }
}

/* Results from sums of codes, under their mask:
 * out[r * stride + q] = bit index + r * stride + q of mask ? odt_real(acc[r * count + q], unit) : 0.
 *
 * unit  unit[q] if step is 1, unit[0] if it is 0; >= 0 */
ODT_INLINE void odt_real_tile_masked(float *out, int32_t stride, const int32_t *acc,
                                     const float *unit, int32_t step, const uint8_t *mask,
                                     int32_t index, int32_t rows, int32_t count)
{
    if (step == 0 && stride == count) { /* one row as well */
        count *= rows;
        rows = 1;
    }
    for (int32_t r = 0; r < rows; ++r, out += stride, acc += count, index += stride) {
        int32_t q = 0;
        if ((index & 7) == 0) {
            for (const uint8_t *byte = mask + (index >> 3); q + 8 <= count; q += 8, ++byte) {
                const uint32_t bits = *byte;
#if ODT_BLOCK_FPU || ODT_AVX2
                if (step == 0) odt_real_8_masked(out + q, acc + q, *unit, bits);
                if (step == 1) odt_real_8_masked_each(out + q, acc + q, unit + q, bits);
                if (step == 0 || step == 1) continue;
#endif
                for (int32_t i = 0; i < 8; ++i) {
                    const uint32_t keep = 0u - (bits >> i & 1u);
                    const int32_t kept = (int32_t)((uint32_t)acc[q + i] & keep);
                    out[q + i] = odt_real(kept, unit[(q + i) * step]);
                }
            }
        }
        for (; q < count; ++q) {
            const int32_t kept = odt_bit_read(mask, index + q) ? acc[q] : 0;
            out[q] = odt_real(kept, unit[q * step]);
        }
    }
}

#endif
