/*
 * odt_math: float32 functions that return the same bits on every target.
 *
 * Only +, -, *, /, comparisons, conversions between float and int32, and integer
 * operations, in a fixed order: no libm, no double, no fused multiply-add, no
 * floating-point environment. IEEE 754 fixes each of these to the last bit, so x86-64,
 * Arm with an FPU and Arm without one agree at every optimisation level.
 *
 * odt_arithmetic.h sees to it that compilers keep to that; leave the rounding mode as it is after
 * reset: to nearest, ties to even.
 *
 * Functions compute no result below FLT_MIN (1.2e-38), it is 0, and take a subnormal
 * argument apart by integer operations, so an FPU may flush subnormal numbers. What is
 * not a number gives the one NaN ODT_NAN; only odt_fabsf, odt_floorf and odt_nearbyintf
 * hand a NaN on as it is.
 *
 * Errors are given in ulp: the distance between float32 numbers at the exact result.
 */
#ifndef ODT_MATH_H
#define ODT_MATH_H

#include <stdint.h>

#include "odt_arithmetic.h"

#ifdef __cplusplus
extern "C" {
#endif

/// The bits of a float ///

typedef union odt_float {
    float value;
    uint32_t bits; /* 1 sign, 8 exponent (biased by 127), 23 fraction */
} odt_float_t;

#define ODT_SIGN 0x80000000u

/* The float32 with these bits. */
static inline float odt_float_of(uint32_t bits)
{
    odt_float_t number;
    number.bits = bits;
    return number.value;
}

/* The bits of x. */
static inline uint32_t odt_bits_of(float x)
{
    odt_float_t number;
    number.value = x;
    return number.bits;
}

#define ODT_INFINITY odt_float_of(0x7f800000u)
#define ODT_NAN odt_float_of(0x7fc00000u)

/* magnitude >= 0 with the sign of x. */
static inline float odt_with_sign_of(float magnitude, float x)
{
    return odt_float_of(odt_bits_of(magnitude) | (odt_bits_of(x) & ODT_SIGN));
}

/* 2^exponent, exponent in [-126, 127]. */
static inline float odt_power_of_two(int32_t exponent)
{
    return odt_float_of((uint32_t)(exponent + 127) << 23);
}

/* Whether x is neither zero, negative, infinite nor NaN, given its bits. */
static inline int odt_is_positive(uint32_t bits)
{
    return bits - 1u < 0x7f7fffffu;
}

/* Rewrites the bits of a positive number as those of a number y that is not subnormal, and
 * returns them: the old number is y * 2^exponent. */
static inline uint32_t odt_normalize(uint32_t bits, int32_t *exponent)
{
    const int subnormal = bits < 0x00800000u; /* fraction * 2^-149 */
    *exponent = subnormal ? -149 : 0;
    return subnormal ? odt_bits_of((float)(int32_t)bits) : bits;
}

/// Rounding ///

/* |x|. */
static inline float odt_fabsf(float x)
{
    return odt_float_of(odt_bits_of(x) & ~ODT_SIGN);
}

/* The largest integer <= x, of any magnitude; infinities and zeros as they are. */
static inline float odt_floorf(float x)
{
    const uint32_t bits = odt_bits_of(x);
    float whole;
    if (!(odt_fabsf(x) < 8388608.0f) || bits << 1 == 0) return x; /* 2^23 and more is whole */
    whole = (float)(int32_t)x;
    return bits & ODT_SIGN && odt_bits_of(whole) != bits ? whole - 1.0f : whole;
}

/* The integer nearest to x, of any magnitude, ties to even. It keeps the sign of x, so
 * -0.25 gives -0; infinities as they are. */
static inline float odt_nearbyintf(float x)
{
    const float magnitude = odt_fabsf(x);
    if (!(magnitude < 8388608.0f)) return x;
    /* The sum lies in [2^23, 2^24], where the distance between floats is 1. */
    return odt_with_sign_of((magnitude + 8388608.0f) - 8388608.0f, x);
}

/// Functions ///

/* e^x, error <= 1 ulp. Infinity from 88.72284 on, 0 below -87.33654. */
static inline float odt_expf(float x)
{
    float count, r, p;
    int32_t n;
    if (x > 88.7228317f) return ODT_INFINITY;
    if (x < -87.3365402f) return 0.0f;
    if (x != x) return ODT_NAN;
    /* x = n ln 2 + r, |r| <= ln 2 / 2. Adding 1.5 * 2^23 rounds to an integer, which then
     * stands in the low bits of the sum. ln 2 is split so that n times its first part is
     * exact. */
    count = x * 1.44269504f + 12582912.0f;
    n = (int32_t)(odt_bits_of(count) - 0x4b400000u);
    count -= 12582912.0f;
    r = (x - count * 0.693359375f) + count * 2.12194440e-4f;
    /* e^r = 1 + r + r^2 p(r), p fitted for the least relative error. */
    p = 0.0013814546f;
    p = p * r + 0.0083687352f;
    p = p * r + 0.041668389f;
    p = p * r + 0.166665211f;
    p = p * r + 0.49999994f;
    p = 1.0f + (r + r * r * p);
    /* In two factors, for 2^128 is no float. Neither product is rounded. */
    return p * odt_power_of_two(n / 2) * odt_power_of_two(n - n / 2);
}

/* The natural logarithm, error <= 1 ulp. -infinity for 0 (of both signs), NaN below. */
static inline float odt_logf(float x)
{
    uint32_t bits = odt_bits_of(x);
    int32_t exponent;
    float count, f, p;
    if (!odt_is_positive(bits)) {
        if (bits << 1 == 0) return -ODT_INFINITY;
        return bits == 0x7f800000u ? x : ODT_NAN;
    }
    /* x = 2^exponent (1 + f), 1 + f from sqrt(1/2), whose bits are 0x3f3504f3, to sqrt(2). */
    bits = odt_normalize(bits, &exponent) + (0x3f800000u - 0x3f3504f3u);
    exponent += (int32_t)(bits >> 23) - 127;
    f = odt_float_of((bits & 0x007fffffu) + 0x3f3504f3u) - 1.0f;
    /* log(1 + f) = f - f^2 / 2 + f^3 p(f), p fitted for the least relative error. */
    p = -0.0763449743f;
    p = p * f + 0.12761578f;
    p = p * f - 0.131601825f;
    p = p * f + 0.142017573f;
    p = p * f - 0.166233569f;
    p = p * f + 0.200012267f;
    p = p * f - 0.250008196f;
    p = p * f + 0.333333313f;
    /* ln 2 in two parts, as in odt_expf; the small terms first. */
    count = (float)exponent;
    p = f * f * (f * p - 0.5f) - count * 2.12194440e-4f;
    return (f + p) + count * 0.693359375f;
}

/* The hyperbolic tangent, error <= 2 ulp; exactly +-1 from |x| = 9.02 on. */
static inline float odt_tanhf(float x)
{
    const float magnitude = odt_fabsf(x);
    float square, p;
    if (x != x) return ODT_NAN;
    if (magnitude < 0.000244140625f) return x; /* x^3 / 3 is below half an ulp */
    if (magnitude >= 0.625f) {
        const float e = odt_expf(2.0f * magnitude);
        return odt_with_sign_of(1.0f - 2.0f / (e + 1.0f), x);
    }
    /* x + x^3 p(x^2), p fitted for the least relative error. */
    square = x * x;
    p = -0.00570498733f;
    p = p * square + 0.020639088f;
    p = p * square - 0.0537397154f;
    p = p * square + 0.133314416f;
    p = p * square - 0.333332807f;
    return x + x * (square * p);
}

/* The error function, error <= 1.5 ulp; exactly +-1 from |x| = 3.92 on, 0 below FLT_MIN. */
static inline float odt_erff(float x)
{
    const float magnitude = odt_fabsf(x);
    float square, p;
    if (x != x) return ODT_NAN;
    if (magnitude < 1.17549435e-38f) return odt_with_sign_of(0.0f, x);
    if (magnitude < 0.00006103515625f) return x * 1.12837917f; /* x^3 / 3 is below 2^-29 */
    if (magnitude >= 3.92f) return odt_with_sign_of(1.0f, x);
    if (magnitude >= 0.921875f) {
        /* erfc(x) = e^(-x p(x)), p fitted for the least error of 1 - erfc(x). */
        p = -0.000213923f;
        p = p * magnitude + 0.003214444f;
        p = p * magnitude - 0.022888321f;
        p = p * magnitude + 0.10525928f;
        p = p * magnitude + 0.63572025f;
        p = p * magnitude + 1.1285138f;
        return odt_with_sign_of(1.0f - odt_expf(-magnitude * p), x);
    }
    /* x + x p(x^2), p fitted for the least relative error. */
    square = x * x;
    p = -0.000599085f;
    p = p * square + 0.00499318f;
    p = p * square - 0.026766615f;
    p = p * square + 0.11281816f;
    p = p * square - 0.37612495f;
    p = p * square + 0.12837915f;
    return x + x * p;
}

/* 1 / (1 + e^-x), error <= 2.5 ulp; 0 below -87.33654. */
static inline float odt_sigmoidf(float x)
{
    if (x < -87.3365402f) return 0.0f;
    return x != x ? ODT_NAN : 1.0f / (1.0f + odt_expf(-x));
}

/* The square root, correctly rounded. A zero as it is, NaN below. */
static inline float odt_sqrtf(float x)
{
    uint32_t bits = odt_bits_of(x);
    uint32_t mantissa, root = 0, rest = 0;
    int32_t exponent;
    if (!odt_is_positive(bits)) return bits << 1 == 0 || bits == 0x7f800000u ? x : ODT_NAN;
    /* x = mantissa * 2^exponent, mantissa in [2^24, 2^26), exponent even. */
    bits = odt_normalize(bits, &exponent);
    exponent += (int32_t)(bits >> 23) - 127 - 24;
    mantissa = ((bits & 0x007fffffu) | 0x00800000u) << 1;
    if (exponent & 1) {
        mantissa <<= 1;
        exponent--;
    }
    /* root = floor(sqrt(mantissa * 2^24)), 25 bits, by longhand: two bits of the radicand
     * (zeros after the first 26) make one bit of the root. */
    for (int i = 0; i < 25; i++) {
        const uint32_t trial = root << 2 | 1u;
        rest = rest << 2 | (mantissa >> 24 & 3u);
        mantissa <<= 2;
        root <<= 1;
        if (rest >= trial) {
            rest -= trial;
            root |= 1u;
        }
    }
    /* The last bit is the half, to be rounded. A tie cannot happen: a root of just 25 bits has
     * a square of more than 24. The leading bit adds 1 to the exponent field. */
    return odt_float_of((uint32_t)(exponent / 2 + 12 + 126) * 0x00800000u + ((root + 1u) >> 1));
}

#ifdef __cplusplus
}
#endif

#endif
