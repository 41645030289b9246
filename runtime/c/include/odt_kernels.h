/*
 * odt_kernels: the small operations that generated kernels are made of.
 *
 * The same bits on every target, at every optimisation level; odt_math.h says under which
 * compiler options. No function has undefined behaviour for any argument within the range
 * that its comment gives.
 */
#ifndef ODT_KERNELS_H
#define ODT_KERNELS_H

#include <stdint.h>

#include "odt_math.h"

#ifdef __cplusplus
extern "C" {
#endif

/// Extrema ///

/* The larger and the smaller of two integers. */
static inline int32_t odt_maxi(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

static inline int32_t odt_mini(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

/* The larger and the smaller of two numbers; b if either is NaN or both are zeros. */
static inline float odt_maxf(float a, float b)
{
    return a > b ? a : b;
}

static inline float odt_minf(float a, float b)
{
    return a < b ? a : b;
}

/* x clamped to the range of int8. An instruction where the core has one: compilers see it in
 * minimum and maximum too, but not inside a loop. */
static inline int32_t odt_clamp8(int32_t x)
{
#ifdef __ARM_FEATURE_SAT
    return (int32_t)__builtin_arm_ssat(x, 8);
#else
    return odt_maxi(odt_mini(x, 127), -128);
#endif
}

/* `sum / count` rounded half to even, for a count above 0; |sum| + count within int32. */
static inline int32_t odt_divide_even(int32_t sum, int32_t count)
{
    const int32_t whole = sum / count, rest = sum % count; /* towards 0; rest has the sum's sign */
    const int32_t twice = 2 * (rest < 0 ? -rest : rest);
    const int32_t away = twice > count || (twice == count && whole % 2 != 0);
    return rest < 0 ? whole - away : whole + away;
}

/* The same half away from zero, as LiteRT's average pool. */
static inline int32_t odt_divide_away(int32_t sum, int32_t count)
{
    return (sum < 0 ? sum - count / 2 : sum + count / 2) / count;
}

/* Whether x lies in the range of int8, 0 or 1. */
static inline int odt_is_int8(int32_t x)
{
    return odt_clamp8(x) == x;
}

/// Packed booleans ///

/* Element `index` >= 0 of a boolean tensor, 0 or 1: bit index % 8 of byte index / 8. */
static inline int odt_bit_read(const uint8_t *bits, int32_t index)
{
    const uint32_t i = (uint32_t)index;
    return bits[i >> 3] >> (i & 7u) & 1;
}

/* Sets element `index` >= 0 to whether `value` is not 0; the other seven of its byte stay. */
static inline void odt_bit_write(uint8_t *bits, int32_t index, int value)
{
    const uint32_t i = (uint32_t)index;
    const uint32_t others = bits[i >> 3] & ~(1u << (i & 7u));
    bits[i >> 3] = (uint8_t)(others | (uint32_t)(value != 0) << (i & 7u));
}

/* Sets `count` elements from `index` on, the first one to the lowest bit of `values`, whose
 * bits from `count` on are 0. `count` is 2, 4, 8, 16 or 32 and divides `index`. */
static inline void odt_bits_write(uint8_t *bits, int32_t index, int32_t count, uint32_t values)
{
    const uint32_t i = (uint32_t)index;
    uint8_t *byte = bits + (i >> 3);
    if (count < 8) {
        const uint32_t others = *byte & ~(((1u << count) - 1u) << (i & 7u));
        *byte = (uint8_t)(others | values << (i & 7u));
    } else {
        for (int32_t k = 0; k < count; k += 8) byte[k >> 3] = (uint8_t)(values >> k);
    }
}

/// Floats of 16 and 8 bits ///

/* The upper half of x, rounded to nearest, ties to even. The NaNs that arithmetic makes stay NaN;
 * others may become an infinity or 0. */
static inline uint16_t odt_bfloat16_of(float x)
{
    const uint32_t bits = odt_bits_of(x);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

static inline float odt_float_of_bfloat16(uint16_t bits)
{
    return odt_float_of((uint32_t)bits << 16);
}

/* 1 sign, 5 exponent (biased by 28), 2 fraction: x rounded to nearest, ties to even. What would
 * round to less than 2^-27 becomes 0; what would round to more than 14, 14; an infinity and a NaN
 * have a code of their own, 1, which is a NaN. */
static inline uint8_t odt_float8_of(float x)
{
    const uint32_t bits = odt_bits_of(x);
    const uint32_t magnitude = bits & ~ODT_SIGN;
    const int32_t code = (int32_t)((magnitude + 0xfffffu + (magnitude >> 21 & 1u)) >> 21) - 396;
    const int32_t kept = code < 4 ? 0 : code > 127 ? 127 : code;
    return (uint8_t)(bits >> 24 & 0x80u) | (uint8_t)(magnitude >= 0x7f800000u ? 1 : kept);
}

static inline float odt_float_of_float8(uint8_t bits)
{
    const uint32_t code = bits & 0x7fu;
    const uint32_t magnitude = code > 1u ? (code + 396u) << 21 : code ? 0x7fc00000u : 0u;
    return odt_float_of((uint32_t)(bits & 0x80u) << 24 | magnitude);
}

/// Update ///

/* A random number, uniform over all uint32 and a function of its arguments alone, so no order
 * of execution changes it: Weyl's sequence of golden-ratio steps from `seed`, number `index`
 * of it mixed until every bit depends on all. Streams of seeds less than 2^15 apart share no
 * member among their first 2^16. Constants of the mixing: lowbias32 by C. Wellons. */
static inline uint32_t odt_random(uint32_t seed, uint32_t index)
{
    uint32_t x = seed + index * 0x9e3779b9u;
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= x >> 15;
    x *= 0x846ca68bu;
    return x ^ x >> 16;
}

/* The integer that x * 2^32 is cut to, 0 <= x < 1. */
static inline uint32_t odt_binary_places(float x)
{
#if defined(__GNUC__) && defined(__ARM_FP) && (__ARM_FP & 4) && __ARM_ARCH >= 7 && \
    defined(__thumb2__)
    uint32_t fraction; /* fixed point, which C cannot say */
    __asm__("vcvt.u32.f32 %1, %1, #32\n vmov %0, %1" : "=r"(fraction), "+t"(x));
    return fraction;
#else
    return (uint32_t)(x * 4294967296.0f);
#endif
}

/* One of the two integers around x, with the probabilities that make its mean x: for x = 2.25
 * it is 3 for a quarter of the random numbers. The mean is exact to 2^-32.
 *
 * x           clamped to +-2^30; an infinity or a NaN counts as 0
 * random      uniform over all uint32
 * not_finite  becomes 1 where x is an infinity or a NaN */
static inline int32_t odt_round_randomly(float x, uint32_t random, uint32_t *not_finite)
{
    const int32_t negative = -(int32_t)(odt_bits_of(x) >> 31); /* all bits or none */
    const uint32_t magnitude = odt_bits_of(x) & ~ODT_SIGN;
    float rest = odt_float_of(magnitude);
    int32_t whole;
    if (magnitude < 0x3f800000u) { /* mostly: steps are smaller than the distance of two codes */
        whole = random < odt_binary_places(rest);
        return (whole ^ negative) - negative;
    }
    if (!(rest < 1073741824.0f)) {
        const int bad = magnitude >= 0x7f800000u;
        if (bad) *not_finite = 1;
        rest = bad ? 0.0f : 1073741824.0f;
    }
    whole = (int32_t)rest;
    rest -= (float)whole; /* exact */
    whole += random < odt_binary_places(rest);
    return (whole ^ negative) - negative;
}

/* Store a weight after a step of gradient descent; one that is an infinity or a NaN leaves it.
 *
 * not_finite  becomes 1 then */
static inline void odt_update_float(float *weight, float updated, uint32_t *not_finite)
{
    if ((odt_bits_of(updated) & ~ODT_SIGN) >= 0x7f800000u) {
        *not_finite = 1;
    } else {
        *weight = updated;
    }
}

/* The code of a weight after a step of gradient descent: code - step, stochastically rounded
 * and saturated to [-limit - 1, limit].
 *
 * code        any; of the weight before
 * step        in units of the weight's scale, any: clamped to +-2^30; not finite, it counts as 0
 * limit       0 ... 2^30 - 1; 127 for int8
 * seed        the same for all elements of one tensor in one step
 * index       of the element in its tensor
 * not_finite  becomes 1 where the step is an infinity or a NaN */
static inline int32_t odt_update_code(int32_t code, float step, int32_t limit, uint32_t seed,
                                      uint32_t index, uint32_t *not_finite)
{
    const int32_t rounded = odt_round_randomly(step, odt_random(seed, index), not_finite);
#ifdef __ARM_FEATURE_DSP
    const int32_t updated = __builtin_arm_qsub(code, rounded); /* saturates */
    if (limit == 127) return odt_clamp8(updated);
    if (limit == 0x3fffffff) return (int32_t)__builtin_arm_ssat(updated, 31);
    return odt_mini(odt_maxi(updated, -limit - 1), limit);
#else
    /* Clamped before the subtraction, which then cannot overflow. */
    return odt_mini(odt_maxi(code, rounded - limit - 1), rounded + limit) - rounded;
#endif
}

#ifdef __cplusplus
}
#endif

#endif
