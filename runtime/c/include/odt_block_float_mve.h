/*
 * What odt_block_float.h does most, for Helium and a single-precision FPU: the vector unit loads,
 * takes magnitudes, joins and stores, and the FPU does the arithmetic on the same registers (q0 is
 * s0-s3), because the arithmetic of vectors flushes subnormal numbers.
 */
#ifndef ODT_BLOCK_FLOAT_MVE_H
#define ODT_BLOCK_FLOAT_MVE_H

#include <arm_mve.h>

/* `operation` on s`a` ... s`d` and `y`. */
#define ODT_F32_LANES(operation, a, b, c, d, y)                                   \
    operation " s" #a ", s" #a ", " y "\n" operation " s" #b ", s" #b ", " y "\n" \
    operation " s" #c ", s" #c ", " y "\n" operation " s" #d ", s" #d ", " y "\n"

/* peak[p] = odt_peak(peak[p], x[k * stride + p] * scale[k]) for p < 4 and k < depth; depth >= 1. */
ODT_INLINE void odt_peak_4(float *peak, const float *x, int32_t stride, const float *scale,
                          int32_t depth)
{
    int32x4_t largest = vldrwq_s32((const int32_t *)(const void *)peak);
    __asm__ volatile("dls lr, %[depth]\n"
                     "1: vldrw.u32 q0, [%[x]]\n"
                     "vldm %[scale]!, {s4}\n"
                     "add %[x], %[x], %[stride]\n" ODT_F32_LANES("vmul.f32", 0, 1, 2, 3, "s4")
                     "vbic.i32 q0, #0x80000000\n"
                     "vmax.s32 %q[largest], %q[largest], q0\n"
                     "le lr, 1b\n"
                     : [largest] "+w"(largest), [x] "+r"(x), [scale] "+r"(scale)
                     : [stride] "r"(stride * (int32_t)sizeof *x), [depth] "r"(depth)
                     : "q0", "s4", "lr", "memory");
    vstrwq_s32((int32_t *)(void *)peak, largest);
}

/* The same of `count` >= 1 numbers in a row, for one peak. */
ODT_INLINE void odt_peak_row(float *peak, const float *x, int32_t count)
{
    int32x4_t largest = vdupq_n_s32((int32_t)odt_bits_of(*peak));
    __asm__ volatile("dlstp.32 lr, %[count]\n"
                     "1: vldrw.u32 q0, [%[x]], #16\n"
                     "vbic.i32 q0, #0x80000000\n"
                     "vmax.s32 %q[largest], %q[largest], q0\n"
                     "letp lr, 1b\n"
                     : [largest] "+w"(largest), [x] "+r"(x)
                     : [count] "r"(count)
                     : "q0", "lr", "memory");
    *peak = odt_float_of((uint32_t)vmaxvq_s32(0, largest));
}

/* The codes of plane k in the lower halves of q0, and those of plane k + 1 above them; r1 the
 * plane, s8-s15 scales, s16-s19 factors, s20 what makes the codes of numbers. */
#define ODT_F32_CODES(a, b, c, d, scale)                                \
    ODT_F32_LANES("vmul.f32", a, b, c, d, scale)                        \
    "vmul.f32 s" #a ", s" #a ", s16\n vmul.f32 s" #b ", s" #b ", s17\n" \
    "vmul.f32 s" #c ", s" #c ", s18\n vmul.f32 s" #d ", s" #d ", s19\n" \
    ODT_F32_LANES("vadd.f32", a, b, c, d, "s20")
#define ODT_F32_PAIR(scale, next_scale, bytes)                                    \
    "vldrw.u32 q0, [r1]\n add r1, r1, r2\n" ODT_F32_CODES(0, 1, 2, 3, scale)      \
    "vldrw.u32 q1, [r1]\n add r1, r1, r2\n" ODT_F32_CODES(4, 5, 6, 7, next_scale) \
    "vsli.32 q0, q1, #16\n vstrw.32 q0, [q6, #" bytes "]\n"

/* The first eight times `vectors` >= 1 elements of a block of odt_dot_mve.h, from scaled planes:
 * q6 where two elements of the rows lie. */
ODT_ASSEMBLY void odt_pack_f32_4(int16_t *columns __attribute__((unused)),
                                 const float *x __attribute__((unused)),
                                 int32_t stride_bytes __attribute__((unused)),
                                 const float *scale __attribute__((unused)),
                                 const float *factor __attribute__((unused)),
                                 int32_t vectors __attribute__((unused)))
{
    __asm__("push {r4, lr}\n"
            "ldrd r4, lr, [sp, #8]\n"
            "vpush {s16-s27}\n"
            "vldm r4, {s16-s19}\n"
            "mov r4, #0x4b000000\n" /* 1.5 * 2^23 */
            "orr r4, r4, #0x400000\n"
            "vmov s20, r4\n"
            "mov r4, #0\n"
            "vidup.u32 q6, r4, #8\n"
            "vshl.i32 q6, q6, #1\n" /* rows are 16 bytes apart */
            "vadd.i32 q6, q6, r0\n"
            "mov r4, #64\n"
            "dls lr, lr\n"
            "1: vldm r3!, {s8-s15}\n" ODT_F32_PAIR("s8", "s9", "0") ODT_F32_PAIR("s10", "s11", "4")
                ODT_F32_PAIR("s12", "s13", "8") ODT_F32_PAIR("s14", "s15", "12")
            "vadd.i32 q6, q6, r4\n"
            "le lr, 1b\n"
            "vpop {s16-s27}\n"
            "pop {r4, pc}\n");
}

#undef ODT_F32_CODES
#undef ODT_F32_PAIR

/* to[i] = odt_block_code(x[i], factor) for i < count. */
ODT_INLINE void odt_code_row(int16_t *to, const float *x, float factor, int32_t count)
{
    if (count <= 0) return;
    __asm__ volatile("dlstp.32 lr, %[count]\n"
                     "1: vldrw.u32 q0, [%[x]], #16\n"
                     ODT_F32_LANES("vmul.f32", 0, 1, 2, 3, "%[factor]")
                     ODT_F32_LANES("vadd.f32", 0, 1, 2, 3, "%[round]")
                     "vstrh.32 q0, [%[to]], #8\n"
                     "letp lr, 1b\n"
                     : [to] "+l"(to), [x] "+r"(x)
                     : [factor] "t"(factor), [round] "t"(12582912.0f), [count] "r"(count)
                     : "q0", "lr", "memory");
}

/* The same of eight times `vectors` numbers, for a row of a block of odt_dot_mve.h. */
ODT_INLINE void odt_code_eights(int16_t *to, const float *x, float factor, int32_t vectors)
{
    if (vectors <= 0) return;
    __asm__ volatile("dls lr, %[vectors]\n"
                     "1: vldrw.u32 q0, [%[x]], #16\n"
                     "vldrw.u32 q1, [%[x]], #16\n"
                     ODT_F32_LANES("vmul.f32", 0, 1, 2, 3, "%[factor]")
                     ODT_F32_LANES("vmul.f32", 4, 5, 6, 7, "%[factor]")
                     ODT_F32_LANES("vadd.f32", 0, 1, 2, 3, "%[round]")
                     ODT_F32_LANES("vadd.f32", 4, 5, 6, 7, "%[round]")
                     "vstrh.32 q1, [%[to], #8]\n"
                     "vstrh.32 q0, [%[to]], #64\n"
                     "le lr, 1b\n"
                     : [to] "+l"(to), [x] "+r"(x)
                     : [factor] "t"(factor), [round] "t"(12582912.0f), [vectors] "r"(vectors)
                     : "q0", "q1", "lr", "memory");
}

/* q`q` = four numbers or integers where the places are in `bits`, else 0. */
#define ODT_KEPT(q, from)             \
    "vdup.32 " q ", %[bits]\n"        \
    "vand " q ", " q ", %q[places]\n" \
    "vpt.i32 ne, " q ", zr\n"         \
    "vldrwt.u32 " q ", [" from "], #16\n"

/* out[i] = bit i of `bits` ? x[i] : 0 for i < 8. */
ODT_INLINE void odt_keep_8(float *out, const float *x, uint32_t bits)
{
    static const uint32_t first[4] = {1, 2, 4, 8};
    __asm__ volatile(ODT_PREDICATE_KEPT ODT_KEPT("q0", "%[x]")
                     "vstrw.32 q0, [%[out]], #16\n"
                     "lsr %[bits], %[bits], #4\n" ODT_KEPT("q0", "%[x]")
                     "vstrw.32 q0, [%[out]], #16\n" ODT_PREDICATE_BACK
                     : [out] "+r"(out), [x] "+r"(x), [bits] "+r"(bits)
                     : [places] "w"(vldrwq_u32(first))
                     : "q0", ODT_PREDICATE, "memory");
}

#define ODT_F32_NUMBERS \
    "vcvt.f32.s32 s0, s0\n vcvt.f32.s32 s1, s1\n vcvt.f32.s32 s2, s2\n vcvt.f32.s32 s3, s3\n"
#define ODT_F32_BY_UNITS             \
    "vldrw.u32 q1, [%[unit]], #16\n" \
    "vmul.f32 s0, s0, s4\n vmul.f32 s1, s1, s5\n vmul.f32 s2, s2, s6\n vmul.f32 s3, s3, s7\n"

/* out[i] = bit i of `bits` ? odt_real(acc[i], unit) : 0, for i < 8. */
ODT_INLINE void odt_real_8_masked(float *out, const int32_t *acc, float unit, uint32_t bits)
{
    static const uint32_t first[4] = {1, 2, 4, 8};
    __asm__ volatile(ODT_PREDICATE_KEPT ODT_KEPT("q0", "%[acc]")
                     ODT_F32_NUMBERS ODT_F32_LANES("vmul.f32", 0, 1, 2, 3, "%[unit]")
                     "vstrw.32 q0, [%[out]], #16\n"
                     "lsr %[bits], %[bits], #4\n" ODT_KEPT("q0", "%[acc]")
                     ODT_F32_NUMBERS ODT_F32_LANES("vmul.f32", 0, 1, 2, 3, "%[unit]")
                     "vstrw.32 q0, [%[out]], #16\n" ODT_PREDICATE_BACK
                     : [out] "+r"(out), [acc] "+r"(acc), [bits] "+r"(bits)
                     : [places] "w"(vldrwq_u32(first)), [unit] "t"(unit)
                     : "q0", ODT_PREDICATE, "memory");
}

/* out[i] = bit i of `bits` ? odt_real(acc[i], unit[i]) : 0, for i < 8. */
ODT_INLINE void odt_real_8_masked_each(float *out, const int32_t *acc, const float *unit,
                                       uint32_t bits)
{
    static const uint32_t first[4] = {1, 2, 4, 8};
    __asm__ volatile(ODT_PREDICATE_KEPT ODT_KEPT("q0", "%[acc]")
                     ODT_F32_NUMBERS ODT_F32_BY_UNITS
                     "vstrw.32 q0, [%[out]], #16\n"
                     "lsr %[bits], %[bits], #4\n" ODT_KEPT("q0", "%[acc]")
                     ODT_F32_NUMBERS ODT_F32_BY_UNITS
                     "vstrw.32 q0, [%[out]], #16\n" ODT_PREDICATE_BACK
                     : [out] "+r"(out), [acc] "+r"(acc), [unit] "+r"(unit), [bits] "+r"(bits)
                     : [places] "w"(vldrwq_u32(first))
                     : "q0", "q1", ODT_PREDICATE, "memory");
}

#define ODT_F32_ADD(a, b, c, d)                                             \
    "vadd.f32 %[sum], %[sum], s" #a "\n vadd.f32 %[sum], %[sum], s" #b "\n" \
    "vadd.f32 %[sum], %[sum], s" #c "\n vadd.f32 %[sum], %[sum], s" #d "\n"

/* sum + x[0] + x[1] ... + x[7], in turn. */
ODT_INLINE float odt_sum_8(float sum, const float *x)
{
    __asm__("vldm %[x], {s8-s15}\n" ODT_F32_ADD(8, 9, 10, 11) ODT_F32_ADD(12, 13, 14, 15)
            : [sum] "+t"(sum)
            : [x] "r"(x), "m"(*(const float(*)[8])x)
            : "q2", "q3");
    return sum;
}

/* The same of x[i] where bit i of `bits` is 1, else 0. */
ODT_INLINE float odt_sum_8_masked(float sum, const float *x, uint32_t bits)
{
    static const uint32_t first[4] = {1, 2, 4, 8};
    const float *from = x;
    __asm__(ODT_PREDICATE_KEPT ODT_KEPT("q2", "%[x]")
            "lsr %[bits], %[bits], #4\n" ODT_KEPT("q3", "%[x]")
            ODT_F32_ADD(8, 9, 10, 11) ODT_F32_ADD(12, 13, 14, 15) ODT_PREDICATE_BACK
            : [sum] "+t"(sum), [x] "+r"(from), [bits] "+r"(bits)
            : [places] "w"(vldrwq_u32(first)), "m"(*(const float(*)[8])x)
            : "q2", "q3", ODT_PREDICATE);
    return sum;
}

#undef ODT_F32_ADD
#undef ODT_F32_LANES
#undef ODT_F32_NUMBERS
#undef ODT_F32_BY_UNITS
#undef ODT_KEPT

#endif
