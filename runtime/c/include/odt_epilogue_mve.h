/*
 * odt_epilogue.h for Helium: four elements at a time, the last ones by predication.
 *
 * VQDMULH leaves one bit more of the product than odt_requantize_high() does; what rounding and
 * zero point come to is added before the shift. A saturating shift, always to the left, then brings
 * the code into the upper byte.
 */
#ifndef ODT_EPILOGUE_MVE_H
#define ODT_EPILOGUE_MVE_H

#include <arm_mve.h>

/* The codes of four accumulators times 2^(shift + 2), and a fraction. */
ODT_INLINE int32x4_t odt_scaled_codes(int32x4_t acc, int32_t bias, int32_t multiplier,
                                      int32_t shift, int32_t offset)
{
    const int32x4_t product = vqdmulhq_n_s32(vaddq_n_s32(acc, bias), multiplier);
    return vqaddq_n_s32(product, (int32_t)((uint32_t)(2 * offset) << shift));
}

/* The codes from that, clamped to int8. */
ODT_INLINE int32x4_t odt_clamped(int32x4_t scaled, int32_t shift)
{
    return vshrq_n_s32(vqshlq_r_s32(scaled, 22 - shift), 24);
}

ODT_INLINE void odt_requantize_row(int8_t **out, const int32_t **acc, int32_t bias,
                                   int32_t multiplier, int32_t shift, int32_t offset,
                                   int32_t count)
{
    int32_t q = 0;
    for (; q < (count & ~3); q += 4, *acc += 4, *out += 4) {
        const int32x4_t x =
            odt_scaled_codes(vldrwq_s32(*acc), bias, multiplier, shift, offset);
        vstrbq_s32(*out, odt_clamped(x, shift));
    }
    if (q < count) {
        const mve_pred16_t left = vctp32q((uint32_t)(count - q));
        const int32x4_t x =
            odt_scaled_codes(vldrwq_z_s32(*acc, left), bias, multiplier, shift, offset);
        vstrbq_p_s32(*out, odt_clamped(x, shift), left);
        *acc += count - q;
        *out += count - q;
    }
}

/* `sum` + the places of those codes that clamping changes. */
ODT_INLINE uint32_t odt_outside(uint32_t sum, uint32x4_t places, int32x4_t scaled,
                                int32x4_t clamped, int32_t shift)
{
    const int32x4_t codes = vshlq_r_s32(scaled, -2 - shift);
#if defined(__clang__)
    return vaddvaq_p_u32(sum, places, vcmpneq_s32(codes, clamped));
#else /* gcc would move the predicate to a core register and back */
    __asm__("vpt.i32 ne, %q1, %q2\n"
            "vaddvat.u32 %0, %q3"
            : "+Te"(sum)
            : "w"(codes), "w"(clamped), "w"(places)
            : "p0");
    return sum;
#endif
}

ODT_INLINE uint32_t odt_requantize_row_masked(int8_t **out, const int32_t **acc, int32_t bias,
                                              int32_t multiplier, int32_t shift, int32_t offset,
                                              int32_t count)
{
    static const uint32_t first[4] = {1, 2, 4, 8};
    uint32x4_t places = vldrwq_u32(first);
    uint32_t outside = 0;
    int32_t q = 0;
    for (; q < (count & ~3); q += 4, *acc += 4, *out += 4, places = vshlq_n_u32(places, 4)) {
        const int32x4_t x =
            odt_scaled_codes(vldrwq_s32(*acc), bias, multiplier, shift, offset);
        const int32x4_t clamped = odt_clamped(x, shift);
        outside = odt_outside(outside, places, x, clamped, shift);
        vstrbq_s32(*out, clamped);
    }
    if (q < count) {
        const mve_pred16_t left = vctp32q((uint32_t)(count - q));
        const int32x4_t x =
            odt_scaled_codes(vldrwq_z_s32(*acc, left), bias, multiplier, shift, offset);
        const int32x4_t clamped = odt_clamped(x, shift);
        outside = odt_outside(outside, places, x, clamped, shift);
        vstrbq_p_s32(*out, clamped, left);
        *acc += count - q;
        *out += count - q;
    }
    return ~outside & 0xffffffffu >> (32 - count);
}

/* In assembly because compilers do not make loops that predicate their own tail yet. */
ODT_INLINE void odt_add_s8(int8_t *out, const int8_t *a, const int8_t *b, int32_t a_multiplier,
                           int32_t b_multiplier, int32_t offset, int32_t shift, int32_t count)
{
    const int32x4_t a_by = vdupq_n_s32(a_multiplier);
    if (count <= 0) return;
    __asm__ volatile("dlstp.32 lr, %[count]\n"
                     "1:\n"
                     "vldrb.s32 q0, [%[a]], #4\n"
                     "vldrb.s32 q1, [%[b]], #4\n"
                     "vmlas.s32 q0, %q[a_by], %[offset]\n"
                     "vmla.s32 q0, q1, %[b_by]\n"
                     "vqshl.s32 q0, %[up]\n"
                     "vshr.s32 q0, q0, #24\n"
                     "vstrb.32 q0, [%[out]], #4\n"
                     "letp lr, 1b\n"
                     : [out] "+l"(out), [a] "+l"(a), [b] "+l"(b)
                     : [a_by] "w"(a_by), [b_by] "r"(b_multiplier), [offset] "r"(offset),
                       [up] "r"(24 - shift), [count] "r"(count)
                     : "q0", "q1", "lr", "memory");
}

#endif
