/*
 * odt_dot.h for Armv7E-M: SMLAD takes two elements of a row and two weights.
 *
 * Columns lie in blocks of 4 rows (the last has the 1 to 4 that are left), in a block in groups of
 * 4 k: the pairs (k, k + 2) of every row, then the pairs (k + 1, k + 3) of every row. These are
 * the pairs that SXTB16 makes of a word of weights, and one LDM loads a pair of each row. The last
 * depth % 4 of k follow, one after another, each with its rows side by side.
 *
 * The loops are written in assembly because they need 14 registers and compilers spill.
 */
#ifndef ODT_DOT_DSP_H
#define ODT_DOT_DSP_H

#define ODT_BLOCK 4 /* rows of a whole block */

ODT_INLINE int32_t odt_block_rows(int32_t first, int32_t rows)
{
    return rows - first < ODT_BLOCK ? rows - first : ODT_BLOCK;
}

ODT_INLINE int32_t odt_column(int32_t p, int32_t k, int32_t rows, int32_t depth)
{
    const int32_t first = p & ~(ODT_BLOCK - 1);
    const int32_t block = odt_block_rows(first, rows);
    const int32_t grouped = (k & ~3) * block + (k & 1) * 2 * block + 2 * (p - first) + (k >> 1 & 1);
    const int32_t single = k * block + (p - first);
    return first * depth + (k < (depth & ~3) ? grouped : single);
}

/* `groups` >= 1 groups of a block of 4 rows; `offset` is -zero_point in both halves. PKHBT and PKHTB
 * bring the bytes of two planes into one word, SXTAB16 makes pairs of it.
 *
 * r0 to, r1 x, r2 stride, r3 offset, r4-r11 words, r12 3 * stride, lr groups left. */
ODT_ASSEMBLY void odt_pack_4(int16_t *to __attribute__((unused)),
                             const int8_t *x __attribute__((unused)),
                             int32_t stride __attribute__((unused)),
                             uint32_t offset __attribute__((unused)),
                             int32_t groups __attribute__((unused)))
{
    __asm__("push {r4-r11, lr}\n"
            "ldr lr, [sp, #36]\n"
            "add r12, r2, r2, lsl #1\n"
            "0:\n"
            "ldr r4, [r1]\n"
            "ldr r8, [r1, r2]\n"
            "ldr r6, [r1, r2, lsl #1]\n"
            "ldr r10, [r1, r12]\n"
            "add r1, r1, r2, lsl #2\n"
            "pkhbt r5, r4, r6, lsl #16\n"
            "pkhtb r7, r6, r4, asr #16\n"
            "pkhbt r9, r8, r10, lsl #16\n"
            "pkhtb r11, r10, r8, asr #16\n"
            "sxtab16 r4, r3, r5\n sxtab16 r5, r3, r5, ror #8\n"
            "sxtab16 r6, r3, r7\n sxtab16 r7, r3, r7, ror #8\n"
            "sxtab16 r8, r3, r9\n sxtab16 r9, r3, r9, ror #8\n"
            "sxtab16 r10, r3, r11\n sxtab16 r11, r3, r11, ror #8\n"
            "stm r0!, {r4-r11}\n"
            "subs lr, lr, #1\n"
            "bne.n 0b\n"
            "pop {r4-r11, pc}\n");
}

ODT_INLINE void odt_pack(int16_t *columns, const int8_t *x, int32_t stride, int32_t zero_point,
                         int32_t rows, int32_t depth)
{
    const uint32_t offset = odt_both_halves(-zero_point);
    const int32_t grouped = depth & ~3;
    for (int32_t first = 0; first < rows; first += ODT_BLOCK) {
        const int32_t block = odt_block_rows(first, rows);
        odt_pair_t *to = (odt_pair_t *)(void *)(columns + first * depth);
        const int8_t *from = x + first;
        int32_t k = 0;
        if (block == 4) {
            if (grouped > 0) odt_pack_4(columns + first * depth, from, stride, offset, grouped / 4);
            k = grouped;
        } else if (block == 2) {
            for (; k < grouped; k += 4, from += 4 * stride) {
                for (int32_t odd = 0; odd < 2; ++odd, to += 2) {
                    uint16_t low, high;
                    memcpy(&low, from + odd * stride, sizeof low);
                    memcpy(&high, from + (odd + 2) * stride, sizeof high);
                    const uint32_t both = odt_lower_halves(low, high);
                    to[0] = odt_sxtab16(offset, both);
                    to[1] = odt_sxtab16_odd(offset, both);
                }
            }
        }
        for (; k < grouped; k += 4, from += 4 * stride) { /* 1 or 3 rows, which are rare */
            for (int32_t odd = 0; odd < 2; ++odd, to += block) {
                for (int32_t p = 0; p < block; ++p) {
                    to[p] = odt_lower_halves((uint32_t)(from[odd * stride + p] - zero_point),
                                             (uint32_t)(from[(odd + 2) * stride + p] - zero_point));
                }
            }
        }
        for (; k < depth; ++k) {
            for (int32_t p = first; p < first + block; ++p) {
                columns[odt_column(p, k, rows, depth)] = (int16_t)(x[k * stride + p] - zero_point);
            }
        }
    }
}

ODT_INLINE void odt_pack_rows(int16_t *columns, const int8_t *x, int32_t stride,
                              int32_t zero_point, int32_t rows, int32_t depth)
{
    const uint32_t offset = odt_both_halves(-zero_point);
    const int32_t grouped = depth & ~3;
    for (int32_t p = 0; p < rows; ++p) {
        const int32_t first = p & ~(ODT_BLOCK - 1);
        const int32_t block = odt_block_rows(first, rows);
        const int8_t *from = x + p * stride;
        odt_pair_t *to = (odt_pair_t *)(void *)(columns + first * depth) + (p - first);
        for (int32_t k = 0; k < grouped; k += 4, to += 2 * block) {
            const uint32_t word = odt_word(from + k);
            to[0] = odt_sxtab16(offset, word);
            to[block] = odt_sxtab16_odd(offset, word);
        }
        for (int32_t k = grouped; k < depth; ++k) {
            columns[odt_column(p, k, rows, depth)] = (int16_t)(from[k] - zero_point);
        }
    }
}

/// Whole groups ///

/* One row of acc after another: r0 acc, r1 columns, r2 weights, r3 rounds left, r4-r7 sums,
 * r8-r11 pairs of the rows, r12 and lr pairs of the weights. */
#define ODT_MAC1(pairs, w) "smlad r4, " pairs ", " w ", r4\n"
#define ODT_MAC2(p0, p1, w) ODT_MAC1(p0, w) "smlad r5, " p1 ", " w ", r5\n"
#define ODT_MAC3(p0, p1, p2, w) ODT_MAC2(p0, p1, w) "smlad r6, " p2 ", " w ", r6\n"
#define ODT_MAC4(p0, p1, p2, p3, w) ODT_MAC3(p0, p1, p2, w) "smlad r7, " p3 ", " w ", r7\n"

/* A group of 1 to 4 rows. All instructions of it have 4 bytes. */
#define ODT_GROUP1 "ldrd r8, r9, [r1], #8\n" ODT_MAC1("r8", "r12") ODT_MAC1("r9", "lr")
#define ODT_GROUP2                                              \
    "ldm.w r1!, {r8-r11}\n" ODT_MAC2("r8", "r9", "r12") ODT_MAC2("r10", "r11", "lr")
#define ODT_GROUP3                                              \
    "ldm.w r1!, {r8-r10}\n" ODT_MAC3("r8", "r9", "r10", "r12")  \
    "ldm.w r1!, {r8-r10}\n" ODT_MAC3("r8", "r9", "r10", "lr")
#define ODT_GROUP4                                                    \
    "ldm.w r1!, {r8-r11}\n" ODT_MAC4("r8", "r9", "r10", "r11", "r12") \
    "ldm.w r1!, {r8-r11}\n" ODT_MAC4("r8", "r9", "r10", "r11", "lr")

/* The weights of a group: four int8, or two pairs of columns of a block of `rows`. */
#define ODT_WEIGHTS8 "ldr.w lr, [r2], #4\n sxtb16 r12, lr\n sxtb16 lr, lr, ror #8\n"
#define ODT_WEIGHTS16(rows) "ldr.w lr, [r2, #4 * " #rows "]\n ldr.w r12, [r2], #8 * " #rows "\n"

/*
 * for (; w != w_end; acc += acc_step bytes, w += w_step bytes):
 *     acc[p] += sum over `groups` >= 1 groups; they move w on by their own bytes
 *
 * Eight groups make a round; the first round is entered where it has as many left as needed.
 */
#define ODT_DOT_FUNCTION(name, number, weights, group, group_bytes, sums)                         \
    ODT_ASSEMBLY void name(int32_t *acc __attribute__((unused)),                                  \
                           const int16_t *columns __attribute__((unused)),                        \
                           const number *w __attribute__((unused)),                               \
                           int32_t groups __attribute__((unused)),                                \
                           int32_t w_step __attribute__((unused)),                                \
                           uint32_t acc_step __attribute__((unused)),                             \
                           const number *w_end __attribute__((unused)))                           \
    {                                                                                             \
        __asm__("push {r4-r11, lr}\n"                                                             \
                "add r8, sp, #36\n"                                                               \
                "ldm r8, {r8-r10}\n" /* w_step, acc_step, w_end */                                \
                "subs r3, r3, #1\n"                                                               \
                "mvn r4, r3\n"                                                                    \
                "and r4, r4, #7\n"                                                                \
                "mov r5, #" #group_bytes "\n"                                                     \
                "adr r12, 1f\n"                                                                   \
                "mla r12, r4, r5, r12\n"                                                          \
                "orr r12, r12, #1\n"                                                              \
                "asrs r3, r3, #3\n"                                                               \
                "push {r1, r3, r8-r10, r12}\n"                                                    \
                "0: ldm.w r0, " sums "\n"                                                         \
                "bx r12\n"                                                                        \
                ".balign 4\n"                                                                     \
                "1:\n" weights group weights group weights group weights group weights group      \
                    weights group weights group weights group                                     \
                "subs r3, r3, #1\n"                                                               \
                "bpl.w 1b\n"                                                                      \
                "stm.w r0, " sums "\n"                                                            \
                "ldm.w sp, {r1, r3, r8-r10, r12}\n"                                               \
                "add r2, r2, r8\n"                                                                \
                "add r0, r0, r9\n"                                                                \
                "cmp r2, r10\n"                                                                   \
                "bne.w 0b\n"                                                                      \
                "add sp, sp, #24\n"                                                               \
                "pop {r4-r11, pc}\n");                                                            \
    }

#define ODT_DOT_FUNCTIONS(rows, group, bytes, sums)                                             \
    ODT_DOT_FUNCTION(odt_dot_##rows, int8_t, ODT_WEIGHTS8, group, 12 + bytes, sums)             \
    ODT_DOT_FUNCTION(odt_dot_##rows##_1, int16_t, ODT_WEIGHTS16(1), group, 8 + bytes, sums)     \
    ODT_DOT_FUNCTION(odt_dot_##rows##_2, int16_t, ODT_WEIGHTS16(2), group, 8 + bytes, sums)     \
    ODT_DOT_FUNCTION(odt_dot_##rows##_3, int16_t, ODT_WEIGHTS16(3), group, 8 + bytes, sums)     \
    ODT_DOT_FUNCTION(odt_dot_##rows##_4, int16_t, ODT_WEIGHTS16(4), group, 8 + bytes, sums)

ODT_DOT_FUNCTIONS(1, ODT_GROUP1, 12, "{r4}")
ODT_DOT_FUNCTIONS(2, ODT_GROUP2, 20, "{r4-r5}")
ODT_DOT_FUNCTIONS(3, ODT_GROUP3, 32, "{r4-r6}")
ODT_DOT_FUNCTIONS(4, ODT_GROUP4, 40, "{r4-r7}")

typedef void (*odt_dot_fn)(int32_t *, const int16_t *, const int8_t *, int32_t, int32_t, uint32_t,
                           const int8_t *);
typedef void (*odt_dot_columns_fn)(int32_t *, const int16_t *, const int16_t *, int32_t, int32_t,
                                   uint32_t, const int16_t *);

ODT_INLINE odt_dot_fn odt_dot_of(int32_t rows)
{
    return rows == 1 ? odt_dot_1 : rows == 2 ? odt_dot_2 : rows == 3 ? odt_dot_3 : odt_dot_4;
}

#define ODT_CHOOSE(rows)                                             \
    (rows_b == 1   ? odt_dot_##rows##_1                              \
     : rows_b == 2 ? odt_dot_##rows##_2                              \
     : rows_b == 3 ? odt_dot_##rows##_3                              \
                   : odt_dot_##rows##_4)

ODT_INLINE odt_dot_columns_fn odt_dot_columns_of(int32_t rows_a, int32_t rows_b)
{
    return rows_a == 1   ? ODT_CHOOSE(1)
           : rows_a == 2 ? ODT_CHOOSE(2)
           : rows_a == 3 ? ODT_CHOOSE(3)
                         : ODT_CHOOSE(4);
}

#undef ODT_CHOOSE

/* Half a group of 4 rows of a and 2 of the 4 of a block of b: sums r4-r7 and r8-r11. */
#define ODT_HALF_GROUP42                                                       \
    "ldrd r12, lr, [r2], #16\n"                                                \
    "ldrd r0, r3, [r1], #8\n"                                                  \
    "smlad r4, r0, r12, r4\n smlad r8, r0, lr, r8\n"                           \
    "smlad r5, r3, r12, r5\n smlad r9, r3, lr, r9\n"                           \
    "ldrd r0, r3, [r1], #8\n"                                                  \
    "smlad r6, r0, r12, r6\n smlad r10, r0, lr, r10\n"                         \
    "smlad r7, r3, r12, r7\n smlad r11, r3, lr, r11\n"

/*
 * for (; acc != acc_end; acc += 4, a += a_step bytes)
 *     acc[p] and acc[acc_step bytes + p] += sums over `groups` >= 1 groups; they move a on too
 *
 * for whole blocks of a and two neighbouring rows, from b on, of a whole block. Eight groups make a
 * round, as above. All registers are taken: what is not used in a group is on the stack, as acc,
 * rounds left, b, acc_step, a_step, acc_end, where to enter, rounds - 1.
 */
ODT_ASSEMBLY void odt_dot_pair(int32_t *acc __attribute__((unused)),
                               const int16_t *a __attribute__((unused)),
                               const int16_t *b __attribute__((unused)),
                               int32_t groups __attribute__((unused)),
                               int32_t acc_step __attribute__((unused)),
                               int32_t a_step __attribute__((unused)),
                               const int32_t *acc_end __attribute__((unused)))
{
    __asm__("push {r4-r11, lr}\n"
            "add r5, sp, #36\n"
            "ldm r5, {r5-r7}\n"
            "mov r4, r2\n"
            "subs r3, r3, #1\n"
            "mvn r8, r3\n"
            "and r8, r8, #7\n"
            "mov r10, #88\n"
            "adr r9, 1f\n"
            "mla r8, r8, r10, r9\n"
            "orr r8, r8, #1\n"
            "asr r9, r3, #3\n"
            "push {r4-r9}\n"
            "sub sp, sp, #8\n"
            "0:\n"
            "ldr r3, [sp, #28]\n"
            "ldrd r2, r12, [sp, #8]\n"
            "ldr lr, [sp, #24]\n"
            "strd r0, r3, [sp]\n"
            "add r3, r0, r12\n"
            "ldm r0, {r4-r7}\n"
            "ldm r3, {r8-r11}\n"
            "bx lr\n"
            ".balign 4\n"
            "1: .rept 16\n" ODT_HALF_GROUP42 ".endr\n"
            "ldr r0, [sp, #4]\n"
            "subs r0, r0, #1\n"
            "str r0, [sp, #4]\n"
            "bpl.w 1b\n"
            "ldr r0, [sp]\n"
            "ldrd r3, r12, [sp, #12]\n"
            "ldr lr, [sp, #20]\n"
            "add r3, r3, r0\n"
            "stm r0!, {r4-r7}\n"
            "stm r3, {r8-r11}\n"
            "add r1, r1, r12\n"
            "cmp r0, lr\n"
            "bne.w 0b\n"
            "add sp, sp, #32\n"
            "pop {r4-r11, pc}\n");
}

/// Whole matrices ///

/* The part of odt_dot() for k = begin ... end - 1, element by element. */
ODT_INLINE void odt_dot_single(int32_t *acc, const int16_t *columns, const int8_t *w,
                               int32_t stride, int32_t rows, int32_t depth, int32_t begin,
                               int32_t end, int32_t outputs)
{
    for (int32_t k = begin; k < end; ++k, ++w) {
        for (int32_t p = 0; p < rows; ++p) {
            const int32_t element = columns[odt_column(p, k, rows, depth)];
            for (int32_t o = 0; o < outputs; ++o) acc[o * rows + p] += element * w[o * stride];
        }
    }
}

ODT_INLINE void odt_dot(int32_t *acc, const int16_t *columns, const int8_t *w, int32_t stride,
                        int32_t rows, int32_t depth, int32_t begin, int32_t end, int32_t outputs)
{
    const int32_t up = (begin + 3) & ~3;
    const int32_t first = up < end ? up : end;
    const int32_t last = (end & ~3) > first ? end & ~3 : first;
    const int32_t groups = (last - first) / 4;
    odt_dot_single(acc, columns, w, stride, rows, depth, begin, first, outputs);
    if (groups > 0) {
        const int8_t *start = w + (first - begin);
        for (int32_t p = 0; p < rows; p += ODT_BLOCK) {
            const int32_t block = odt_block_rows(p, rows);
            odt_dot_of(block)(acc + p, columns + p * depth + first * block, start, groups,
                              stride - 4 * groups, (uint32_t)rows * sizeof *acc,
                              start + outputs * stride);
        }
    }
    odt_dot_single(acc, columns, w + (last - begin), stride, rows, depth, last, end, outputs);
}

ODT_INLINE void odt_dot_columns(int32_t *acc, const int16_t *a, const int16_t *b, int32_t rows_a,
                                int32_t rows_b, int32_t depth)
{
    const int32_t groups = depth / 4;
    if (groups > 0) {
        for (int32_t j = 0; j < rows_b; j += ODT_BLOCK) {
            const int32_t block_b = odt_block_rows(j, rows_b);
            const int16_t *start = b + j * depth;
            int32_t i = 0;
            if (block_b == 4 && rows_a >= 4) {
                const int32_t row = rows_a * (int32_t)sizeof *acc;
                int32_t *to = acc + j * rows_a;
                i = rows_a & ~3;
                odt_dot_pair(to, a, start, groups, row, 8 * (depth & 3), to + i);
                to += 2 * rows_a;
                odt_dot_pair(to, a, start + 4, groups, row, 8 * (depth & 3), to + i);
            }
            for (; i < rows_a; i += ODT_BLOCK) {
                const int32_t block_a = odt_block_rows(i, rows_a);
                const int32_t step = 4 - 8 * block_b * groups; /* bytes, to the pair of a row on */
                odt_dot_columns_of(block_a, block_b)(acc + j * rows_a + i, a + i * depth, start,
                                                     groups, step, (uint32_t)rows_a * sizeof *acc,
                                                     start + 2 * block_b);
            }
        }
    }
    for (int32_t k = 4 * groups; k < depth; ++k) {
        for (int32_t j = 0; j < rows_b; ++j) {
            const int32_t factor = b[odt_column(j, k, rows_b, depth)];
            for (int32_t i = 0; i < rows_a; ++i) {
                acc[j * rows_a + i] += a[odt_column(i, k, rows_a, depth)] * factor;
            }
        }
    }
}

#endif
