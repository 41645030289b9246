/*
 * odt_epilogue.h for Helium: four elements at a time.
 *
 * VQDMULH leaves one bit more of the product than odt_requantize_high() does; what rounding and zero
 * point come to is added before the shift, `start`. A saturating shift then brings the code into the
 * upper byte. The loops are in assembly because compilers do not make loops that predicate their own
 * tail yet.
 */
#ifndef ODT_EPILOGUE_MVE_H
#define ODT_EPILOGUE_MVE_H

#include <arm_mve.h>

/* In q0 the codes, not shifted yet. */
#define ODT_CODES                          \
    "vldrw.32 q0, [%[acc]], #16\n"         \
    "vadd.i32 q0, q0, %[bias]\n"           \
    "vqdmulh.s32 q0, q0, %[by]\n"          \
    "vqadd.s32 q0, q0, %[start]\n"
#define ODT_STORE_CODES                    \
    "vqshl.s32 q0, %[up]\n"                \
    "vshr.s32 q0, q0, #24\n"               \
    "vstrb.32 q0, [%[out]], #4\n"

ODT_INLINE void odt_requantize_row(int8_t **out, const int32_t **acc, int32_t bias,
                                   int32_t multiplier, int32_t shift, int32_t offset,
                                   int32_t count)
{
    int8_t *to = *out;
    const int32_t *from = *acc;
    __asm__ volatile("dlstp.32 lr, %[count]\n"
                     "1:\n" ODT_CODES ODT_STORE_CODES
                     "letp lr, 1b\n"
                     : [out] "+l"(to), [acc] "+l"(from)
                     : [bias] "r"(bias), [by] "r"(multiplier), [start] "r"(offset * (2 << shift)),
                       [up] "r"(22 - shift), [count] "r"(count)
                     : "q0", "lr", "memory");
    *out += count;
    *acc += count;
}

ODT_INLINE uint32_t odt_requantize_row_masked(int8_t **out, const int32_t **acc, int32_t bias,
                                              int32_t multiplier, int32_t shift, int32_t offset,
                                              int32_t count)
{
    static const uint32_t places[4] = {1, 2, 4, 8};
    uint32x4_t place = vldrwq_u32(places);
    uint32_t outside = 0;
    int8_t *to = *out;
    const int32_t *from = *acc;
    __asm__ volatile("dlstp.32 lr, %[count]\n"
                     "1:\n" ODT_CODES
                     "vadd.i32 q1, q0, %[half]\n" /* less than twice `half` if within int8 */
                     "vpt.u32 hi, q1, %[most]\n"
                     "vaddvat.u32 %[outside], %q[place]\n"
                     "vshl.i32 %q[place], %q[place], #4\n" ODT_STORE_CODES
                     "letp lr, 1b\n"
                     : [out] "+l"(to), [acc] "+l"(from), [outside] "+Te"(outside),
                       [place] "+w"(place)
                     : [bias] "r"(bias), [by] "r"(multiplier), [start] "r"(offset * (2 << shift)),
                       [up] "r"(22 - shift), [half] "r"(512 << shift),
                       [most] "r"((1024u << shift) - 1u), [count] "r"(count)
                     : "q0", "q1", "lr", "cc", "memory");
    *out += count;
    *acc += count;
    return ~outside & 0xffffffffu >> (32 - count);
}

#undef ODT_CODES
#undef ODT_STORE_CODES

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
