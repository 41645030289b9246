/*
 * odt_vector: what the headers for x86 share. It is for simulations on a computer: the sums are those
 * of every other variant.
 */
#ifndef ODT_VECTOR_H
#define ODT_VECTOR_H

#include <immintrin.h>

#if defined(__AVX512VNNI__) && defined(__AVX512VL__)
#define ODT_VNNI 1
#else
#define ODT_VNNI 0
#endif

ODT_INLINE __m128i odt_load_4x32(const void *from) { return _mm_loadu_si128(from); }
ODT_INLINE __m256i odt_load_8x32(const void *from) { return _mm256_loadu_si256(from); }
ODT_INLINE void odt_store_4x32(void *to, __m128i x) { _mm_storeu_si128(to, x); }
ODT_INLINE void odt_store_8x32(void *to, __m256i x) { _mm256_storeu_si256(to, x); }

/* The two int16 at any address, as a word. */
ODT_INLINE int32_t odt_two(const int16_t *from)
{
    int32_t word;
    memcpy(&word, from, sizeof word);
    return word;
}

/* sum + the products of both halves of each word. */
ODT_INLINE __m128i odt_madd_4(__m128i sum, __m128i a, __m128i b)
{
#if ODT_VNNI
    return _mm_dpwssd_epi32(sum, a, b);
#else
    return _mm_add_epi32(sum, _mm_madd_epi16(a, b));
#endif
}

ODT_INLINE __m256i odt_madd_8(__m256i sum, __m256i a, __m256i b)
{
#if ODT_VNNI
    return _mm256_dpwssd_epi32(sum, a, b);
#else
    return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b));
#endif
}

#endif
