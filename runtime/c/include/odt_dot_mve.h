/*
 * odt_dot.h for Helium: VMLADAVA takes eight elements of a row and eight weights.
 *
 * Four rows of columns make a block: eight elements of the first row, eight of the second, third,
 * fourth, then the next eight of the first; at the end the depth % 8 elements that remain of each.
 * The last rows % 4 rows lie one after another. So one pointer reads a whole block, and 4 x 2 sums
 * fit into the even registers, the only ones that VMLADAVA adds to.
 *
 * The loops are in assembly because compilers neither keep eight sums in registers nor make loops
 * that predicate their own tail (LETP leaves out what is beyond the end, loads too).
 */
#ifndef ODT_DOT_MVE_H
#define ODT_DOT_MVE_H

#include <arm_mve.h>

/* Where element k of the first row of a block lies. */
ODT_INLINE int32_t odt_in_block(int32_t k, int32_t depth)
{
    const int32_t whole = depth & ~7;
    return k < whole ? 4 * (k & ~7) + (k & 7) : 4 * whole + k - whole;
}

/* From there to the next row. */
ODT_INLINE int32_t odt_block_pitch(int32_t k, int32_t depth)
{
    return k < (depth & ~7) ? 8 : depth & 7;
}

ODT_INLINE int32_t odt_column(int32_t p, int32_t k, int32_t rows, int32_t depth)
{
    if (p >= (rows & ~3)) return p * depth + k;
    return (p & ~3) * depth + odt_in_block(k, depth) + (p & 3) * odt_block_pitch(k, depth);
}

enum { ODT_GATHER_STRIDE = 65535 / 7 }; /* eight elements this far apart have 16-bit offsets */

/* to[k] = x[k * stride] - zero_point for k < count; stride <= ODT_GATHER_STRIDE. */
ODT_INLINE void odt_pack_row(int16_t *to, const int8_t *x, int32_t stride, int32_t zero_point,
                             int32_t count)
{
    const uint16x8_t offsets = vmulq_n_u16(vidupq_n_u16(0, 1), (uint16_t)stride);
    if (count <= 0) return;
    __asm__ volatile("dlstp.16 lr, %[count]\n"
                     "1:\n"
                     "vldrb.s16 q0, [%[x], %q[offsets]]\n"
                     "vsub.i16 q0, q0, %[zero_point]\n"
                     "vstrh.16 q0, [%[to]], #16\n"
                     "add %[x], %[x], %[step]\n"
                     "letp lr, 1b\n"
                     : [to] "+r"(to), [x] "+r"(x)
                     : [offsets] "w"(offsets), [zero_point] "r"(zero_point),
                       [step] "r"(8 * stride), [count] "r"(count)
                     : "q0", "lr", "memory");
}

#define ODT_PACK_EIGHT(x, to)                 \
    "vldrb.s16 q0, [%[" x "], %q[offsets]]\n" \
    "vsub.i16 q0, q0, %[zero_point]\n"        \
    "vstrh.16 q0, [%[to]" to "\n"             \
    "add %[" x "], %[" x "], %[step]\n"

/* The rows x, x + next, x + 2 * next, x + 3 * next as a block. */
ODT_INLINE void odt_pack_block(int16_t *to, const int8_t *x, int32_t next, int32_t stride,
                               int32_t zero_point, int32_t depth)
{
    const uint16x8_t offsets = vmulq_n_u16(vidupq_n_u16(0, 1), (uint16_t)stride);
    const int8_t *x0 = x, *x1 = x + next, *x2 = x + 2 * next, *x3 = x + 3 * next;
    const int32_t left = depth & 7;
    if (depth > 7) {
        __asm__ volatile("dls lr, %[vectors]\n"
                         "1:\n" ODT_PACK_EIGHT("x0", "], #64") ODT_PACK_EIGHT("x1", ", #-48]")
                             ODT_PACK_EIGHT("x2", ", #-32]") ODT_PACK_EIGHT("x3", ", #-16]")
                         "le lr, 1b\n"
                         : [to] "+r"(to), [x0] "+r"(x0), [x1] "+r"(x1), [x2] "+r"(x2),
                           [x3] "+r"(x3)
                         : [offsets] "w"(offsets), [zero_point] "r"(zero_point),
                           [step] "r"(8 * stride), [vectors] "r"(depth >> 3)
                         : "q0", "lr", "memory");
    }
    odt_pack_row(to, x0, stride, zero_point, left);
    odt_pack_row(to + left, x1, stride, zero_point, left);
    odt_pack_row(to + 2 * left, x2, stride, zero_point, left);
    odt_pack_row(to + 3 * left, x3, stride, zero_point, left);
}

/* columns(p, k) = x[p * next + k * stride] - zero_point */
ODT_INLINE void odt_pack_any(int16_t *columns, const int8_t *x, int32_t next, int32_t stride,
                             int32_t zero_point, int32_t rows, int32_t depth)
{
    int32_t p = 0;
    if (stride > ODT_GATHER_STRIDE) {
        for (; p < rows; ++p) {
            for (int32_t k = 0; k < depth; ++k) {
                columns[odt_column(p, k, rows, depth)] =
                    (int16_t)(x[p * next + k * stride] - zero_point);
            }
        }
    }
    for (; p < (rows & ~3); p += 4) {
        odt_pack_block(columns + p * depth, x + p * next, next, stride, zero_point, depth);
    }
    for (; p < rows; ++p) {
        odt_pack_row(columns + p * depth, x + p * next, stride, zero_point, depth);
    }
}

ODT_INLINE void odt_pack(int16_t *columns, const int8_t *x, int32_t stride, int32_t zero_point,
                         int32_t rows, int32_t depth)
{
    odt_pack_any(columns, x, 1, stride, zero_point, rows, depth);
}

ODT_INLINE void odt_pack_rows(int16_t *columns, const int8_t *x, int32_t stride,
                              int32_t zero_point, int32_t rows, int32_t depth)
{
    odt_pack_any(columns, x, stride, 1, zero_point, rows, depth);
}

/* acc[j * pitch + i] += sum over k < count of a[i * a_stride + k] * b[j * b_stride + k], with b of
 * type `number`, of which `load` reads eight into 16-bit lanes and moves on by `bytes`: what no
 * block takes. In tiles of 2 x 2; the last row of an odd number is taken twice. */
#define ODT_DOT_TILES(name, number, load, bytes)                                               \
    static inline void name(int32_t *acc, int32_t pitch, const int16_t *a, int32_t a_stride,   \
                            int32_t rows_a, const number *b, int32_t b_stride, int32_t rows_b, \
                            int32_t count)                                                     \
    {                                                                                          \
        if (count <= 0) return;                                                                \
        for (int32_t j = 0; j < rows_b; j += 2) {                                              \
            const int two_b = j + 1 < rows_b;                                                  \
            for (int32_t i = 0; i < rows_a; i += 2) {                                          \
                const int two_a = i + 1 < rows_a;                                              \
                const int16_t *a0 = a + i * a_stride, *a1 = two_a ? a0 + a_stride : a0;        \
                const number *b0 = b + j * b_stride, *b1 = two_b ? b0 + b_stride : b0;         \
                int32_t *out = acc + j * pitch + i;                                            \
                int32_t s00 = out[0], s01 = 0, s10 = 0, s11 = 0;                               \
                if (two_a) s01 = out[1];                                                       \
                if (two_b) s10 = out[pitch];                                                   \
                if (two_a && two_b) s11 = out[pitch + 1];                                      \
                __asm__ volatile("dlstp.16 lr, %[count]\n"                                     \
                                 "1:\n"                                                        \
                                 "vldrh.u16 q0, [%[a0]], #16\n" load " q2, [%[b0]], #" #bytes  \
                                 "\nvmladava.s16 %[s00], q0, q2\n"                             \
                                 "vldrh.u16 q1, [%[a1]], #16\n"                                \
                                 "vmladava.s16 %[s01], q1, q2\n" load " q3, [%[b1]], #" #bytes \
                                 "\nvmladava.s16 %[s10], q0, q3\n"                             \
                                 "vmladava.s16 %[s11], q1, q3\n"                               \
                                 "letp lr, 1b\n"                                               \
                                 : [a0] "+r"(a0), [a1] "+r"(a1), [b0] "+l"(b0), [b1] "+l"(b1), \
                                   [s00] "+Te"(s00), [s01] "+Te"(s01), [s10] "+Te"(s10),       \
                                   [s11] "+Te"(s11)                                            \
                                 : [count] "r"(count)                                          \
                                 : "q0", "q1", "q2", "q3", "lr", "memory");                    \
                out[0] = s00;                                                                  \
                if (two_a) out[1] = s01;                                                       \
                if (two_b) out[pitch] = s10;                                                   \
                if (two_a && two_b) out[pitch + 1] = s11;                                      \
            }                                                                                  \
        }                                                                                      \
    }

/* acc[j * pitch + i] += sum over k < count of a[i * a_step + k] * w[j * stride + k] for i < 4 and
 * j < outputs: the part of a block that is less than a vector. pitch and a_step are in bytes; count
 * is 1 ... 7. */
ODT_ASSEMBLY void odt_dot_part8(
    int32_t *acc __attribute__((unused)), int32_t pitch __attribute__((unused)),
    const int16_t *a __attribute__((unused)), int32_t a_step __attribute__((unused)),
    const int8_t *w __attribute__((unused)), int32_t stride __attribute__((unused)),
    int32_t outputs __attribute__((unused)), int32_t count __attribute__((unused)))
{
    __asm__("push {r4-r9, lr}\n"
            "vpush {d8-d9}\n"
            "ldrd r5, r8, [sp, #44]\n"
            "ldrd lr, r9, [sp, #52]\n"
            "mov r7, r0\n"
            "vctp.16 r9\n"
            "vpst\n"
            "vldrht.u16 q0, [r2]\n"
            "add r2, r2, r3\n"
            "vpst\n"
            "vldrht.u16 q1, [r2]\n"
            "add r2, r2, r3\n"
            "vpst\n"
            "vldrht.u16 q2, [r2]\n"
            "add r2, r2, r3\n"
            "vpst\n"
            "vldrht.u16 q3, [r2]\n"
            "dls lr, lr\n"
            "1:\n"
            "vpst\n"
            "vldrbt.s16 q4, [r5]\n"
            "ldm r7, {r0, r2, r4, r6}\n"
            "vmladava.s16 r0, q0, q4\n"
            "vmladava.s16 r2, q1, q4\n"
            "vmladava.s16 r4, q2, q4\n"
            "vmladava.s16 r6, q3, q4\n"
            "stm r7, {r0, r2, r4, r6}\n"
            "add r5, r5, r8\n"
            "add r7, r7, r1\n"
            "le lr, 1b\n"
            "vpop {d8-d9}\n"
            "pop {r4-r9, pc}\n");
}

ODT_DOT_TILES(odt_dot_tiles8, int8_t, "vldrb.s16", 8)
ODT_DOT_TILES(odt_dot_tiles16, int16_t, "vldrh.u16", 16)
#undef ODT_DOT_TILES

/* acc[i * step] += sum over eight times `vectors` >= 1 elements of row i of the block a and of b,
 * for i < 4. */
#define ODT_DOT_4X1(name, number, load, bytes)                                             \
    static inline void name(int32_t *acc, int32_t step, const int16_t *a, const number *b, \
                            int32_t vectors)                                               \
    {                                                                                      \
        int32_t s0 = acc[0], s1 = acc[step], s2 = acc[2 * step], s3 = acc[3 * step];       \
        __asm__ volatile("dls lr, %[vectors]\n"                                            \
                         "1:\n"                                                            \
                         "vldrh.u16 q0, [%[a]], #64\n" load " q3, [%[b]], #" #bytes        \
                         "\nvmladava.s16 %[s0], q0, q3\n"                                  \
                         "vldrh.u16 q1, [%[a], #-48]\n"                                    \
                         "vmladava.s16 %[s1], q1, q3\n"                                    \
                         "vldrh.u16 q2, [%[a], #-32]\n"                                    \
                         "vmladava.s16 %[s2], q2, q3\n"                                    \
                         "vldrh.u16 q0, [%[a], #-16]\n"                                    \
                         "vmladava.s16 %[s3], q0, q3\n"                                    \
                         "le lr, 1b\n"                                                     \
                         : [a] "+r"(a), [b] "+l"(b), [s0] "+Te"(s0), [s1] "+Te"(s1),       \
                           [s2] "+Te"(s2), [s3] "+Te"(s3)                                  \
                         : [vectors] "r"(vectors)                                          \
                         : "q0", "q1", "q2", "q3", "lr", "memory");                        \
        acc[0] = s0, acc[step] = s1, acc[2 * step] = s2, acc[3 * step] = s3;               \
    }

ODT_DOT_4X1(odt_dot_4x1_8, int8_t, "vldrb.s16", 8)
ODT_DOT_4X1(odt_dot_4x1_16, int16_t, "vldrh.u16", 16)
#undef ODT_DOT_4X1

/* Eight elements of 4 x 2 sums: r1 the block, r3 and r5 the b, in the even registers the sums. */
#define ODT_DOT_EIGHT(load_b)          \
    "vldrh.u16 q0, [r1], #64\n" load_b \
    "vmladava.s16 r0, q0, q2\n"        \
    "vldrh.u16 q1, [r1, #-48]\n"       \
    "vmladava.s16 r8, q0, q3\n"        \
    "vldrh.u16 q0, [r1, #-32]\n"       \
    "vmladava.s16 r2, q1, q2\n"        \
    "vmladava.s16 r10, q1, q3\n"       \
    "vldrh.u16 q1, [r1, #-16]\n"       \
    "vmladava.s16 r4, q0, q2\n"        \
    "vmladava.s16 r12, q0, q3\n"       \
    "vmladava.s16 r6, q1, q2\n"        \
    "vmladava.s16 lr, q1, q3\n"

/* acc[j * pitch + i] += sum over eight times `vectors` elements of row i < 4 of the block a and of
 * row j of b, for j = 0 ... outputs - 1, two at a time.
 *
 * last     vectors - 1 >= 0
 * stride   from a row of b to the next, in bytes
 * back     from the end of the second row read to the next pair, in bytes
 * acc_end  acc + outputs * pitch
 * pitch    in bytes
 *
 * r7 the sums of the pair, r11 those of its second row or, where these follow at once, acc_end; r9
 * is for all else. Vectors are taken in pairs; the loop starts in its middle if they are odd. */
#define ODT_DOT_4X2(name, number, start, load_sums, load_b, store_sums, next_b, at_end) \
    ODT_ASSEMBLY void name(                                                             \
        int32_t *acc __attribute__((unused)), const int16_t *a __attribute__((unused)), \
        int32_t last __attribute__((unused)), const number *b __attribute__((unused)),  \
        int32_t stride __attribute__((unused)), int32_t back __attribute__((unused)),   \
        const int32_t *acc_end __attribute__((unused)),                                 \
        int32_t pitch __attribute__((unused)))                                          \
    {                                                                                   \
        __asm__("push {r1, r2, r4-r11, lr}\n"                                           \
                "mov r7, r0\n" start                                                    \
                "ldr r9, [sp, #44]\n"                                                   \
                "add r5, r3, r9\n"                                                      \
                "0: " load_sums                                                         \
                "ldrd r1, r9, [sp]\n"                                                   \
                "lsrs r9, r9, #1\n"                                                     \
                "bcc 2f\n"                                                              \
                "1: " ODT_DOT_EIGHT(load_b)                                             \
                "2: " ODT_DOT_EIGHT(load_b)                                             \
                "subs r9, r9, #1\n"                                                     \
                "bpl 1b\n" store_sums next_b at_end                                     \
                "bne 0b\n"                                                              \
                "pop {r1, r2, r4-r11, pc}\n");                                          \
    }

/* Rows of int8; a block of int16. */
#define ODT_DOT_LOAD8 "vldrb.s16 q2, [r3], #8\n vldrb.s16 q3, [r5], #8\n"
#define ODT_DOT_LOAD16 "vldrh.u16 q3, [r3, #16]\n vldrh.u16 q2, [r3], #64\n"
#define ODT_DOT_NEXT8 "ldrd r9, r3, [sp, #44]\n add r3, r5, r3\n add r5, r3, r9\n"
#define ODT_DOT_NEXT16 "ldr r9, [sp, #48]\n add r3, r3, r9\n"
/* Sums of any pitch. */
#define ODT_DOT_START "ldr r9, [sp, #56]\n add r11, r0, r9\n"
#define ODT_DOT_SUMS "ldm r7, {r0, r2, r4, r6}\n ldm r11, {r8, r10, r12, lr}\n"
#define ODT_DOT_STORE                                          \
    "stm r7, {r0, r2, r4, r6}\n stm r11, {r8, r10, r12, lr}\n" \
    "ldr r9, [sp, #56]\n add r7, r7, r9, lsl #1\n add r11, r11, r9, lsl #1\n"
#define ODT_DOT_AT_END "ldr r9, [sp, #52]\n cmp r7, r9\n"
/* Sums without gaps: the pitch is that of four. */
#define ODT_DOT_START_ALL "ldr r11, [sp, #52]\n"
#define ODT_DOT_SUMS_ALL "ldm r7, {r0, r2, r4, r6, r8, r10, r12, lr}\n"
#define ODT_DOT_STORE_ALL "stm r7!, {r0, r2, r4, r6, r8, r10, r12, lr}\n"
#define ODT_DOT_AT_END_ALL "cmp r7, r11\n"

ODT_DOT_4X2(odt_dot_4x2_8, int8_t, ODT_DOT_START, ODT_DOT_SUMS, ODT_DOT_LOAD8, ODT_DOT_STORE,
            ODT_DOT_NEXT8, ODT_DOT_AT_END)
ODT_DOT_4X2(odt_dot_4x2_8_all, int8_t, ODT_DOT_START_ALL, ODT_DOT_SUMS_ALL, ODT_DOT_LOAD8,
            ODT_DOT_STORE_ALL, ODT_DOT_NEXT8, ODT_DOT_AT_END_ALL)
ODT_DOT_4X2(odt_dot_4x2_16, int16_t, ODT_DOT_START, ODT_DOT_SUMS, ODT_DOT_LOAD16, ODT_DOT_STORE,
            ODT_DOT_NEXT16, ODT_DOT_AT_END)
ODT_DOT_4X2(odt_dot_4x2_16_all, int16_t, ODT_DOT_START_ALL, ODT_DOT_SUMS_ALL, ODT_DOT_LOAD16,
            ODT_DOT_STORE_ALL, ODT_DOT_NEXT16, ODT_DOT_AT_END_ALL)
#undef ODT_DOT_4X2

/* odt_dot() of a block, for eight times `vectors` of the depth. */
ODT_INLINE void odt_dot_block8(int32_t *acc, int32_t pitch, const int16_t *a, const int8_t *w,
                               int32_t stride, int32_t outputs, int32_t vectors)
{
    const int32_t pairs = outputs & ~1, back = stride - 8 * vectors;
    if (vectors < 1) return;
    if (pairs > 0 && pitch == 4) {
        odt_dot_4x2_8_all(acc, a, vectors - 1, w, stride, back, acc + pairs * pitch, 4 * pitch);
    } else if (pairs > 0) {
        odt_dot_4x2_8(acc, a, vectors - 1, w, stride, back, acc + pairs * pitch, 4 * pitch);
    }
    if (outputs & 1) odt_dot_4x1_8(acc + pairs * pitch, 1, a, w + pairs * stride, vectors);
}

ODT_INLINE void odt_dot(int32_t *acc, const int16_t *columns, const int8_t *w, int32_t stride,
                        int32_t rows, int32_t depth, int32_t begin, int32_t end, int32_t outputs)
{
    /* begin ... from: up to a multiple of 8; from ... to: whole vectors; to ... end: the rest */
    const int32_t next = (begin + 7) & ~7, from = next < end ? next : end;
    const int32_t to = (end & ~7) > from ? end & ~7 : from;
    int32_t p = 0;
    for (; p < (rows & ~3); p += 4, columns += 4 * depth, acc += 4) {
        if (from - begin > 0) {
            odt_dot_part8(acc, 4 * rows, columns + odt_in_block(begin, depth),
                          2 * odt_block_pitch(begin, depth), w, stride, outputs, from - begin);
        }
        odt_dot_block8(acc, rows, columns + odt_in_block(from, depth), w + (from - begin), stride,
                       outputs, (to - from) >> 3);
        if (end - to > 0) {
            odt_dot_part8(acc, 4 * rows, columns + odt_in_block(to, depth),
                          2 * odt_block_pitch(to, depth), w + (to - begin), stride, outputs,
                          end - to);
        }
    }
    odt_dot_tiles8(acc, rows, columns + begin, depth, rows - p, w, stride, outputs, end - begin);
}

/* odt_dot_columns() of two blocks. */
ODT_INLINE void odt_dot_blocks16(int32_t *acc, int32_t pitch, const int16_t *a, const int16_t *b,
                                 int32_t depth)
{
    const int32_t vectors = depth >> 3, whole = 4 * (depth & ~7), left = depth & 7;
    const int32_t back = 32 - 64 * vectors;
    if (vectors > 0 && pitch == 4) {
        odt_dot_4x2_16_all(acc, a, vectors - 1, b, 0, back, acc + 4 * pitch, 4 * pitch);
    } else if (vectors > 0) {
        odt_dot_4x2_16(acc, a, vectors - 1, b, 0, back, acc + 4 * pitch, 4 * pitch);
    }
    odt_dot_tiles16(acc, pitch, a + whole, left, 4, b + whole, left, 4, left);
}

ODT_INLINE void odt_dot_columns(int32_t *acc, const int16_t *a, const int16_t *b, int32_t rows_a,
                                int32_t rows_b, int32_t depth)
{
    const int32_t blocks_a = rows_a & ~3, blocks_b = rows_b & ~3;
    const int32_t vectors = depth >> 3, whole = depth & ~7, left = depth & 7;
    for (int32_t i = 0; i < blocks_a; i += 4) {
        const int16_t *block = a + i * depth;
        for (int32_t j = 0; j < blocks_b; j += 4) {
            odt_dot_blocks16(acc + j * rows_a + i, rows_a, block, b + j * depth, depth);
        }
        for (int32_t j = blocks_b; j < rows_b; ++j) {
            int32_t *sums = acc + j * rows_a + i;
            const int16_t *row = b + j * depth;
            if (vectors > 0) odt_dot_4x1_16(sums, 1, block, row, vectors);
            odt_dot_tiles16(sums, rows_a, block + 4 * whole, left, 4, row + whole, depth, 1, left);
        }
    }
    for (int32_t i = blocks_a; i < rows_a; ++i) {
        const int16_t *row = a + i * depth;
        for (int32_t j = 0; j < blocks_b; j += 4) {
            int32_t *sums = acc + j * rows_a + i;
            const int16_t *block = b + j * depth;
            if (vectors > 0) odt_dot_4x1_16(sums, rows_a, block, row, vectors);
            odt_dot_tiles16(sums, rows_a, row + whole, depth, 1, block + 4 * whole, left, 4, left);
        }
    }
    odt_dot_tiles16(acc + blocks_b * rows_a + blocks_a, rows_a, a + blocks_a * depth, depth,
                    rows_a - blocks_a, b + blocks_b * depth, depth, rows_b - blocks_b, depth);
}

#endif
