/* odt_epilogue.h for AVX2: eight accumulators at once. */
#ifndef ODT_EPILOGUE_X86_H
#define ODT_EPILOGUE_X86_H

#include "odt_vector.h"

/* odt_requantize_high() of each. */
ODT_INLINE __m256i odt_requantize_8(__m256i acc, __m256i multiplier, __m128i shift, __m256i offset)
{
    const __m256i even = _mm256_srli_epi64(_mm256_mul_epi32(acc, multiplier), 32);
    const __m256i odd = _mm256_mul_epi32(_mm256_srli_epi64(acc, 32), multiplier);
    const __m256i high = _mm256_blend_epi32(even, odd, 0xAA);
    return _mm256_srai_epi32(_mm256_add_epi32(_mm256_sra_epi32(high, shift), offset), 1);
}

/* Each clamped to int8. */
ODT_INLINE void odt_store_codes_8(int8_t *out, __m256i codes)
{
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(codes),
                                          _mm256_extracti128_si256(codes, 1));
    _mm_storel_epi64((void *)out, _mm_packs_epi16(words, words));
}

/* Bit i tells whether code i lies in int8. */
ODT_INLINE uint32_t odt_are_int8(__m256i codes)
{
    const __m256i low = _mm256_set1_epi32(-128), high = _mm256_set1_epi32(127);
    const __m256i clamped = _mm256_min_epi32(_mm256_max_epi32(codes, low), high);
    const __m256i same = _mm256_cmpeq_epi32(clamped, codes);
    return (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(same));
}

ODT_INLINE uint32_t odt_requantize_row_masked(int8_t **out, const int32_t **acc, int32_t bias,
                                              int32_t multiplier, int32_t shift, int32_t offset,
                                              int32_t count)
{
    const __m256i biases = _mm256_set1_epi32(bias), multipliers = _mm256_set1_epi32(multiplier);
    const __m256i offsets = _mm256_set1_epi32(offset);
    const __m128i shifts = _mm_cvtsi32_si128(shift);
    const int32_t *from = *acc;
    int8_t *to = *out;
    uint32_t bits = 0;
    int32_t q = 0;
    for (; q + 8 <= count; q += 8) {
        const __m256i sums = _mm256_add_epi32(odt_load_8x32(from + q), biases);
        const __m256i codes = odt_requantize_8(sums, multipliers, shifts, offsets);
        odt_store_codes_8(to + q, codes);
        bits |= odt_are_int8(codes) << (q & 31);
    }
    for (; q < count; ++q) {
        const int32_t code = odt_requantize_high(from[q] + bias, multiplier, shift, offset);
        to[q] = (int8_t)odt_clamp8(code);
        bits |= (uint32_t)odt_is_int8(code) << (q & 31);
    }
    *acc += count;
    *out += count;
    return bits;
}

ODT_INLINE void odt_requantize_row(int8_t **out, const int32_t **acc, int32_t bias,
                                   int32_t multiplier, int32_t shift, int32_t offset,
                                   int32_t count)
{
    (void)odt_requantize_row_masked(out, acc, bias, multiplier, shift, offset, count);
}

#endif
