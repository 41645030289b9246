/*
 * odt_window.h for AVX2: a product of pairs takes two elements of a row and two taps, for eight
 * neighbouring columns at once.
 *
 * A row of taps is prepared as pairs, 0 1, 2 3, 4 5 ...; of an odd number the last pair is a zero and
 * the last tap, over the last two elements of the window. So nothing beyond a window is read.
 */
#ifndef ODT_WINDOW_X86_H
#define ODT_WINDOW_X86_H

#include "odt_vector.h"

#define ODT_TAP_PAIRS(kw) (((kw) + 1) / 2)
#define ODT_TAPS(kh, kw) (2 * (kh) * ODT_TAP_PAIRS(kw))

/* The taps of a filter that is read from w on, `step` 1, or from w backwards, -1. */
ODT_INLINE void odt_taps_from(int16_t *taps, const int8_t *w, int32_t step, int32_t kh, int32_t kw)
{
    const int32_t pairing = 2 * ODT_TAP_PAIRS(kw);
    for (int32_t i = 0; i < kh; ++i, w += step * kw, taps += pairing) {
        for (int32_t j = 0; j < kw; ++j) taps[j] = w[step * j];
        if (kw < pairing) {
            taps[kw] = taps[kw - 1];
            taps[kw - 1] = 0;
        }
    }
}

ODT_INLINE void odt_taps(int16_t *taps, const int8_t *w, int32_t kh, int32_t kw)
{
    odt_taps_from(taps, w, 1, kh, kw);
}

ODT_INLINE void odt_taps_flipped(int16_t *taps, const int8_t *w, int32_t kh, int32_t kw)
{
    odt_taps_from(taps, w + kh * kw - 1, -1, kh, kw);
}

/* Where in a row of kw elements pair j begins. */
ODT_INLINE int32_t odt_pair_at(int32_t j, int32_t kw)
{
    return 2 * j + 1 < kw ? 2 * j : kw - 2;
}

/* Elements 0 1, 1 2, ... as pairs, or at stride 2 elements 0 1, 2 3, ...; 5 or 8, 9 or 16 are read. */
ODT_INLINE __m128i odt_pairs_4(const int16_t *x, int32_t stride)
{
    if (stride == 2) return odt_load_4x32(x);
    return _mm_unpacklo_epi16(_mm_loadl_epi64((const void *)x), _mm_loadl_epi64((const void *)(x + 1)));
}

ODT_INLINE __m256i odt_pairs_8(const int16_t *x, int32_t stride)
{
    if (stride == 2) return odt_load_8x32(x);
    const __m128i first = odt_load_4x32(x), second = odt_load_4x32(x + 1);
    return _mm256_set_m128i(_mm_unpackhi_epi16(first, second), _mm_unpacklo_epi16(first, second));
}

/* odt_window() of columns q ... q + 7, for `rows` of 1 or 4 rows: sums that do not wait for one another. */
ODT_INLINE void odt_window_8(int32_t *acc, const int16_t *plane, int32_t pitch, const int16_t *taps,
                             int32_t kh, int32_t kw, int32_t stride, int32_t rows, int32_t count)
{
    __m256i sum[4];
    for (int32_t r = 0; r < rows; ++r) sum[r] = odt_load_8x32(acc + r * count);
    for (int32_t i = 0; i < kh; ++i) {
        for (int32_t j = 0; j < ODT_TAP_PAIRS(kw); ++j, taps += 2) {
            const __m256i two = _mm256_set1_epi32(odt_two(taps));
            const int16_t *x = plane + i * pitch + odt_pair_at(j, kw);
            for (int32_t r = 0; r < rows; ++r, x += stride * pitch) {
                sum[r] = odt_madd_8(sum[r], odt_pairs_8(x, stride), two);
            }
        }
    }
    for (int32_t r = 0; r < rows; ++r) odt_store_8x32(acc + r * count, sum[r]);
}

/* The same of four columns. */
ODT_INLINE void odt_window_4(int32_t *acc, const int16_t *plane, int32_t pitch, const int16_t *taps,
                             int32_t kh, int32_t kw, int32_t stride, int32_t rows, int32_t count)
{
    __m128i sum[4];
    for (int32_t r = 0; r < rows; ++r) sum[r] = odt_load_4x32(acc + r * count);
    for (int32_t i = 0; i < kh; ++i) {
        for (int32_t j = 0; j < ODT_TAP_PAIRS(kw); ++j, taps += 2) {
            const __m128i two = _mm_set1_epi32(odt_two(taps));
            const int16_t *x = plane + i * pitch + odt_pair_at(j, kw);
            for (int32_t r = 0; r < rows; ++r, x += stride * pitch) {
                sum[r] = odt_madd_4(sum[r], odt_pairs_4(x, stride), two);
            }
        }
    }
    for (int32_t r = 0; r < rows; ++r) odt_store_4x32(acc + r * count, sum[r]);
}

/* And of one. */
ODT_INLINE void odt_window_1(int32_t *acc, const int16_t *x, int32_t pitch, const int16_t *taps,
                             int32_t kh, int32_t kw)
{
    for (int32_t i = 0; i < kh; ++i, x += pitch, taps += 2 * ODT_TAP_PAIRS(kw)) {
        for (int32_t j = 0; j < kw - 1; ++j) *acc += x[j] * taps[j];
        *acc += x[kw - 1] * taps[2 * ODT_TAP_PAIRS(kw) - 1];
    }
}

ODT_INLINE void odt_window(int32_t *acc, const int16_t *plane, int32_t pitch, const int16_t *taps,
                           int32_t kh, int32_t kw, int32_t stride, int32_t rows, int32_t count)
{
    const int32_t wide = kw > 1 && stride <= 2 ? count & ~3 : 0; /* columns that are vectors */
    for (int32_t r = 0; r < rows;) {
        const int32_t few = r + 4 <= rows ? 4 : 1;
        int32_t q = 0;
        for (; q + 8 <= wide; q += 8) {
            const int16_t *x = plane + q * stride;
            if (few == 4) odt_window_8(acc + q, x, pitch, taps, kh, kw, stride, 4, count);
            if (few == 1) odt_window_8(acc + q, x, pitch, taps, kh, kw, stride, 1, count);
        }
        if (q < wide) {
            const int16_t *x = plane + q * stride;
            if (few == 4) odt_window_4(acc + q, x, pitch, taps, kh, kw, stride, 4, count);
            if (few == 1) odt_window_4(acc + q, x, pitch, taps, kh, kw, stride, 1, count);
            q = wide;
        }
        for (int32_t i = 0; i < few; ++i) {
            const int16_t *row = plane + i * stride * pitch;
            for (int32_t c = q; c < count; ++c) {
                odt_window_1(acc + i * count + c, row + c * stride, pitch, taps, kh, kw);
            }
        }
        r += few;
        acc += few * count;
        plane += few * stride * pitch;
    }
}

#endif
