/*
 * odt_dot.h for AVX2: a product of pairs takes two elements of a row and two weights, for eight rows
 * at once.
 *
 * Columns lie in blocks of 8 rows (the last has the 1 to 8 that are left), in a block the pairs of
 * elements 0 1 of every row, then the pairs 2 3 ... The last element of an odd depth follows, of every
 * row.
 */
#ifndef ODT_DOT_X86_H
#define ODT_DOT_X86_H

#include "odt_vector.h"

#define ODT_BLOCK 8 /* rows of a whole block */

ODT_INLINE int32_t odt_block_rows(int32_t first, int32_t rows)
{
    return rows - first < ODT_BLOCK ? rows - first : ODT_BLOCK;
}

ODT_INLINE int32_t odt_column(int32_t p, int32_t k, int32_t rows, int32_t depth)
{
    const int32_t first = p & ~(ODT_BLOCK - 1);
    const int32_t block = odt_block_rows(first, rows);
    const int32_t paired = (k & ~1) * block + 2 * (p - first) + (k & 1);
    return first * depth + (k < (depth & ~1) ? paired : k * block + (p - first));
}

ODT_INLINE void odt_pack(int16_t *columns, const int8_t *x, int32_t stride, int32_t zero_point,
                         int32_t rows, int32_t depth)
{
    for (int32_t first = 0; first < rows; first += ODT_BLOCK) {
        const int32_t block = odt_block_rows(first, rows);
        int16_t *to = columns + first * depth;
        const int8_t *from = x + first;
        const __m128i zero = _mm_set1_epi16((int16_t)zero_point);
        int32_t k = 0;
        for (; k + 1 < depth; k += 2, from += 2 * stride, to += 2 * block) {
            if (block == 8) {
                const __m128i a = _mm_cvtepi8_epi16(_mm_loadl_epi64((const void *)from));
                const __m128i b = _mm_cvtepi8_epi16(_mm_loadl_epi64((const void *)(from + stride)));
                const __m128i first_4 = _mm_unpacklo_epi16(a, b), last_4 = _mm_unpackhi_epi16(a, b);
                odt_store_4x32(to, _mm_sub_epi16(first_4, zero));
                odt_store_4x32(to + 8, _mm_sub_epi16(last_4, zero));
            } else if (block == 4) {
                int32_t a, b;
                memcpy(&a, from, sizeof a);
                memcpy(&b, from + stride, sizeof b);
                const __m128i both = _mm_unpacklo_epi8(_mm_cvtsi32_si128(a), _mm_cvtsi32_si128(b));
                odt_store_4x32(to, _mm_sub_epi16(_mm_cvtepi8_epi16(both), zero));
            } else {
                for (int32_t p = 0; p < block; ++p) {
                    to[2 * p] = (int16_t)(from[p] - zero_point);
                    to[2 * p + 1] = (int16_t)(from[stride + p] - zero_point);
                }
            }
        }
        for (; k < depth; ++k) {
            for (int32_t p = 0; p < block; ++p) to[p] = (int16_t)(from[p] - zero_point);
        }
    }
}

ODT_INLINE void odt_pack_rows(int16_t *columns, const int8_t *x, int32_t stride,
                              int32_t zero_point, int32_t rows, int32_t depth)
{
    for (int32_t p = 0; p < rows; ++p) {
        const int32_t first = p & ~(ODT_BLOCK - 1);
        const int32_t block = odt_block_rows(first, rows);
        const int8_t *from = x + p * stride;
        int16_t *to = columns + first * depth + 2 * (p - first);
        int32_t k = 0;
        for (; k + 1 < depth; k += 2, to += 2 * block) {
            to[0] = (int16_t)(from[k] - zero_point);
            to[1] = (int16_t)(from[k + 1] - zero_point);
        }
        if (k < depth) to[first - p] = (int16_t)(from[k] - zero_point);
    }
}

/* Two neighbouring codes as a pair. */
ODT_INLINE int32_t odt_two_codes(const int8_t *from)
{
    return (int32_t)((uint32_t)(uint16_t)from[0] | (uint32_t)(uint16_t)from[1] << 16);
}

/* acc[o * rows + p] += sum over k < count of columns(p, begin + k) * w[o * stride + k] for the 4 rows
 * of a block and `outputs` of 1 or 4 outputs. */
ODT_INLINE void odt_dot_4(int32_t *acc, const int16_t *columns, const int8_t *w, int32_t stride,
                          int32_t rows, int32_t count, int32_t outputs)
{
    const __m256i spread[4] = {
        _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1),
        _mm256_setr_epi32(2, 2, 2, 2, 3, 3, 3, 3),
        _mm256_setr_epi32(4, 4, 4, 4, 5, 5, 5, 5),
        _mm256_setr_epi32(6, 6, 6, 6, 7, 7, 7, 7),
    };
    __m256i sum[4];
    int32_t k = 0;
    for (int32_t o = 0; o < outputs; ++o) sum[o] = _mm256_setzero_si256();
    for (; k + 16 <= count; k += 16, columns += 64) {
        for (int32_t o = 0; o < outputs; ++o) {
            const __m256i pairs = _mm256_cvtepi8_epi16(odt_load_4x32(w + o * stride + k));
            for (int32_t i = 0; i < 4; ++i) {
                const __m256i weights = _mm256_permutevar8x32_epi32(pairs, spread[i]);
                sum[o] = odt_madd_8(sum[o], odt_load_8x32(columns + 16 * i), weights);
            }
        }
    }
    for (int32_t o = 0; o < outputs; ++o) {
        const __m128i upper = _mm256_extracti128_si256(sum[o], 1);
        __m128i all = _mm_add_epi32(_mm256_castsi256_si128(sum[o]), upper);
        const int8_t *row = w + o * stride;
        const int16_t *from = columns;
        int32_t i = k;
        for (; i + 1 < count; i += 2, from += 8) {
            all = odt_madd_4(all, odt_load_4x32(from), _mm_set1_epi32(odt_two_codes(row + i)));
        }
        if (i < count) {
            const __m128i last = _mm_cvtepi16_epi32(_mm_loadl_epi64((const void *)from));
            all = _mm_add_epi32(all, _mm_mullo_epi32(last, _mm_set1_epi32(row[i])));
        }
        odt_store_4x32(acc + o * rows, _mm_add_epi32(odt_load_4x32(acc + o * rows), all));
    }
}

/* The same for 8 rows and one output. */
ODT_INLINE void odt_dot_8(int32_t *acc, const int16_t *columns, const int8_t *w, int32_t count)
{
    __m256i even = odt_load_8x32(acc), odd = _mm256_setzero_si256();
    int32_t k = 0;
    for (; k + 16 <= count; k += 16, columns += 128) {
        const __m256i pairs = _mm256_cvtepi8_epi16(odt_load_4x32(w + k));
        for (int32_t i = 0; i < 8; i += 2) {
            const __m256i first = _mm256_permutevar8x32_epi32(pairs, _mm256_set1_epi32(i));
            const __m256i second = _mm256_permutevar8x32_epi32(pairs, _mm256_set1_epi32(i + 1));
            even = odt_madd_8(even, odt_load_8x32(columns + 16 * i), first);
            odd = odt_madd_8(odd, odt_load_8x32(columns + 16 * i + 16), second);
        }
    }
    even = _mm256_add_epi32(even, odd);
    for (; k + 1 < count; k += 2, columns += 16) {
        const __m256i pair = _mm256_set1_epi32(odt_two_codes(w + k));
        even = odt_madd_8(even, odt_load_8x32(columns), pair);
    }
    if (k < count) {
        const __m256i last = _mm256_cvtepi16_epi32(odt_load_4x32(columns));
        even = _mm256_add_epi32(even, _mm256_mullo_epi32(last, _mm256_set1_epi32(w[k])));
    }
    odt_store_8x32(acc, even);
}

ODT_INLINE void odt_dot(int32_t *acc, const int16_t *columns, const int8_t *w, int32_t stride,
                        int32_t rows, int32_t depth, int32_t begin, int32_t end, int32_t outputs)
{
    const int32_t count = end - begin;
    const int is_paired = begin % 2 == 0 && (end == depth || end % 2 == 0);
    for (int32_t first = 0; first < rows; first += ODT_BLOCK) {
        const int32_t block = odt_block_rows(first, rows);
        const int16_t *from = columns + first * depth + begin * block;
        int32_t o = 0;
        for (; block == 4 && is_paired && o + 4 <= outputs; o += 4) {
            odt_dot_4(acc + o * rows + first, from, w + o * stride, stride, rows, count, 4);
        }
        for (; o < outputs; ++o) {
            int32_t *to = acc + o * rows + first;
            const int8_t *row = w + o * stride;
            if (block == 8 && is_paired) {
                odt_dot_8(to, from, row, count);
            } else if (block == 4 && is_paired) {
                odt_dot_4(to, from, row, stride, rows, count, 1);
            } else {
                for (int32_t p = 0; p < block; ++p) {
                    for (int32_t k = begin; k < end; ++k) {
                        to[p] += columns[odt_column(first + p, k, rows, depth)] * row[k - begin];
                    }
                }
            }
        }
    }
}

/* acc[j * rows + i] += sum over k < depth of a(i, k) * b(j, k), without the last k of an odd depth,
 * for the 8 * blocks rows i of `blocks` of 1 or 2 blocks and for `count` of 1 or 4 rows j, `b_step`
 * elements from a pair of these to the next. */
ODT_INLINE void odt_dot_columns_8(int32_t *acc, const int16_t *a, const int16_t *b, int32_t b_step,
                                  int32_t rows, int32_t blocks, int32_t count, int32_t depth)
{
    __m256i sum[8];
    for (int32_t j = 0; j < count; ++j) {
        sum[j] = odt_load_8x32(acc + j * rows);
        if (blocks == 2) sum[4 + j] = odt_load_8x32(acc + j * rows + 8);
    }
    for (int32_t k = 0; k + 1 < depth; k += 2, a += 16, b += b_step) {
        for (int32_t j = 0; j < count; ++j) {
            const __m256i pair = _mm256_set1_epi32(odt_two(b + 2 * j));
            sum[j] = odt_madd_8(sum[j], odt_load_8x32(a), pair);
            if (blocks == 2) sum[4 + j] = odt_madd_8(sum[4 + j], odt_load_8x32(a + 8 * depth), pair);
        }
    }
    for (int32_t j = 0; j < count; ++j) {
        odt_store_8x32(acc + j * rows, sum[j]);
        if (blocks == 2) odt_store_8x32(acc + j * rows + 8, sum[4 + j]);
    }
}

/* The same of a block of 4 rows. */
ODT_INLINE void odt_dot_columns_4(int32_t *acc, const int16_t *a, const int16_t *b, int32_t b_step,
                                  int32_t rows, int32_t count, int32_t depth)
{
    __m128i sum[4];
    for (int32_t j = 0; j < count; ++j) sum[j] = odt_load_4x32(acc + j * rows);
    for (int32_t k = 0; k + 1 < depth; k += 2, a += 8, b += b_step) {
        const __m128i pairs = odt_load_4x32(a);
        for (int32_t j = 0; j < count; ++j) {
            sum[j] = odt_madd_4(sum[j], pairs, _mm_set1_epi32(odt_two(b + 2 * j)));
        }
    }
    for (int32_t j = 0; j < count; ++j) odt_store_4x32(acc + j * rows, sum[j]);
}

ODT_INLINE void odt_dot_columns(int32_t *acc, const int16_t *a, const int16_t *b, int32_t rows_a,
                                int32_t rows_b, int32_t depth)
{
    for (int32_t j = 0; j < rows_b;) {
        const int32_t first_b = j & ~(ODT_BLOCK - 1), block_b = odt_block_rows(first_b, rows_b);
        const int32_t count = j - first_b + 4 <= block_b ? 4 : 1;
        const int16_t *pairs_b = b + first_b * depth + 2 * (j - first_b);
        for (int32_t first = 0; first < rows_a;) {
            const int32_t block = odt_block_rows(first, rows_a);
            const int32_t blocks = first + 2 * ODT_BLOCK <= rows_a ? 2 : 1;
            int32_t *to = acc + j * rows_a + first;
            const int16_t *from = a + first * depth;
            if (blocks == 2 && count == 4) {
                odt_dot_columns_8(to, from, pairs_b, 2 * block_b, rows_a, 2, 4, depth);
            } else if (blocks == 2) {
                odt_dot_columns_8(to, from, pairs_b, 2 * block_b, rows_a, 2, 1, depth);
            } else if (block == 8 && count == 4) {
                odt_dot_columns_8(to, from, pairs_b, 2 * block_b, rows_a, 1, 4, depth);
            } else if (block == 8) {
                odt_dot_columns_8(to, from, pairs_b, 2 * block_b, rows_a, 1, 1, depth);
            } else if (block == 4 && count == 4) {
                odt_dot_columns_4(to, from, pairs_b, 2 * block_b, rows_a, 4, depth);
            } else if (block == 4) {
                odt_dot_columns_4(to, from, pairs_b, 2 * block_b, rows_a, 1, depth);
            }
            for (int32_t k = block % 4 == 0 ? depth & ~1 : 0; k < depth; ++k) {
                for (int32_t n = 0; n < count; ++n) {
                    const int32_t value = b[odt_column(j + n, k, rows_b, depth)];
                    for (int32_t i = 0; i < blocks * block; ++i) {
                        to[n * rows_a + i] += a[odt_column(first + i, k, rows_a, depth)] * value;
                    }
                }
            }
            first += blocks * ODT_BLOCK;
        }
        j += count;
    }
}

#endif
