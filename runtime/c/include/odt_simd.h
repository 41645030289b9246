/*
 * odt_simd: which instructions the inner loops may use, and the few that C cannot name.
 *
 * Every variant of a function gives the same integers; only where an element lies in a buffer
 * that is private to the runtime (odt_dot.h, odt_window.h) differs.
 */
#ifndef ODT_SIMD_H
#define ODT_SIMD_H

#include <stdint.h>
#include <string.h>

/* One of the two is 1, or neither: C99. ODT_DSP reads words at any address: it wants a core that
 * does so, and CCR.UNALIGN_TRP left at 0, its reset value. */
#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 1)
#define ODT_MVE 1 /* Armv8.1-M with Helium */
#define ODT_DSP 0
#elif defined(__ARM_FEATURE_DSP) && defined(__ARM_FEATURE_UNALIGNED) && defined(__thumb2__) && \
    __ARM_ARCH_PROFILE == 'M' && !defined(__ARM_BIG_ENDIAN)
#define ODT_MVE 0
#define ODT_DSP 1 /* Armv7E-M, Armv8-M with the DSP extension */
#else
#define ODT_MVE 0
#define ODT_DSP 0
#endif

/* Of a computer, which has no part in what a board does but gives its bits, faster. */
#if defined(__AVX2__)
#define ODT_AVX2 1
#else
#define ODT_AVX2 0
#endif

/* Whether there is an FPU for float32, as on Arm. */
#if defined(__ARM_FP) && (__ARM_FP & 4)
#define ODT_FPU 1
#else
#define ODT_FPU 0
#endif

/* For what is worth its size only when the arguments that are constants are seen to be. */
#if defined(__GNUC__)
#define ODT_INLINE static inline __attribute__((always_inline))
#else
#define ODT_INLINE static inline
#endif

/* A kernel of a model: not inlined, so that the stack holds the locals of one at a time. */
#if defined(__GNUC__)
#define ODT_KERNEL static __attribute__((noinline))
#else
#define ODT_KERNEL static
#endif

/* Before the declaration of an int16 array: it starts where pairs can be loaded. */
#if defined(__GNUC__)
#define ODT_ALIGNED __attribute__((aligned(4)))
#else
#define ODT_ALIGNED
#endif

#if ODT_DSP || ODT_MVE

/* A whole function in assembly, there only if it is called; the compiler must not conclude from
 * its body what it leaves alone. */
#if defined(__clang__)
#define ODT_ASSEMBLY __attribute__((naked, noinline, unused)) static
#else
#define ODT_ASSEMBLY __attribute__((naked, noipa, unused)) static
#endif

#endif

#if ODT_MVE

#include <arm_mve.h>

/* Around assembly that changes the predicate, and among its clobbers: clang has no name for it. */
#if defined(__clang__)
#define ODT_PREDICATE_KEPT "vmrs r12, p0\n"
#define ODT_PREDICATE_BACK "vmsr p0, r12\n"
#define ODT_PREDICATE "r12"
#else
#define ODT_PREDICATE_KEPT
#define ODT_PREDICATE_BACK
#define ODT_PREDICATE "p0"
#endif

#endif

#if ODT_DSP

/* Two int16 neighbours, at a multiple of 4. */
typedef uint32_t __attribute__((may_alias)) odt_pair_t;

/* The four bytes at any address. */
ODT_INLINE uint32_t odt_word(const void *address)
{
    uint32_t word;
    memcpy(&word, address, sizeof word);
    return word;
}

/* Bytes 0 and 2 of `bytes`, sign-extended and added to the halves of `halves`. */
ODT_INLINE uint32_t odt_sxtab16(uint32_t halves, uint32_t bytes)
{
    uint32_t sum;
    __asm__("sxtab16 %0, %1, %2" : "=r"(sum) : "r"(halves), "r"(bytes));
    return sum;
}

/* Bytes 1 and 3 likewise. */
ODT_INLINE uint32_t odt_sxtab16_odd(uint32_t halves, uint32_t bytes)
{
    uint32_t sum;
    __asm__("sxtab16 %0, %1, %2, ror #8" : "=r"(sum) : "r"(halves), "r"(bytes));
    return sum;
}

/* The lower halves of two words, `low`'s below. */
ODT_INLINE uint32_t odt_lower_halves(uint32_t low, uint32_t high)
{
    uint32_t word;
    __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(word) : "r"(low), "r"(high));
    return word;
}

/* The upper halves of two words, `low`'s below. */
ODT_INLINE uint32_t odt_upper_halves(uint32_t low, uint32_t high)
{
    uint32_t word;
    __asm__("pkhtb %0, %1, %2, asr #16" : "=r"(word) : "r"(high), "r"(low));
    return word;
}

/* sum + the products of the lower halves and of the upper halves. */
ODT_INLINE int32_t odt_smlad(uint32_t a, uint32_t b, int32_t sum)
{
    __asm__("smlad %0, %1, %2, %0" : "+r"(sum) : "r"(a), "r"(b));
    return sum;
}

/* sum + the product of a's lower half and b's upper half. */
ODT_INLINE int32_t odt_smlabt(uint32_t a, uint32_t b, int32_t sum)
{
    __asm__("smlabt %0, %1, %2, %0" : "+r"(sum) : "r"(a), "r"(b));
    return sum;
}

/* `value` in both halves. */
ODT_INLINE uint32_t odt_both_halves(int32_t value)
{
    return odt_lower_halves((uint32_t)value, (uint32_t)value);
}

#endif

/* Sets `words` words to 0, as accumulators want it. */
ODT_INLINE void odt_clear(void *to, int32_t words)
{
    uint32_t *word = to;
    int32_t i = 0;
#if ODT_DSP
    uint32_t zero = 0;
    __asm__("" : "+r"(zero)); /* not a call of memset(), which small libraries do by bytes */
    for (; i < (words & ~7); i += 8) {
        __asm__ volatile("strd %1, %1, [%0], #8\n strd %1, %1, [%0], #8\n"
                         "strd %1, %1, [%0], #8\n strd %1, %1, [%0], #8\n"
                         : "+r"(word)
                         : "r"(zero)
                         : "memory");
    }
    words -= i;
#elif ODT_MVE
    uint32x4_t zero;
    __asm__("vmov.i32 %q0, #0" : "=w"(zero));
    for (; i < (words & ~15); i += 16) {
        __asm__ volatile("vstrw.32 %q1, [%0], #16\n vstrw.32 %q1, [%0], #16\n"
                         "vstrw.32 %q1, [%0], #16\n vstrw.32 %q1, [%0], #16\n"
                         : "+r"(word)
                         : "w"(zero)
                         : "memory");
    }
    words -= i;
#endif
    for (i = 0; i < words; ++i) memset(word + i, 0, sizeof *word); /* float words too may be cleared */
}

#endif
