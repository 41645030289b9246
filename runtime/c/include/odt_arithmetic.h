/*
 * odt_arithmetic: floats as IEEE 754 has them, whatever the compiler was told.
 *
 * What results depend on, and many toolchains do by default, is turned off here for all that comes
 * behind this line: a product and a sum in one rounding (fp-contract), and what gcc gets wrong. What
 * a file cannot turn off - another order of sums, reciprocals in place of divisions, numbers taken
 * to be finite or without a sign of zero, another rounding mode - odt_is_exact() finds where the
 * program runs.
 */
#ifndef ODT_ARITHMETIC_H
#define ODT_ARITHMETIC_H

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#ifdef __AVX__ /* gcc 12 makes vectors of conditional terms of sums, and loses some of them */
#pragma GCC optimize("no-tree-loop-if-convert")
#endif
#endif

#include <stdint.h>
#include <string.h>

#ifdef __FAST_MATH__
#error "odt_arithmetic.h: -ffast-math changes results; compile without it"
#endif
#if defined(__FLT_EVAL_METHOD__) && (__FLT_EVAL_METHOD__ == 1 || __FLT_EVAL_METHOD__ == 2)
#error "odt_arithmetic.h: float must be computed as float; on 32-bit x86 use -msse2 -mfpmath=sse"
#endif

/* 1 if sums, products, quotients and comparisons of this compilation are those of IEEE 754, rounded
 * to nearest one by one, else 0. The operands are volatile, so that it is the program's arithmetic
 * that is tried and not the compiler's. */
static inline int odt_is_exact(void)
{
    volatile float large = 16777216.0f, one = 1.0f, three = 3.0f, factor = 1.000244140625f;
    volatile float divisor = 61.0f;
    volatile uint32_t minus_zero = 0x80000000u, not_a_number = 0x7fc00000u;
    const float a = large, b = one, c = three, d = factor;
    uint32_t bits;
    float x;

    /* 2^24 + 1 is a tie and rounds down, 2^24 + 3 is one and rounds up. */
    if ((a + b) - a != 0.0f || (a + c) - a != 4.0f) return 0;
    /* (1 + 2^-12)^2 has 2^-24 beyond its 24 bits. */
    if (d * d - (d + (d - b)) != 0.0f) return 0;
    /* 61 * (1 / 61) is less than 1. */
    if (divisor / 61.0f != 1.0f) return 0;
    bits = not_a_number;
    memcpy(&x, &bits, sizeof x);
    if (x == x) return 0;
    bits = minus_zero;
    memcpy(&x, &bits, sizeof x);
    x += 0.0f;
    memcpy(&bits, &x, sizeof bits);
    return bits == 0;
}

#endif
