/*
 * What odt_block_float.h does most, for Armv7E-M with a single-precision FPU: VLDM and VSTM move
 * eight numbers, and two leave or enter the FPU at once.
 */
#ifndef ODT_BLOCK_FLOAT_FPU_H
#define ODT_BLOCK_FLOAT_FPU_H

/* `operation` on eight registers and their operands. */
#define ODT_F32_EACH4(operation, a, b, c, d) operation(a) operation(b) operation(c) operation(d)
#define ODT_F32_EACH8(operation, a, b, c, d, e, f, g, h) \
    ODT_F32_EACH4(operation, a, b, c, d) ODT_F32_EACH4(operation, e, f, g, h)

#if ODT_VMAXNM

/* VMAXNM drops a NaN; x * 0 does not, and is one for an infinity too. Four sums of such products,
 * for their latency. */
#define ODT_F32_PEAK(i, x, bad) \
    "vmaxnm.f32 s" #i ", s" #i ", s" #x "\n vmla.f32 s" #bad ", s" #x ", s21\n"
#define ODT_F32_JOIN(i) "vadd.f32 s" #i ", s" #i ", s17\n"

/* peak[p] = odt_peak(peak[p], x[k * stride + p] * scale[k]) for p < 8, k < depth; depth >= 1.
 *
 * Where one of the numbers is not finite, no peak is.
 *
 * r0 peak, r1 x, r2 bytes from a plane to the next, r3 scale, r4 planes left; s0-s7 peaks, s8-s15
 * numbers, s16 their scale, s17-s20 0 or not finite, s21 0. */
ODT_ASSEMBLY void odt_peak_8(float *peak __attribute__((unused)),
                             const float *x __attribute__((unused)),
                             int32_t stride_bytes __attribute__((unused)),
                             const float *scale __attribute__((unused)),
                             int32_t depth __attribute__((unused)))
{
    __asm__("push {r4, lr}\n"
            "ldr r4, [sp, #8]\n"
            "vpush {s16-s21}\n"
            "vldm r0, {s0-s7}\n"
            "mov r12, #0\n"
            "vmov s21, r12\n"
            "vmul.f32 s17, s0, s21\n vmul.f32 s18, s1, s21\n" /* of the peaks so far */
            "vmul.f32 s19, s2, s21\n vmul.f32 s20, s3, s21\n"
            "vmla.f32 s17, s4, s21\n vmla.f32 s18, s5, s21\n"
            "vmla.f32 s19, s6, s21\n vmla.f32 s20, s7, s21\n"
            "0:\n"
            "vldm r1, {s8-s15}\n"
            "vldm r3!, {s16}\n"
            "add r1, r1, r2\n"
#define ODT_F32_SCALED(x) "vmul.f32 s" #x ", s" #x ", s16\n vabs.f32 s" #x ", s" #x "\n"
            ODT_F32_EACH8(ODT_F32_SCALED, 8, 9, 10, 11, 12, 13, 14, 15)
#undef ODT_F32_SCALED
            ODT_F32_PEAK(0, 8, 17) ODT_F32_PEAK(1, 9, 18) ODT_F32_PEAK(2, 10, 19)
            ODT_F32_PEAK(3, 11, 20) ODT_F32_PEAK(4, 12, 17) ODT_F32_PEAK(5, 13, 18)
            ODT_F32_PEAK(6, 14, 19) ODT_F32_PEAK(7, 15, 20)
            "subs r4, r4, #1\n"
            "bne.n 0b\n"
            "vadd.f32 s17, s17, s18\n vadd.f32 s19, s19, s20\n vadd.f32 s17, s17, s19\n"
            ODT_F32_EACH8(ODT_F32_JOIN, 0, 1, 2, 3, 4, 5, 6, 7)
            "vstm r0, {s0-s7}\n"
            "vpop {s16-s21}\n"
            "pop {r4, pc}\n");
}

#undef ODT_F32_PEAK
#undef ODT_F32_JOIN

/* The largest of peak and the magnitudes of `count` numbers, a multiple of 8; not finite as soon
 * as one of them is not. */
ODT_INLINE float odt_peak_row(float peak, const float *x, int32_t count)
{
    float bad = peak * 0.0f; /* as in odt_peak_8() */
    for (int32_t i = 0; i < count; i += 8) {
#define ODT_F32_LARGER(i)                                                  \
    "vmla.f32 %[bad], s" #i ", %[zero]\n vabs.f32 s" #i ", s" #i "\n"      \
    "vmaxnm.f32 %[peak], %[peak], s" #i "\n"
        __asm__("vldm %[x]!, {s8-s15}\n"
                ODT_F32_EACH8(ODT_F32_LARGER, 8, 9, 10, 11, 12, 13, 14, 15)
                : [peak] "+t"(peak), [bad] "+t"(bad), [x] "+r"(x)
                : [zero] "t"(0.0f), "m"(*(const float(*)[8])x)
                : "s8", "s9", "s10", "s11", "s12", "s13", "s14", "s15");
#undef ODT_F32_LARGER
    }
    return peak + bad;
}

#endif

/* words[i] = odt_block_word(x[i], factor) for i < 4. */
ODT_INLINE void odt_block_words(uint32_t *words, const float *x, float factor)
{
#define ODT_F32_WORD(i) "vmul.f32 s" #i ", s" #i ", %[factor]\n vadd.f32 s" #i ", s" #i ", %[one]\n"
    __asm__("vldm %[x], {s8-s11}\n" ODT_F32_EACH4(ODT_F32_WORD, 8, 9, 10, 11)
            "vmov %[w0], %[w1], s8, s9\n vmov %[w2], %[w3], s10, s11\n"
            : [w0] "=&r"(words[0]), [w1] "=&r"(words[1]), [w2] "=&r"(words[2]), [w3] "=&r"(words[3])
            : [x] "r"(x), [factor] "t"(factor), [one] "t"(12582912.0f), "m"(*(const float(*)[4])x)
            : "s8", "s9", "s10", "s11");
#undef ODT_F32_WORD
}

/* Two k of a group of odt_pack_f32_4(), from plane k in s`a` and plane k + 2 in s`b` on. */
#define ODT_F32_PAIRS(a0, a1, a2, a3, b0, b1, b2, b3)                                   \
    "vmov r4, r5, s" #a0 ", s" #a1 "\n vmov r8, r9, s" #b0 ", s" #b1 "\n"                \
    "vmov r6, r7, s" #a2 ", s" #a3 "\n vmov r10, r11, s" #b2 ", s" #b3 "\n"              \
    "pkhbt r4, r4, r8, lsl #16\n pkhbt r5, r5, r9, lsl #16\n"                            \
    "pkhbt r6, r6, r10, lsl #16\n pkhbt r7, r7, r11, lsl #16\n"                          \
    "stm r0!, {r4-r7}\n"
/* Codes of the numbers of a plane, from s`x` on, scaled by s`scale`. */
#define ODT_F32_CODE(x, scale, factor)               \
    "vmul.f32 s" #x ", s" #x ", s" #scale "\n"       \
    "vmul.f32 s" #x ", s" #x ", s" #factor "\n"      \
    "vadd.f32 s" #x ", s" #x ", s4\n"
#define ODT_F32_CODES(scale, a, b, c, d)                                   \
    ODT_F32_CODE(a, scale, 0) ODT_F32_CODE(b, scale, 1)                    \
    ODT_F32_CODE(c, scale, 2) ODT_F32_CODE(d, scale, 3)

/* `groups` >= 1 groups of a block of 4 columns, from scaled planes.
 *
 * r0 columns, r1 x, r2 bytes from a plane to the next, r3 scale, r4-r11 halves of pairs, r12 groups
 * left; s0-s3 factors, s4 what makes the codes of numbers, s8-s23 numbers, s24-s27 their scales. */
ODT_ASSEMBLY void odt_pack_f32_4(int16_t *columns __attribute__((unused)),
                                 const float *x __attribute__((unused)),
                                 int32_t stride_bytes __attribute__((unused)),
                                 const float *scale __attribute__((unused)),
                                 const float *factor __attribute__((unused)),
                                 int32_t groups __attribute__((unused)))
{
    __asm__("push {r4-r11, lr}\n"
            "ldrd r4, r12, [sp, #36]\n"
            "vpush {s16-s27}\n"
            "vldm r4, {s0-s3}\n"
            "mov r4, #0x4b000000\n" /* 1.5 * 2^23 */
            "orr r4, r4, #0x400000\n"
            "vmov s4, r4\n"
            "0:\n"
            "vldm r3!, {s24-s27}\n"
            "vldm r1, {s8-s11}\n add r1, r1, r2\n"
            "vldm r1, {s12-s15}\n add r1, r1, r2\n"
            "vldm r1, {s16-s19}\n add r1, r1, r2\n"
            "vldm r1, {s20-s23}\n add r1, r1, r2\n"
            ODT_F32_CODES(24, 8, 9, 10, 11)
            ODT_F32_CODES(25, 12, 13, 14, 15)
            ODT_F32_CODES(26, 16, 17, 18, 19)
            ODT_F32_CODES(27, 20, 21, 22, 23)
            ODT_F32_PAIRS(8, 9, 10, 11, 16, 17, 18, 19)
            ODT_F32_PAIRS(12, 13, 14, 15, 20, 21, 22, 23)
            "subs r12, r12, #1\n"
            "bne.w 0b\n"
            "vpop {s16-s27}\n"
            "pop {r4-r11, pc}\n");
}

#undef ODT_F32_PAIRS
#undef ODT_F32_CODE
#undef ODT_F32_CODES

/* In s0-s7 what odt_real_tile_masked() makes of eight accumulators, but for the factor. */
#define ODT_F32_KEPT(bit, acc) "sbfx r12, %[bits], #" #bit ", #1\n and r" #acc ", r" #acc ", r12\n"
#define ODT_F32_NUMBER(i) "vcvt.f32.s32 s" #i ", s" #i "\n"
#if ODT_VMAXNM
/* VSEL knows Z and V: a bit of the mask in each. */
#define ODT_F32_TWO_KEPT(shift, z, v)                                 \
    "lsl r12, %[bits], #" #shift "\n msr APSR_nzcvq, r12\n"          \
    "vseleq.f32 s" #z ", s" #z ", %[zero]\n vselvs.f32 s" #v ", s" #v ", %[zero]\n"
#define ODT_F32_KEPT_NUMBERS                                                          \
    "vldm %[acc]!, {s0-s7}\n"                                                         \
    ODT_F32_TWO_KEPT(23, 7, 5) ODT_F32_TWO_KEPT(24, 6, 4) ODT_F32_TWO_KEPT(27, 3, 1)  \
    ODT_F32_TWO_KEPT(28, 2, 0) ODT_F32_EACH8(ODT_F32_NUMBER, 0, 1, 2, 3, 4, 5, 6, 7)
#else
#define ODT_F32_KEPT_NUMBERS                                                         \
    "ldm.w %[acc]!, {r8-r11}\n"                                                      \
    ODT_F32_KEPT(0, 8) ODT_F32_KEPT(1, 9) ODT_F32_KEPT(2, 10) ODT_F32_KEPT(3, 11)    \
    "vmov s0, s1, r8, r9\n vmov s2, s3, r10, r11\n"                                  \
    "ldm.w %[acc]!, {r8-r11}\n"                                                      \
    ODT_F32_KEPT(4, 8) ODT_F32_KEPT(5, 9) ODT_F32_KEPT(6, 10) ODT_F32_KEPT(7, 11)    \
    "vmov s4, s5, r8, r9\n vmov s6, s7, r10, r11\n"                                  \
    ODT_F32_EACH8(ODT_F32_NUMBER, 0, 1, 2, 3, 4, 5, 6, 7)
#endif
#define ODT_F32_KEPT_CLOBBERS                                                                 \
    "r8", "r9", "r10", "r11", "r12", "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "cc", "memory"

/* out[i] = bit i of `bits` ? odt_real(acc[i], unit) : 0, for i < 8. */
ODT_INLINE void odt_real_8_masked(float *out, const int32_t *acc, float unit, uint32_t bits)
{
#define ODT_F32_BY_UNIT(i) "vmul.f32 s" #i ", s" #i ", %[unit]\n"
    __asm__ volatile(ODT_F32_KEPT_NUMBERS
                     ODT_F32_EACH8(ODT_F32_BY_UNIT, 0, 1, 2, 3, 4, 5, 6, 7)
                     "vstm %[out], {s0-s7}\n"
                     : [acc] "+r"(acc)
                     : [out] "r"(out), [unit] "t"(unit), [bits] "r"(bits), [zero] "t"(0.0f)
                     : ODT_F32_KEPT_CLOBBERS);
#undef ODT_F32_BY_UNIT
}

/* out[i] = bit i of `bits` ? odt_real(acc[i], unit[i]) : 0, for i < 8. */
ODT_INLINE void odt_real_8_masked_each(float *out, const int32_t *acc, const float *unit,
                                       uint32_t bits)
{
    __asm__ volatile(ODT_F32_KEPT_NUMBERS
                     "vldm %[unit], {s8-s15}\n"
                     "vmul.f32 s0, s0, s8\n vmul.f32 s1, s1, s9\n"
                     "vmul.f32 s2, s2, s10\n vmul.f32 s3, s3, s11\n"
                     "vmul.f32 s4, s4, s12\n vmul.f32 s5, s5, s13\n"
                     "vmul.f32 s6, s6, s14\n vmul.f32 s7, s7, s15\n"
                     "vstm %[out], {s0-s7}\n"
                     : [acc] "+r"(acc)
                     : [out] "r"(out), [unit] "r"(unit), [bits] "r"(bits), [zero] "t"(0.0f)
                     : ODT_F32_KEPT_CLOBBERS, "s8", "s9", "s10", "s11", "s12", "s13", "s14",
                       "s15");
}

#define ODT_F32_ADD(i) "vadd.f32 %[sum], %[sum], s" #i "\n"

/* sum + x[0] + x[1] ... + x[7], in turn. */
ODT_INLINE float odt_sum_8(float sum, const float *x)
{
    __asm__("vldm %[x], {s8-s15}\n"
            ODT_F32_EACH8(ODT_F32_ADD, 8, 9, 10, 11, 12, 13, 14, 15)
            : [sum] "+t"(sum)
            : [x] "r"(x), "m"(*(const float(*)[8])x)
            : "s8", "s9", "s10", "s11", "s12", "s13", "s14", "s15");
    return sum;
}

/* The same of x[i] where bit i of `bits` is 1, else 0. */
ODT_INLINE float odt_sum_8_masked(float sum, const float *x, uint32_t bits)
{
    __asm__("ldm.w %[x]!, {r8-r11}\n"
            ODT_F32_KEPT(0, 8) ODT_F32_KEPT(1, 9) ODT_F32_KEPT(2, 10) ODT_F32_KEPT(3, 11)
            "vmov s8, s9, r8, r9\n vmov s10, s11, r10, r11\n"
            "ldm.w %[x], {r8-r11}\n"
            ODT_F32_KEPT(4, 8) ODT_F32_KEPT(5, 9) ODT_F32_KEPT(6, 10) ODT_F32_KEPT(7, 11)
            "vmov s12, s13, r8, r9\n vmov s14, s15, r10, r11\n"
            ODT_F32_EACH8(ODT_F32_ADD, 8, 9, 10, 11, 12, 13, 14, 15)
            : [sum] "+t"(sum), [x] "+r"(x)
            : [bits] "r"(bits), "m"(*(const float(*)[8])x)
            : "r8", "r9", "r10", "r11", "r12", "s8", "s9", "s10", "s11", "s12", "s13", "s14",
              "s15");
    return sum;
}

#undef ODT_F32_ADD
#undef ODT_F32_EACH4
#undef ODT_F32_EACH8
#undef ODT_F32_KEPT
#undef ODT_F32_NUMBER
#undef ODT_F32_TWO_KEPT
#undef ODT_F32_KEPT_NUMBERS
#undef ODT_F32_KEPT_CLOBBERS

#endif
