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

/* In assembly because compilers do not make loops that predicate their own tail yet. */
ODT_INLINE void odt_requantize_row(int8_t **out, const int32_t **acc, int32_t bias,
                                   int32_t multiplier, int32_t shift, int32_t offset,
                                   int32_t count)
{
    if (count <= 0) return;
    __asm__ volatile("dlstp.32 lr, %[count]\n"
                     "1:\n"
                     "vldrw.u32 q0, [%[acc]], #16\n"
                     "vadd.i32 q0, q0, %[bias]\n"
                     "vqdmlash.s32 q0, %q[by], %[offset]\n"
                     "vqshl.s32 q0, %[up]\n"
                     "vshr.s32 q0, q0, #24\n"
                     "vstrb.32 q0, [%[out]], #4\n"
                     "letp lr, 1b\n"
                     : [out] "+l"(*out), [acc] "+r"(*acc)
                     : [bias] "r"(bias), [by] "w"(vdupq_n_s32(multiplier)),
                       [offset] "r"((uint32_t)(2 * offset) << shift), [up] "r"(22 - shift),
                       [count] "r"(count)
                     : "q0", "lr", "memory");
    *out -= -count & 3; /* the lanes of the last vector that were beyond the end */
    *acc -= -count & 3;
}

/* Four accumulators of the lanes' addresses + `bytes`, as their codes times 2^(shift + 2). */
#define ODT_SCALED(x, bytes, bias)                   \
    "vldrw.u32 " x ", [%q[from], #" bytes "]\n" bias \
    "vqdmulh.s32 " x ", " x ", %q[by]\n"             \
    "vqadd.s32 " x ", " x ", %q[offset]\n"
/* Their codes, in the upper byte. */
#define ODT_CODES(x, bytes) \
    ODT_SCALED(x, bytes, "vadd.i32 " x ", " x ", %q[bias]\n") "vqshl.s32 " x ", " x ", %q[up]\n"
/* The same, and `place` in q3 where the shift does not saturate: there it equals what wraps.
 * The lowest bit, of the fraction, is set so that what wraps to the smallest integer differs from
 * what saturates to it. */
#define ODT_CODES_MASKED(x, bytes, place)                                         \
    ODT_SCALED(x, bytes, "vldrw.u32 q2, [%[bias]]\n vadd.i32 " x ", " x ", q2\n") \
    "vorr.i32 " x ", #1\n"                                                        \
    "vshl.s32 q2, " x ", %q[up]\n"                                                \
    "vqshl.s32 " x ", " x ", %q[up]\n"                                            \
    "vpt.i32 eq, " x ", q2\n"                                                     \
    "vorrt.i32 q3, #" place "\n"
/* Four columns of codes as a word a row, stored; VSRI brings them together. */
#define ODT_CODES_STORED(codes3, codes2, codes1, codes0)                       \
    codes3 codes2 "vsri.32 q0, q1, #8\n" codes1 "vsri.32 q0, q1, #16\n" codes0 \
    "vsri.32 q0, q1, #24\n"                                                    \
    "vmov %[y], %[x], q0[2], q0[0]\n"                                          \
    "str %[y], [%[out]]\n"                                                     \
    "str %[x], [%[out], %[stride], lsl #1]\n"                                  \
    "add %[out], %[out], %[stride]\n"                                          \
    "vmov %[y], %[x], q0[3], q0[1]\n"                                          \
    "str %[y], [%[out]]\n"                                                     \
    "str %[x], [%[out], %[stride], lsl #1]\n"

/* What a tile of four rows, a channel each, needs: a row a lane. */
typedef struct odt_rows4 {
    uint32x4_t from; /* addresses of accumulators */
    int32x4_t by, offset, up;
} odt_rows4_t;

ODT_INLINE odt_rows4_t odt_rows4_of(const int32_t *acc, const int32_t *multiplier,
                                    const int32_t *shift, int32_t offset, int32_t inner)
{
    const uint32x4_t row = vmulq_n_u32(vidupq_n_u32(0, 4), (uint32_t)inner);
    const int32x4_t shifts = vldrwq_s32(shift);
    odt_rows4_t rows;
    rows.from = vaddq_n_u32(row, (uint32_t)(uintptr_t)acc);
    rows.by = vldrwq_s32(multiplier);
    rows.offset = vshlq_s32(vdupq_n_s32(2 * offset), shifts);
    rows.up = vaddq_n_s32(vnegq_s32(shifts), 22);
    return rows;
}

/* odt_requantize_tile() of four rows, a channel each, and inner % 4 = 0. */
ODT_INLINE void odt_requantize_rows4(int8_t *out, int32_t out_stride, const int32_t *acc,
                                     const int32_t *bias, const int32_t *multiplier,
                                     const int32_t *shift, int32_t offset, int32_t inner)
{
    odt_rows4_t rows = odt_rows4_of(acc, multiplier, shift, offset, inner);
    const int32x4_t biases = vldrwq_s32(bias);
    for (int32_t q = 0; q < inner; q += 4, rows.from = vaddq_n_u32(rows.from, 16)) {
        int8_t *to = out + q;
        uint32_t x, y;
        __asm__ volatile(ODT_CODES_STORED(ODT_CODES("q0", "12"), ODT_CODES("q1", "8"),
                                          ODT_CODES("q1", "4"), ODT_CODES("q1", "0"))
                         : [out] "+&r"(to), [x] "=&r"(x), [y] "=&r"(y)
                         : [stride] "r"(out_stride), [from] "w"(rows.from), [bias] "w"(biases),
                           [by] "w"(rows.by), [offset] "w"(rows.offset), [up] "w"(rows.up)
                         : "q0", "q1", "memory");
    }
}

/* The same for inner <= 32; bit q of bits[r] is the boolean of row r, column q. */
ODT_INLINE void odt_requantize_rows4_masked(int8_t *out, int32_t out_stride, const int32_t *acc,
                                            const int32_t *bias, const int32_t *multiplier,
                                            const int32_t *shift, int32_t offset, int32_t inner,
                                            uint32_t bits[4])
{
    odt_rows4_t rows = odt_rows4_of(acc, multiplier, shift, offset, inner);
    uint32x4_t inside = vdupq_n_u32(0);
    for (int32_t q = 0; q < inner; q += 4, rows.from = vaddq_n_u32(rows.from, 16)) {
        int8_t *to = out + q;
        uint32_t x, y;
        uint32x4_t places;
        __asm__ volatile(ODT_PREDICATE_KEPT "vmov.i32 q3, #0\n" ODT_CODES_STORED(
                             ODT_CODES_MASKED("q0", "12", "8"), ODT_CODES_MASKED("q1", "8", "4"),
                             ODT_CODES_MASKED("q1", "4", "2"), ODT_CODES_MASKED("q1", "0", "1"))
                         "vmov %q[places], q3\n" ODT_PREDICATE_BACK
                         : [out] "+&r"(to), [x] "=&r"(x), [y] "=&r"(y), [places] "=w"(places)
                         : [stride] "r"(out_stride), [from] "w"(rows.from), [bias] "r"(bias),
                           [by] "w"(rows.by), [offset] "w"(rows.offset), [up] "w"(rows.up)
                         : "q0", "q1", "q2", "q3", ODT_PREDICATE, "memory");
        inside = vorrq_u32(inside, vshlq_r_u32(places, q));
    }
    vstrwq_u32(bits, inside);
}

#undef ODT_SCALED
#undef ODT_CODES
#undef ODT_CODES_MASKED
#undef ODT_CODES_STORED

/* Inside is where the shift does not saturate, as in ODT_CODES_MASKED. */
ODT_INLINE uint32_t odt_requantize_row_masked(int8_t **out, const int32_t **acc, int32_t bias,
                                              int32_t multiplier, int32_t shift, int32_t offset,
                                              int32_t count)
{
    static const uint32_t first[4] = {1, 2, 4, 8};
    uint32x4_t places = vldrwq_u32(first);
    uint32_t inside = 0;
    __asm__ volatile(ODT_PREDICATE_KEPT "dlstp.32 lr, %[count]\n"
                     "1:\n"
                     "vldrw.u32 q0, [%[acc]], #16\n"
                     "vadd.i32 q0, q0, %[bias]\n"
                     "vqdmlash.s32 q0, %q[by], %[offset]\n"
                     "vorr.i32 q0, #1\n"
                     "vshl.s32 q1, q0, %q[up]\n"
                     "vqshl.s32 q0, q0, %q[up]\n"
                     "vpt.i32 eq, q0, q1\n"
                     "vaddvat.u32 %[inside], %q[places]\n"
                     "vshl.i32 %q[places], %q[places], #4\n"
                     "vshr.s32 q0, q0, #24\n"
                     "vstrb.32 q0, [%[out]], #4\n"
                     "letp lr, 1b\n" ODT_PREDICATE_BACK
                     : [out] "+l"(*out), [acc] "+r"(*acc), [places] "+w"(places),
                       [inside] "+Te"(inside)
                     : [bias] "r"(bias), [by] "w"(vdupq_n_s32(multiplier)),
                       [offset] "r"((uint32_t)(2 * offset) << shift),
                       [up] "w"(vdupq_n_s32(22 - shift)), [count] "r"(count)
                     : "q0", "q1", ODT_PREDICATE, "lr", "memory");
    *out -= -count & 3; /* the lanes of the last vector that were beyond the end */
    *acc -= -count & 3;
    return inside;
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
