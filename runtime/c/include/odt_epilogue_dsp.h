/*
 * odt_epilogue.h for Armv7E-M: four elements at a time.
 *
 * SMMLA adds to the upper half of a product what rounding and zero point come to before the shift,
 * offset * 2^shift. SSAT takes care of the last shift, by 1.
 */
#ifndef ODT_EPILOGUE_DSP_H
#define ODT_EPILOGUE_DSP_H

/* In r8-r11 twice the codes, with the first binary place. At some levels compilers want all
 * operands in the lower registers. */
#define ODT_DOUBLE_CODES                                                    \
    "ldm.w %[acc]!, {r8-r11}\n"                                             \
    "add r8, r8, %[bias]\n add r9, r9, %[bias]\n"                           \
    "add r10, r10, %[bias]\n add r11, r11, %[bias]\n"                       \
    "smmla r8, r8, %[by], %[start]\n smmla r9, r9, %[by], %[start]\n"       \
    "smmla r10, r10, %[by], %[start]\n smmla r11, r11, %[by], %[start]\n"   \
    "asr r8, r8, %[shift]\n asr r9, r9, %[shift]\n"                         \
    "asr r10, r10, %[shift]\n asr r11, r11, %[shift]\n"

ODT_INLINE void odt_requantize_row(int8_t **out, const int32_t **acc, int32_t bias,
                                   int32_t multiplier, int32_t shift, int32_t offset,
                                   int32_t count)
{
    const int32_t start = offset * (1 << shift);
    int32_t q = 0;
    for (; q < (count & ~3); q += 4) {
        __asm__ volatile(ODT_DOUBLE_CODES
                         "ssat r8, #8, r8, asr #1\n ssat r9, #8, r9, asr #1\n"
                         "ssat r10, #8, r10, asr #1\n ssat r11, #8, r11, asr #1\n"
                         "strb r8, [%[out]], #1\n strb r9, [%[out]], #1\n"
                         "strb r10, [%[out]], #1\n strb r11, [%[out]], #1\n"
                         : [acc] "+r"(*acc), [out] "+r"(*out)
                         : [bias] "r"(bias), [by] "r"(multiplier), [start] "r"(start),
                           [shift] "r"(shift)
                         : "r8", "r9", "r10", "r11", "memory");
    }
    for (; q < count; ++q) {
        const int32_t code = odt_requantize_high(*(*acc)++ + bias, multiplier, shift, offset);
        *(*out)++ = (int8_t)odt_clamp8(code);
    }
}

/* With 128 added, the codes within int8 are those that are less than 256 when taken as unsigned:
 * the carry of a comparison tells, and RRX collects it. */
ODT_INLINE uint32_t odt_requantize_row_masked(int8_t **out, const int32_t **acc, int32_t bias,
                                              int32_t multiplier, int32_t shift, int32_t offset,
                                              int32_t count)
{
    const int32_t start = (offset + 256) * (1 << shift);
    const int32_t blocks = count & ~3;
    uint32_t outside = 0, bits = 0;
    for (int32_t q = 0; q < blocks; q += 4) {
        __asm__ volatile(ODT_DOUBLE_CODES
                         "cmp r8, #512\n rrx %[outside], %[outside]\n"
                         "cmp r9, #512\n rrx %[outside], %[outside]\n"
                         "cmp r10, #512\n rrx %[outside], %[outside]\n"
                         "cmp r11, #512\n rrx %[outside], %[outside]\n"
                         "usat r8, #8, r8, asr #1\n usat r9, #8, r9, asr #1\n"
                         "usat r10, #8, r10, asr #1\n usat r11, #8, r11, asr #1\n"
                         "orr r8, r8, r9, lsl #8\n orr r10, r10, r11, lsl #8\n"
                         "orr r8, r8, r10, lsl #16\n eor r8, r8, #0x80808080\n"
                         "str r8, [%[out]], #4\n"
                         : [acc] "+r"(*acc), [out] "+r"(*out), [outside] "+r"(outside)
                         : [bias] "r"(bias), [by] "r"(multiplier), [start] "r"(start),
                           [shift] "r"(shift)
                         : "r8", "r9", "r10", "r11", "cc", "memory");
    }
    if (blocks > 0) bits = ~outside >> (32 - blocks);
    for (int32_t q = blocks; q < count; ++q) {
        const int32_t code = odt_requantize_high(*(*acc)++ + bias, multiplier, shift, offset);
        *(*out)++ = (int8_t)odt_clamp8(code);
        bits |= (uint32_t)odt_is_int8(code) << q;
    }
    return bits;
}

#undef ODT_DOUBLE_CODES

/// Residual add ///

/* sum + the upper byte of the lower half of `bytes` * wide / 256; its lower byte is 0. */
ODT_INLINE int32_t odt_smlawb(int32_t wide, uint32_t bytes, int32_t sum)
{
    __asm__("smlawb %0, %1, %2, %3" : "=r"(sum) : "r"(wide), "r"(bytes), "r"(sum));
    return sum;
}

/* The same of the upper half. */
ODT_INLINE int32_t odt_smlawt(int32_t wide, uint32_t bytes, int32_t sum)
{
    __asm__("smlawt %0, %1, %2, %3" : "=r"(sum) : "r"(wide), "r"(bytes), "r"(sum));
    return sum;
}

ODT_INLINE void odt_add_s8(int8_t *out, const int8_t *a, const int8_t *b, int32_t a_multiplier,
                           int32_t b_multiplier, int32_t offset, int32_t shift, int32_t count)
{
    const int32_t a_by = a_multiplier * 256, b_by = b_multiplier * 256;
    uint32_t upper = 0xff00ff00u;
    int32_t i = 0;
    __asm__("" : "+r"(upper)); /* in a register, so that AND can shift its other operand */
    for (; i < (count & ~3); i += 4) {
        const uint32_t x = odt_word(a + i), y = odt_word(b + i);
        const uint32_t x02 = upper & x << 8, x13 = upper & x;
        const uint32_t y02 = upper & y << 8, y13 = upper & y;
        const int32_t sum0 = odt_smlawb(b_by, y02, odt_smlawb(a_by, x02, offset));
        const int32_t sum1 = odt_smlawb(b_by, y13, odt_smlawb(a_by, x13, offset));
        const int32_t sum2 = odt_smlawt(b_by, y02, odt_smlawt(a_by, x02, offset));
        const int32_t sum3 = odt_smlawt(b_by, y13, odt_smlawt(a_by, x13, offset));
        out[i] = (int8_t)odt_clamp8(sum0 >> shift);
        out[i + 1] = (int8_t)odt_clamp8(sum1 >> shift);
        out[i + 2] = (int8_t)odt_clamp8(sum2 >> shift);
        out[i + 3] = (int8_t)odt_clamp8(sum3 >> shift);
    }
    for (; i < count; ++i) {
        const int32_t sum =
            odt_scaled_sum_narrow(a[i], a_multiplier, b[i], b_multiplier, offset);
        out[i] = (int8_t)odt_clamp8(sum >> shift);
    }
}

#endif
