/*
 * odt_dot.h for Helium: VMLADAVA takes eight elements of a row and eight weights.
 *
 * Columns lie row after row. The loops are in assembly because compilers do not make loops that
 * predicate their own tail yet: LETP leaves out what is beyond the end, loads too.
 */
#ifndef ODT_DOT_MVE_H
#define ODT_DOT_MVE_H

#include <arm_mve.h>

ODT_INLINE int32_t odt_column(int32_t p, int32_t k, int32_t rows, int32_t depth)
{
    (void)rows;
    return p * depth + k;
}

ODT_INLINE void odt_pack(int16_t *columns, const int8_t *x, int32_t stride, int32_t zero_point,
                         int32_t rows, int32_t depth)
{
    /* 32-bit lanes, because four offsets of large planes do not fit into 16. */
    const uint32x4_t offsets = vmulq_n_u32(vidupq_n_u32(0, 1), (uint32_t)stride);
    for (int32_t p = 0; p < rows; ++p, ++x) {
        const int8_t *from = x;
        for (int32_t k = 0; k < depth; k += 4, from += 4 * stride, columns += 4) {
            const mve_pred16_t left = vctp32q((uint32_t)(depth - k));
            const int32x4_t codes = vldrbq_gather_offset_z_s32(from, offsets, left);
            vstrhq_p_s32(columns, vsubq_n_s32(codes, zero_point), left);
        }
        columns -= -depth & 3; /* the lanes of the last vector that were beyond the end */
    }
}

ODT_INLINE void odt_pack_rows(int16_t *columns, const int8_t *x, int32_t stride,
                              int32_t zero_point, int32_t rows, int32_t depth)
{
    for (int32_t p = 0; p < rows; ++p, x += stride, columns += depth) {
        for (int32_t k = 0; k < depth; k += 8) {
            const mve_pred16_t left = vctp16q((uint32_t)(depth - k));
            const int16x8_t codes = vldrbq_z_s16(x + k, left);
            vstrhq_p_s16(columns + k, vsubq_n_s16(codes, (int16_t)zero_point), left);
        }
    }
}

/* acc[j * rows_a + i] += sum over k < count of a[i * a_stride + k] * b[j * b_stride + k], with b
 * of type `number`, of which `load` reads eight into 16-bit lanes and moves on by `bytes`.
 *
 * In tiles of 2 x 2; the last row of an odd number is taken twice and its copy thrown away. */
#define ODT_DOT_TILES(name, number, load, bytes)                                                 \
    static inline void name(int32_t *acc, const int16_t *a, int32_t a_stride, int32_t rows_a,    \
                            const number *b, int32_t b_stride, int32_t rows_b, int32_t count)    \
    {                                                                                            \
        if (count <= 0) return;                                                                  \
        for (int32_t j = 0; j < rows_b; j += 2) {                                                \
            const int two_b = j + 1 < rows_b;                                                    \
            for (int32_t i = 0; i < rows_a; i += 2) {                                            \
                const int two_a = i + 1 < rows_a;                                                \
                const int16_t *a0 = a + i * a_stride, *a1 = two_a ? a0 + a_stride : a0;          \
                const number *b0 = b + j * b_stride, *b1 = two_b ? b0 + b_stride : b0;           \
                int32_t *out = acc + j * rows_a + i;                                             \
                int32_t s00 = out[0], s01 = 0, s10 = 0, s11 = 0;                                 \
                if (two_a) s01 = out[1];                                                         \
                if (two_b) s10 = out[rows_a];                                                    \
                if (two_a && two_b) s11 = out[rows_a + 1];                                       \
                __asm__ volatile("dlstp.16 lr, %[count]\n"                                       \
                                 "1:\n"                                                          \
                                 "vldrh.u16 q0, [%[a0]], #16\n" load " q2, [%[b0]], #" #bytes    \
                                 "\nvmladava.s16 %[s00], q0, q2\n"                               \
                                 "vldrh.u16 q1, [%[a1]], #16\n"                                  \
                                 "vmladava.s16 %[s01], q1, q2\n" load " q3, [%[b1]], #" #bytes   \
                                 "\nvmladava.s16 %[s10], q0, q3\n"                               \
                                 "vmladava.s16 %[s11], q1, q3\n"                                 \
                                 "letp lr, 1b\n"                                                 \
                                 : [a0] "+r"(a0), [a1] "+r"(a1), [b0] "+l"(b0), [b1] "+l"(b1),   \
                                   [s00] "+Te"(s00), [s01] "+Te"(s01), [s10] "+Te"(s10),         \
                                   [s11] "+Te"(s11)                                              \
                                 : [count] "r"(count)                                            \
                                 : "q0", "q1", "q2", "q3", "lr", "memory");                      \
                out[0] = s00;                                                                    \
                if (two_a) out[1] = s01;                                                         \
                if (two_b) out[rows_a] = s10;                                                    \
                if (two_a && two_b) out[rows_a + 1] = s11;                                       \
            }                                                                                    \
        }                                                                                        \
    }

ODT_DOT_TILES(odt_dot_tiles8, int8_t, "vldrb.s16", 8)
ODT_DOT_TILES(odt_dot_tiles16, int16_t, "vldrh.u16", 16)
#undef ODT_DOT_TILES

ODT_INLINE void odt_dot(int32_t *acc, const int16_t *columns, const int8_t *w, int32_t stride,
                        int32_t rows, int32_t depth, int32_t begin, int32_t end, int32_t outputs)
{
    odt_dot_tiles8(acc, columns + begin, depth, rows, w, stride, outputs, end - begin);
}

ODT_INLINE void odt_dot_columns(int32_t *acc, const int16_t *a, const int16_t *b, int32_t rows_a,
                                int32_t rows_b, int32_t depth)
{
    odt_dot_tiles16(acc, a, depth, rows_a, b, depth, rows_b, depth);
}

#endif
