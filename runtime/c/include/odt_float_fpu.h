/*
 * odt_float.h for the FPU of Cortex-M: blocks whose sums fill the 32 registers.
 *
 * The loops are written in assembly: compilers load one register at a time, and spill.
 */
#ifndef ODT_FLOAT_FPU_H
#define ODT_FLOAT_FPU_H

/// Products of matrices ///

/* A block of 1 to 6 rows of a and 1 to 4 rows of b: s0-s3 hold an element of each row of b, s4 and
 * up of each row of a (of six rows, the first four and then the last two), the rest the sums. */
#define ODT_F32_MLA1(b, s0) "vmla.f32 " s0 ", s4, " b "\n"
#define ODT_F32_MLA2(b, s0, s1) ODT_F32_MLA1(b, s0) "vmla.f32 " s1 ", s5, " b "\n"
#define ODT_F32_MLA3(b, s0, s1, s2) ODT_F32_MLA2(b, s0, s1) "vmla.f32 " s2 ", s6, " b "\n"
#define ODT_F32_MLA4(b, s0, s1, s2, s3) ODT_F32_MLA3(b, s0, s1, s2) "vmla.f32 " s3 ", s7, " b "\n"
#define ODT_F32_MLA5(b, s0, s1, s2, s3, s4) \
    ODT_F32_MLA4(b, s0, s1, s2, s3) "vmla.f32 " s4 ", s8, " b "\n"

/* The next elements of a. */
#define ODT_F32_NEXT(registers) "vldm r9!, " registers "\n"

/* One k for a block of so many rows of a and of b. */
#define ODT_F32_PRODUCTS11 ODT_F32_NEXT("{s4}") ODT_F32_MLA1("s0", "s8")
#define ODT_F32_PRODUCTS12 ODT_F32_PRODUCTS11 ODT_F32_MLA1("s1", "s9")
#define ODT_F32_PRODUCTS13 ODT_F32_PRODUCTS12 ODT_F32_MLA1("s2", "s10")
#define ODT_F32_PRODUCTS14 ODT_F32_PRODUCTS13 ODT_F32_MLA1("s3", "s11")
#define ODT_F32_PRODUCTS21 ODT_F32_NEXT("{s4-s5}") ODT_F32_MLA2("s0", "s8", "s9")
#define ODT_F32_PRODUCTS22 ODT_F32_PRODUCTS21 ODT_F32_MLA2("s1", "s10", "s11")
#define ODT_F32_PRODUCTS23 ODT_F32_PRODUCTS22 ODT_F32_MLA2("s2", "s12", "s13")
#define ODT_F32_PRODUCTS24 ODT_F32_PRODUCTS23 ODT_F32_MLA2("s3", "s14", "s15")
#define ODT_F32_PRODUCTS31 ODT_F32_NEXT("{s4-s6}") ODT_F32_MLA3("s0", "s8", "s9", "s10")
#define ODT_F32_PRODUCTS32 ODT_F32_PRODUCTS31 ODT_F32_MLA3("s1", "s11", "s12", "s13")
#define ODT_F32_PRODUCTS33 ODT_F32_PRODUCTS32 ODT_F32_MLA3("s2", "s14", "s15", "s16")
#define ODT_F32_PRODUCTS34 ODT_F32_PRODUCTS33 ODT_F32_MLA3("s3", "s17", "s18", "s19")
#define ODT_F32_PRODUCTS41 ODT_F32_NEXT("{s4-s7}") ODT_F32_MLA4("s0", "s8", "s9", "s10", "s11")
#define ODT_F32_PRODUCTS42 ODT_F32_PRODUCTS41 ODT_F32_MLA4("s1", "s12", "s13", "s14", "s15")
#define ODT_F32_PRODUCTS43 ODT_F32_PRODUCTS42 ODT_F32_MLA4("s2", "s16", "s17", "s18", "s19")
#define ODT_F32_PRODUCTS44 ODT_F32_PRODUCTS43 ODT_F32_MLA4("s3", "s20", "s21", "s22", "s23")
#define ODT_F32_PRODUCTS51 \
    ODT_F32_NEXT("{s4-s8}") ODT_F32_MLA5("s0", "s9", "s10", "s11", "s12", "s13")
#define ODT_F32_PRODUCTS52 ODT_F32_PRODUCTS51 ODT_F32_MLA5("s1", "s14", "s15", "s16", "s17", "s18")
#define ODT_F32_PRODUCTS53 ODT_F32_PRODUCTS52 ODT_F32_MLA5("s2", "s19", "s20", "s21", "s22", "s23")
#define ODT_F32_PRODUCTS54 ODT_F32_PRODUCTS53 ODT_F32_MLA5("s3", "s24", "s25", "s26", "s27", "s28")
#define ODT_F32_FOUR1 ODT_F32_NEXT("{s4-s7}") ODT_F32_MLA4("s0", "s8", "s9", "s10", "s11")
#define ODT_F32_FOUR2 ODT_F32_FOUR1 ODT_F32_MLA4("s1", "s14", "s15", "s16", "s17")
#define ODT_F32_FOUR3 ODT_F32_FOUR2 ODT_F32_MLA4("s2", "s20", "s21", "s22", "s23")
#define ODT_F32_FOUR4 ODT_F32_FOUR3 ODT_F32_MLA4("s3", "s26", "s27", "s28", "s29")
#define ODT_F32_TWO1 ODT_F32_NEXT("{s4-s5}") ODT_F32_MLA2("s0", "s12", "s13")
#define ODT_F32_TWO2 ODT_F32_TWO1 ODT_F32_MLA2("s1", "s18", "s19")
#define ODT_F32_TWO3 ODT_F32_TWO2 ODT_F32_MLA2("s2", "s24", "s25")
#define ODT_F32_TWO4 ODT_F32_TWO3 ODT_F32_MLA2("s3", "s30", "s31")
#define ODT_F32_PRODUCTS61 ODT_F32_FOUR1 ODT_F32_TWO1
#define ODT_F32_PRODUCTS62 ODT_F32_FOUR2 ODT_F32_TWO2
#define ODT_F32_PRODUCTS63 ODT_F32_FOUR3 ODT_F32_TWO3
#define ODT_F32_PRODUCTS64 ODT_F32_FOUR4 ODT_F32_TWO4

/* VLDM or VSTM of the sums of 1 to 4 rows of b. */
#define ODT_F32_SUMS1(move, s0) "mov lr, r0\n" move " lr, " s0 "\n"
#define ODT_F32_SUMS2(move, s0, s1) ODT_F32_SUMS1(move, s0) "add lr, lr, r4\n" move " lr, " s1 "\n"
#define ODT_F32_SUMS3(move, s0, s1, s2) \
    ODT_F32_SUMS2(move, s0, s1) "add lr, lr, r4\n" move " lr, " s2 "\n"
#define ODT_F32_SUMS4(move, s0, s1, s2, s3) \
    ODT_F32_SUMS3(move, s0, s1, s2) "add lr, lr, r4\n" move " lr, " s3 "\n"

/* One k: `instructions` of 4 bytes. */
#define ODT_F32_STEP(b, products) "vldm r10!, " b "\n" products "add.w r9, r9, r5\n"

/*
 * for (; blocks >= 1; --blocks, acc += rows, a += rows)
 *     the sums over depth >= 1 steps of k, with acc_step bytes from a row of acc to the next and
 *     a_step bytes from the end of a row of the block to its next row
 *
 * Eight steps make a round; the first round is entered where it has as many left as needed.
 * r0 acc, r1 a, r2 b, r3 rounds left, r4-r6 acc_step, a_step and blocks left, r7 where to enter,
 * r8 rounds - 1, r9 and r10 next elements of a and b.
 */
#define ODT_F32_DOT_FUNCTION(name, rows, instructions, b_registers, products, load, store)        \
    ODT_ASSEMBLY void name(                                                                       \
        float *acc __attribute__((unused)), const float *a __attribute__((unused)),               \
        const float *b __attribute__((unused)), int32_t depth __attribute__((unused)),            \
        int32_t acc_step __attribute__((unused)), int32_t a_step __attribute__((unused)),         \
        int32_t blocks __attribute__((unused)))                                                   \
    {                                                                                             \
        __asm__("push {r4-r10, lr}\n"                                                             \
                "add r6, sp, #32\n"                                                               \
                "ldm r6, {r4-r6}\n"                                                               \
                "vpush {s16-s31}\n"                                                               \
                "subs r3, r3, #1\n"                                                               \
                "mvn r7, r3\n"                                                                    \
                "and r7, r7, #7\n"                                                                \
                "mov r8, #4 * " #instructions "\n"                                                \
                "adr r9, 1f\n"                                                                    \
                "mla r7, r7, r8, r9\n"                                                            \
                "orr r7, r7, #1\n"                                                                \
                "asr r8, r3, #3\n"                                                                \
                "0:\n" load                                                                       \
                "mov r9, r1\n"                                                                    \
                "mov r10, r2\n"                                                                   \
                "mov r3, r8\n"                                                                    \
                "bx r7\n"                                                                         \
                ".balign 4\n"                                                                     \
                "1: .rept 8\n" ODT_F32_STEP(b_registers, products) ".endr\n"                      \
                "subs r3, r3, #1\n"                                                               \
                "bpl.w 1b\n"                                                                      \
                store                                                                             \
                "add r0, r0, #4 * " #rows "\n"                                                    \
                "add r1, r1, #4 * " #rows "\n"                                                    \
                "subs r6, r6, #1\n"                                                               \
                "bne.w 0b\n"                                                                      \
                "vpop {s16-s31}\n"                                                                \
                "pop {r4-r10, pc}\n");                                                            \
    }

/* For `rows` rows of a, loaded by `loads` instructions; x0 ... x3 are the sums of each row of b. */
#define ODT_F32_DOT_FUNCTIONS(rows, loads, x0, x1, x2, x3)                                        \
    ODT_F32_DOT_FUNCTION(odt_dot_f32_##rows##_1, rows, (2 + loads + rows), "{s0}",                \
                         ODT_F32_PRODUCTS##rows##1, ODT_F32_SUMS1("vldm", x0),                    \
                         ODT_F32_SUMS1("vstm", x0))                                               \
    ODT_F32_DOT_FUNCTION(odt_dot_f32_##rows##_2, rows, (2 + loads + 2 * rows), "{s0-s1}",         \
                         ODT_F32_PRODUCTS##rows##2, ODT_F32_SUMS2("vldm", x0, x1),                \
                         ODT_F32_SUMS2("vstm", x0, x1))                                           \
    ODT_F32_DOT_FUNCTION(odt_dot_f32_##rows##_3, rows, (2 + loads + 3 * rows), "{s0-s2}",         \
                         ODT_F32_PRODUCTS##rows##3, ODT_F32_SUMS3("vldm", x0, x1, x2),            \
                         ODT_F32_SUMS3("vstm", x0, x1, x2))                                       \
    ODT_F32_DOT_FUNCTION(odt_dot_f32_##rows##_4, rows, (2 + loads + 4 * rows), "{s0-s3}",         \
                         ODT_F32_PRODUCTS##rows##4, ODT_F32_SUMS4("vldm", x0, x1, x2, x3),        \
                         ODT_F32_SUMS4("vstm", x0, x1, x2, x3))

ODT_F32_DOT_FUNCTIONS(1, 1, "{s8}", "{s9}", "{s10}", "{s11}")
ODT_F32_DOT_FUNCTIONS(2, 1, "{s8-s9}", "{s10-s11}", "{s12-s13}", "{s14-s15}")
ODT_F32_DOT_FUNCTIONS(3, 1, "{s8-s10}", "{s11-s13}", "{s14-s16}", "{s17-s19}")
ODT_F32_DOT_FUNCTIONS(4, 1, "{s8-s11}", "{s12-s15}", "{s16-s19}", "{s20-s23}")
ODT_F32_DOT_FUNCTIONS(5, 1, "{s9-s13}", "{s14-s18}", "{s19-s23}", "{s24-s28}")
ODT_F32_DOT_FUNCTIONS(6, 2, "{s8-s13}", "{s14-s19}", "{s20-s25}", "{s26-s31}")

typedef void (*odt_dot_f32_fn)(float *, const float *, const float *, int32_t, int32_t, int32_t,
                               int32_t);

#define ODT_F32_CHOOSE(rows)                \
    (rows_b == 1   ? odt_dot_f32_##rows##_1 \
     : rows_b == 2 ? odt_dot_f32_##rows##_2 \
     : rows_b == 3 ? odt_dot_f32_##rows##_3 \
                   : odt_dot_f32_##rows##_4)

ODT_INLINE odt_dot_f32_fn odt_dot_f32_of(int32_t rows_a, int32_t rows_b)
{
    return rows_a == 1   ? ODT_F32_CHOOSE(1)
           : rows_a == 2 ? ODT_F32_CHOOSE(2)
           : rows_a == 3 ? ODT_F32_CHOOSE(3)
           : rows_a == 4 ? ODT_F32_CHOOSE(4)
           : rows_a == 5 ? ODT_F32_CHOOSE(5)
                         : ODT_F32_CHOOSE(6);
}

#undef ODT_F32_CHOOSE

/* `blocks` blocks of `rows` rows of a, from row `first` on. */
ODT_INLINE void odt_dot_blocks_f32(float *acc, const float *a, int32_t stride, const float *b,
                                   int32_t rows_a, int32_t rows_b, int32_t depth, int32_t first,
                                   int32_t rows, int32_t blocks)
{
    if (blocks > 0) {
        odt_dot_f32_of(rows, rows_b)(acc + first, a + first, b, depth,
                                     rows_a * (int32_t)sizeof *acc,
                                     (stride - rows) * (int32_t)sizeof *a, blocks);
    }
}

ODT_INLINE void odt_dot_f32(float *acc, const float *a, int32_t stride, const float *b,
                            int32_t rows_a, int32_t rows_b, int32_t depth)
{
    /* Blocks of 5 rows take the fewest instructions; 4 and 6 lest few rows are left over. */
    const int32_t over = rows_a % 5;
    const int32_t sixes = over == 1 && rows_a >= 6 ? 1 : over == 2 && rows_a >= 12 ? 2 : 0;
    const int32_t fours = over == 4 ? 1 : over == 3 && rows_a >= 8 ? 2 : 0;
    const int32_t fives = (rows_a - 6 * sixes - 4 * fours) / 5;
    const int32_t rest = rows_a - 6 * sixes - 5 * fives - 4 * fours; /* 0 ... 3 */
    const int32_t after_fives = 5 * fives, after_sixes = after_fives + 6 * sixes;
    if (depth == 0) return;
    odt_dot_blocks_f32(acc, a, stride, b, rows_a, rows_b, depth, 0, 5, fives);
    odt_dot_blocks_f32(acc, a, stride, b, rows_a, rows_b, depth, after_fives, 6, sixes);
    odt_dot_blocks_f32(acc, a, stride, b, rows_a, rows_b, depth, after_sixes, 4, fours);
    odt_dot_blocks_f32(acc, a, stride, b, rows_a, rows_b, depth, rows_a - rest, rest, rest > 0);
}

/// Weights ///

/* Four weights in the word `w` as numbers in s0 ... s3. */
#define ODT_F32_NUMBERS(w, s0, s1, s2, s3)                                                        \
    "sxtb r12, " w "\n"                                                                           \
    "sxtb lr, " w ", ror #8\n"                                                                    \
    "vmov " s0 ", " s1 ", r12, lr\n"                                                              \
    "sxtb r12, " w ", ror #16\n"                                                                  \
    "asrs " w ", " w ", #24\n"                                                                    \
    "vmov " s2 ", " s3 ", r12, " w "\n"                                                           \
    "vcvt.f32.s32 " s0 ", " s0 "\n vcvt.f32.s32 " s1 ", " s1 "\n"                                 \
    "vcvt.f32.s32 " s2 ", " s2 "\n vcvt.f32.s32 " s3 ", " s3 "\n"

#define ODT_F32_SCALED(scale, s0, s1, s2, s3)                                   \
    "vmul.f32 " s0 ", " s0 ", " scale "\n vmul.f32 " s1 ", " s1 ", " scale "\n" \
    "vmul.f32 " s2 ", " s2 ", " scale "\n vmul.f32 " s3 ", " s3 ", " scale "\n"

/* odt_scale_columns_f32() for rows_b = 4 and depth = 4 * rounds, rounds >= 1. */
ODT_ASSEMBLY void odt_scale_columns_4(float *b __attribute__((unused)),
                                      const int8_t *w __attribute__((unused)),
                                      const float *scale __attribute__((unused)),
                                      int32_t rounds __attribute__((unused)),
                                      int32_t stride __attribute__((unused)))
{
    __asm__("push {r4-r9, lr}\n"
            "ldr r8, [sp, #28]\n"
            "vpush {s16-s19}\n"
            "add r9, r8, r8, lsl #1\n"
            "0:\n"
            "ldr r4, [r1]\n"
            "ldr r5, [r1, r8]\n"
            "ldr r6, [r1, r8, lsl #1]\n"
            "ldr r7, [r1, r9]\n"
            "add r1, r1, r8, lsl #2\n"
            "vldm r2!, {s16-s19}\n"
            ODT_F32_NUMBERS("r4", "s0", "s1", "s2", "s3")
            ODT_F32_NUMBERS("r5", "s4", "s5", "s6", "s7")
            ODT_F32_NUMBERS("r6", "s8", "s9", "s10", "s11")
            ODT_F32_NUMBERS("r7", "s12", "s13", "s14", "s15")
            ODT_F32_SCALED("s16", "s0", "s1", "s2", "s3")
            ODT_F32_SCALED("s17", "s4", "s5", "s6", "s7")
            ODT_F32_SCALED("s18", "s8", "s9", "s10", "s11")
            ODT_F32_SCALED("s19", "s12", "s13", "s14", "s15")
            "vstm r0!, {s0-s15}\n"
            "subs r3, r3, #1\n"
            "bne.w 0b\n"
            "vpop {s16-s19}\n"
            "pop {r4-r9, pc}\n");
}

#undef ODT_F32_NUMBERS
#undef ODT_F32_SCALED

ODT_INLINE void odt_scale_columns_f32(float *b, const int8_t *w, int32_t stride,
                                      const float *scale, int32_t rows_b, int32_t depth)
{
    const int32_t rounds = rows_b == 4 ? depth / 4 : 0;
    const int32_t done = 4 * rounds;
    if (rounds > 0) odt_scale_columns_4(b, w, scale, rounds, stride);
    odt_scale_each_f32(b + done * rows_b, w + done * stride, stride, scale + done, rows_b,
                       depth - done);
}

/// Windows ///

/* A block of 1 to 8 neighbours in a row, for one tap `t`: their sums are in s7-s14; x0 ... x7 hold
 * the elements under the tap. */
#define ODT_F32_TAP1(t, x0, x1, x2, x3, x4, x5, x6, x7) "vmla.f32 s7, " x0 ", " t "\n"
#define ODT_F32_TAP2(t, x0, x1, x2, x3, x4, x5, x6, x7) \
    ODT_F32_TAP1(t, x0, x1, x2, x3, x4, x5, x6, x7) "vmla.f32 s8, " x1 ", " t "\n"
#define ODT_F32_TAP3(t, x0, x1, x2, x3, x4, x5, x6, x7) \
    ODT_F32_TAP2(t, x0, x1, x2, x3, x4, x5, x6, x7) "vmla.f32 s9, " x2 ", " t "\n"
#define ODT_F32_TAP4(t, x0, x1, x2, x3, x4, x5, x6, x7) \
    ODT_F32_TAP3(t, x0, x1, x2, x3, x4, x5, x6, x7) "vmla.f32 s10, " x3 ", " t "\n"
#define ODT_F32_TAP5(t, x0, x1, x2, x3, x4, x5, x6, x7) \
    ODT_F32_TAP4(t, x0, x1, x2, x3, x4, x5, x6, x7) "vmla.f32 s11, " x4 ", " t "\n"
#define ODT_F32_TAP6(t, x0, x1, x2, x3, x4, x5, x6, x7) \
    ODT_F32_TAP5(t, x0, x1, x2, x3, x4, x5, x6, x7) "vmla.f32 s12, " x5 ", " t "\n"
#define ODT_F32_TAP7(t, x0, x1, x2, x3, x4, x5, x6, x7) \
    ODT_F32_TAP6(t, x0, x1, x2, x3, x4, x5, x6, x7) "vmla.f32 s13, " x6 ", " t "\n"
#define ODT_F32_TAP8(t, x0, x1, x2, x3, x4, x5, x6, x7) \
    ODT_F32_TAP7(t, x0, x1, x2, x3, x4, x5, x6, x7) "vmla.f32 s14, " x7 ", " t "\n"

/* All taps in a row of so many, in s0-s6; the elements of the plane start at s15. */
#define ODT_F32_TAPS3(tap)                                            \
    tap("s0", "s15", "s16", "s17", "s18", "s19", "s20", "s21", "s22") \
    tap("s1", "s16", "s17", "s18", "s19", "s20", "s21", "s22", "s23") \
    tap("s2", "s17", "s18", "s19", "s20", "s21", "s22", "s23", "s24")
#define ODT_F32_TAPS5(tap)                                            \
    ODT_F32_TAPS3(tap)                                                \
    tap("s3", "s18", "s19", "s20", "s21", "s22", "s23", "s24", "s25") \
    tap("s4", "s19", "s20", "s21", "s22", "s23", "s24", "s25", "s26")
#define ODT_F32_TAPS7(tap)                                            \
    ODT_F32_TAPS5(tap)                                                \
    tap("s5", "s20", "s21", "s22", "s23", "s24", "s25", "s26", "s27") \
    tap("s6", "s21", "s22", "s23", "s24", "s25", "s26", "s27", "s28")

/* As many rows of the filter as it has columns. */
#define ODT_F32_ROWS(count, taps, elements, products)                   \
    ".rept " #count "\n vldm r10!, " taps "\n vldm r9, " elements "\n" \
    "add r9, r9, r3\n" products ".endr\n"

/* r0 acc, r1 plane, r2 taps, r3 bytes from a row of the plane to the next, r4 and r5 bytes from the
 * end of the blocks in a row to the next row in acc and in the plane, r6 blocks in a row, r7 rows
 * left, r8 blocks left, r9 and r10 next elements of the plane and taps. */
#define ODT_F32_WINDOW_FUNCTION(name, block, sums, rows_of_taps)                                  \
    ODT_ASSEMBLY void name(                                                                       \
        float *acc __attribute__((unused)), const float *plane __attribute__((unused)),           \
        const float *w __attribute__((unused)), int32_t plane_step __attribute__((unused)),       \
        int32_t acc_skip __attribute__((unused)), int32_t plane_skip __attribute__((unused)),     \
        int32_t blocks __attribute__((unused)), int32_t rows __attribute__((unused)))             \
    {                                                                                             \
        __asm__("push {r4-r10, lr}\n"                                                             \
                "add r7, sp, #32\n"                                                               \
                "ldm r7, {r4-r7}\n"                                                               \
                "vpush {s16-s28}\n"                                                               \
                "0: mov r8, r6\n"                                                                 \
                "1: vldm r0, " sums "\n"                                                          \
                "mov r9, r1\n"                                                                    \
                "mov r10, r2\n"                                                                   \
                rows_of_taps                                                                      \
                "vstm r0!, " sums "\n"                                                            \
                "add r1, r1, #4 * " #block "\n"                                                   \
                "subs r8, r8, #1\n"                                                               \
                "bne.w 1b\n"                                                                      \
                "add r0, r0, r4\n"                                                                \
                "add r1, r1, r5\n"                                                                \
                "subs r7, r7, #1\n"                                                               \
                "bne.w 0b\n"                                                                      \
                "vpop {s16-s28}\n"                                                                \
                "pop {r4-r10, pc}\n");                                                            \
    }

#define ODT_F32_WINDOW_FUNCTIONS(block, sums, elements3, elements5, elements7)                    \
    ODT_F32_WINDOW_FUNCTION(odt_window_f32_##block##_3, block, sums,                              \
                            ODT_F32_ROWS(3, "{s0-s2}", elements3,                                 \
                                         ODT_F32_TAPS3(ODT_F32_TAP##block)))                      \
    ODT_F32_WINDOW_FUNCTION(odt_window_f32_##block##_5, block, sums,                              \
                            ODT_F32_ROWS(5, "{s0-s4}", elements5,                                 \
                                         ODT_F32_TAPS5(ODT_F32_TAP##block)))                      \
    ODT_F32_WINDOW_FUNCTION(odt_window_f32_##block##_7, block, sums,                              \
                            ODT_F32_ROWS(7, "{s0-s6}", elements7,                                 \
                                         ODT_F32_TAPS7(ODT_F32_TAP##block)))

ODT_F32_WINDOW_FUNCTIONS(1, "{s7}", "{s15-s17}", "{s15-s19}", "{s15-s21}")
ODT_F32_WINDOW_FUNCTIONS(2, "{s7-s8}", "{s15-s18}", "{s15-s20}", "{s15-s22}")
ODT_F32_WINDOW_FUNCTIONS(3, "{s7-s9}", "{s15-s19}", "{s15-s21}", "{s15-s23}")
ODT_F32_WINDOW_FUNCTIONS(4, "{s7-s10}", "{s15-s20}", "{s15-s22}", "{s15-s24}")
ODT_F32_WINDOW_FUNCTIONS(5, "{s7-s11}", "{s15-s21}", "{s15-s23}", "{s15-s25}")
ODT_F32_WINDOW_FUNCTIONS(6, "{s7-s12}", "{s15-s22}", "{s15-s24}", "{s15-s26}")
ODT_F32_WINDOW_FUNCTIONS(7, "{s7-s13}", "{s15-s23}", "{s15-s25}", "{s15-s27}")
ODT_F32_WINDOW_FUNCTIONS(8, "{s7-s14}", "{s15-s24}", "{s15-s26}", "{s15-s28}")

typedef void (*odt_window_f32_fn)(float *, const float *, const float *, int32_t, int32_t, int32_t,
                                  int32_t, int32_t);

#define ODT_F32_CHOOSE(block)               \
    (kw == 3   ? odt_window_f32_##block##_3 \
     : kw == 5 ? odt_window_f32_##block##_5 \
               : odt_window_f32_##block##_7)

ODT_INLINE odt_window_f32_fn odt_window_f32_of(int32_t block, int32_t kw)
{
    return block == 1   ? ODT_F32_CHOOSE(1)
           : block == 2 ? ODT_F32_CHOOSE(2)
           : block == 3 ? ODT_F32_CHOOSE(3)
           : block == 4 ? ODT_F32_CHOOSE(4)
           : block == 5 ? ODT_F32_CHOOSE(5)
           : block == 6 ? ODT_F32_CHOOSE(6)
           : block == 7 ? ODT_F32_CHOOSE(7)
                        : ODT_F32_CHOOSE(8);
}

#undef ODT_F32_CHOOSE

/* odt_window_f32() of stride 1 and kh = kw for `blocks` blocks of a row, from column `first` on. */
ODT_INLINE void odt_window_blocks_f32(float *acc, const float *plane, int32_t pitch,
                                      const float *taps, int32_t kw, int32_t rows, int32_t count,
                                      int32_t first, int32_t block, int32_t blocks)
{
    const int32_t size = (int32_t)sizeof *acc;
    if (blocks > 0) {
        odt_window_f32_of(block, kw)(acc + first, plane + first, taps, pitch * size,
                                     (count - block * blocks) * size,
                                     (pitch - block * blocks) * size, blocks, rows);
    }
}

ODT_INLINE void odt_window_f32(float *acc, const float *plane, int32_t pitch, const float *taps,
                               int32_t kh, int32_t kw, int32_t stride, int32_t rows, int32_t count)
{
    /* As few blocks as can be, of two sizes that differ by 1. */
    const int32_t blocks = (count + 7) / 8;
    const int32_t larger = (count + blocks - 1) / blocks;
    const int32_t smaller_blocks = blocks * larger - count;
    const int32_t larger_blocks = blocks - smaller_blocks;
    if (stride == 1 && kh == kw && (kw == 3 || kw == 5 || kw == 7)) {
        odt_window_blocks_f32(acc, plane, pitch, taps, kw, rows, count, 0, larger, larger_blocks);
        odt_window_blocks_f32(acc, plane, pitch, taps, kw, rows, count, larger * larger_blocks,
                              larger - 1, smaller_blocks);
    } else {
        odt_window_each_f32(acc, plane, pitch, taps, kh, kw, stride, rows, count);
    }
}

#endif
