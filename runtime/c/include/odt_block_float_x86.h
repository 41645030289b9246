/* odt_block_float.h for AVX2: eight numbers at once, with the bits of the plain formulae. */
#ifndef ODT_BLOCK_FLOAT_X86_H
#define ODT_BLOCK_FLOAT_X86_H

#include "odt_vector.h"

/* The bits of each magnitude, which are in the order of the numbers. */
ODT_INLINE __m256i odt_magnitude_8(__m256 x)
{
    return _mm256_and_si256(_mm256_castps_si256(x), _mm256_set1_epi32(0x7fffffff));
}

/* peak[p] = odt_peak(peak[p], x[k * stride + p] * scale[k]) for p < 8, k < depth; scale may be NULL. */
ODT_INLINE void odt_peak_8(float *peak, const float *x, int32_t stride, const float *scale,
                           int32_t depth)
{
    __m256i most = odt_load_8x32(peak);
    for (int32_t k = 0; k < depth; ++k, x += stride) {
        __m256 numbers = _mm256_loadu_ps(x);
        if (scale) numbers = _mm256_mul_ps(numbers, _mm256_set1_ps(scale[k]));
        most = _mm256_max_epu32(most, odt_magnitude_8(numbers));
    }
    odt_store_8x32(peak, most);
}

/* The largest magnitude of peak and of depth numbers, one after another. */
ODT_INLINE float odt_peak_row(float peak, const float *x, int32_t depth)
{
    uint32_t largest = odt_bits_of(peak);
    float most[8] = {peak, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f};
    odt_peak_8(most, x, 8, NULL, depth / 8);
    for (int32_t i = 0; i < 8; ++i) {
        if (odt_bits_of(most[i]) > largest) largest = odt_bits_of(most[i]);
    }
    for (int32_t i = depth & ~7; i < depth; ++i) {
        const uint32_t magnitude = odt_bits_of(x[i]) & ~ODT_SIGN;
        if (magnitude > largest) largest = magnitude;
    }
    return odt_float_of(largest);
}

/* odt_block_code() of each, in the lower half of a word whose upper half is 0. */
ODT_INLINE __m256i odt_code_8(__m256 x, __m256 factor)
{
    const __m256 rounded = _mm256_add_ps(_mm256_mul_ps(x, factor), _mm256_set1_ps(12582912.0f));
    return _mm256_and_si256(_mm256_castps_si256(rounded), _mm256_set1_epi32(0xffff));
}

/* The first of the numbers that odt_pack_planes() packs: a block of 8 rows of odt_dot_x86.h. */
ODT_INLINE void odt_pack_f32_8(int16_t *to, const float *x, int32_t stride, const float *scale,
                               const float *factor, int32_t depth)
{
    const __m256 factors = _mm256_loadu_ps(factor);
    int32_t k = 0;
    for (; k + 1 < depth; k += 2, x += 2 * stride, to += 16) {
        __m256 first = _mm256_loadu_ps(x), second = _mm256_loadu_ps(x + stride);
        if (scale) {
            first = _mm256_mul_ps(first, _mm256_set1_ps(scale[k]));
            second = _mm256_mul_ps(second, _mm256_set1_ps(scale[k + 1]));
        }
        const __m256i high = _mm256_slli_epi32(odt_code_8(second, factors), 16);
        odt_store_8x32(to, _mm256_or_si256(odt_code_8(first, factors), high));
    }
    if (k < depth) {
        __m256 last = _mm256_loadu_ps(x);
        if (scale) last = _mm256_mul_ps(last, _mm256_set1_ps(scale[k]));
        const __m256i codes = odt_code_8(last, factors);
        odt_store_4x32(to, _mm_packus_epi32(_mm256_castsi256_si128(codes),
                                            _mm256_extracti128_si256(codes, 1)));
    }
}

/* to[i] = odt_block_code(x[i], factor) for i < 8. */
ODT_INLINE void odt_code_row_8(int16_t *to, const float *x, float factor)
{
    const __m256i codes = odt_code_8(_mm256_loadu_ps(x), _mm256_set1_ps(factor));
    odt_store_4x32(to, _mm_packus_epi32(_mm256_castsi256_si128(codes),
                                        _mm256_extracti128_si256(codes, 1)));
}

/* All bits of element i where bit i is 1, else none. */
ODT_INLINE __m256i odt_keep_8(uint32_t bits)
{
    const __m256i each = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    return _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32((int32_t)bits), each), each);
}

/* out[i] = bit i ? acc[i] * unit[i] : 0 for i < 8. */
ODT_INLINE void odt_real_8_masked_each(float *out, const int32_t *acc, const float *unit,
                                       uint32_t bits)
{
    const __m256i kept = _mm256_and_si256(odt_load_8x32(acc), odt_keep_8(bits));
    _mm256_storeu_ps(out, _mm256_mul_ps(_mm256_cvtepi32_ps(kept), _mm256_loadu_ps(unit)));
}

/* The same with one unit for all. */
ODT_INLINE void odt_real_8_masked(float *out, const int32_t *acc, float unit, uint32_t bits)
{
    const float units[8] = {unit, unit, unit, unit, unit, unit, unit, unit};
    odt_real_8_masked_each(out, acc, units, bits);
}

/* odt_random(seed, index + i) for i < 8. */
ODT_INLINE __m256i odt_random_8(uint32_t seed, uint32_t index)
{
    const __m256i steps = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i golden = _mm256_set1_epi32((int32_t)0x9e3779b9u);
    const __m256i begin = _mm256_set1_epi32((int32_t)(seed + index * 0x9e3779b9u));
    __m256i x = _mm256_add_epi32(begin, _mm256_mullo_epi32(steps, golden));
    x = _mm256_xor_si256(x, _mm256_srli_epi32(x, 16));
    x = _mm256_mullo_epi32(x, _mm256_set1_epi32(0x7feb352d));
    x = _mm256_xor_si256(x, _mm256_srli_epi32(x, 15));
    x = _mm256_mullo_epi32(x, _mm256_set1_epi32((int32_t)0x846ca68bu));
    return _mm256_xor_si256(x, _mm256_srli_epi32(x, 16));
}

/* out[i] = odt_update_code(codes[i], acc[i] * unit * by, 127, seed, index + i) for i < 8, if every
 * step is less than 1; 0 and nothing done if one is not. */
ODT_INLINE int odt_update_8(int8_t *out, const int8_t *codes, const int32_t *acc, float unit,
                            float by, uint32_t seed, uint32_t index)
{
    const __m256 gradient = _mm256_mul_ps(_mm256_cvtepi32_ps(odt_load_8x32(acc)), _mm256_set1_ps(unit));
    const __m256 step = _mm256_mul_ps(gradient, _mm256_set1_ps(by));
    const __m256i magnitude = odt_magnitude_8(step), one = _mm256_set1_epi32(0x3f800000);
    if (_mm256_movemask_epi8(_mm256_cmpgt_epi32(one, magnitude)) != -1) return 0;
    /* its 32 binary places, in two halves */
    const __m256 half = _mm256_mul_ps(_mm256_castsi256_ps(magnitude), _mm256_set1_ps(65536.0f));
    const __m256i high = _mm256_cvttps_epi32(half);
    const __m256 left = _mm256_sub_ps(half, _mm256_cvtepi32_ps(high));
    const __m256i low = _mm256_cvttps_epi32(_mm256_mul_ps(left, _mm256_set1_ps(65536.0f)));
    const __m256i places = _mm256_or_si256(_mm256_slli_epi32(high, 16), low);
    const __m256i sign = _mm256_set1_epi32(INT32_MIN); /* unsigned numbers are compared */
    const __m256i random = _mm256_xor_si256(odt_random_8(seed, index), sign);
    const __m256i up = _mm256_cmpgt_epi32(_mm256_xor_si256(places, sign), random); /* -1 or 0 */
    const __m256i down = _mm256_srai_epi32(_mm256_castps_si256(step), 31);
    /* the code less the rounded step: up is -1 where that is 1, before its sign */
    const __m256i change = _mm256_sub_epi32(_mm256_xor_si256(up, down), down);
    const __m256i old = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const void *)codes));
    const __m256i new = _mm256_add_epi32(old, change);
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(new), _mm256_extracti128_si256(new, 1));
    _mm_storel_epi64((void *)out, _mm_packs_epi16(words, words));
    return 1;
}

/* odt_update_8() of whole eights, up to the first with a step that is not less than 1; how many
 * codes that are. */
ODT_INLINE int32_t odt_update_eights(int8_t *out, const int8_t *codes, const int32_t *acc,
                                     float unit, float by, uint32_t seed, uint32_t index,
                                     int32_t count)
{
    int32_t q = 0;
    while (q + 8 <= count &&
           odt_update_8(out + q, codes + q, acc + q, unit, by, seed, index + (uint32_t)q)) {
        q += 8;
    }
    return q;
}

#endif
