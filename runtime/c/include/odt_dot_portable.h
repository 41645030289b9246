/* odt_dot.h in C99: columns lie row after row, and tiles of 2 x 2 share their loads. */
#ifndef ODT_DOT_PORTABLE_H
#define ODT_DOT_PORTABLE_H

ODT_INLINE int32_t odt_column(int32_t p, int32_t k, int32_t rows, int32_t depth)
{
    (void)rows;
    return p * depth + k;
}

ODT_INLINE void odt_pack(int16_t *columns, const int8_t *x, int32_t stride, int32_t zero_point,
                         int32_t rows, int32_t depth)
{
    for (int32_t k = 0; k < depth; ++k) {
        for (int32_t p = 0; p < rows; ++p) {
            columns[p * depth + k] = (int16_t)(x[k * stride + p] - zero_point);
        }
    }
}

ODT_INLINE void odt_pack_rows(int16_t *columns, const int8_t *x, int32_t stride,
                              int32_t zero_point, int32_t rows, int32_t depth)
{
    for (int32_t p = 0; p < rows; ++p) {
        for (int32_t k = 0; k < depth; ++k) {
            columns[p * depth + k] = (int16_t)(x[p * stride + k] - zero_point);
        }
    }
}

/* acc[j * rows_a + i] += sum over k < count of a[i * a_stride + k] * b[j * b_stride + k], with
 * b of type `number`. */
#define ODT_DOT_TILES(name, number)                                                              \
    static inline void name(int32_t *acc, const int16_t *a, int32_t a_stride, int32_t rows_a,    \
                            const number *b, int32_t b_stride, int32_t rows_b, int32_t count)    \
    {                                                                                            \
        for (int32_t j = 0; j < rows_b; j += 2) {                                                \
            const number *b0 = b + j * b_stride;                                                 \
            const number *b1 = j + 1 < rows_b ? b0 + b_stride : b0;                              \
            for (int32_t i = 0; i < rows_a; i += 2) {                                            \
                const int16_t *a0 = a + i * a_stride;                                            \
                const int16_t *a1 = i + 1 < rows_a ? a0 + a_stride : a0;                         \
                int32_t *out = acc + j * rows_a + i;                                             \
                int32_t s00 = 0, s01 = 0, s10 = 0, s11 = 0;                                      \
                for (int32_t k = 0; k < count; ++k) {                                            \
                    s00 += a0[k] * b0[k];                                                        \
                    s01 += a1[k] * b0[k];                                                        \
                    s10 += a0[k] * b1[k];                                                        \
                    s11 += a1[k] * b1[k];                                                        \
                }                                                                                \
                out[0] += s00;                                                                   \
                if (i + 1 < rows_a) out[1] += s01;                                               \
                if (j + 1 < rows_b) out[rows_a] += s10;                                          \
                if (i + 1 < rows_a && j + 1 < rows_b) out[rows_a + 1] += s11;                    \
            }                                                                                    \
        }                                                                                        \
    }

ODT_DOT_TILES(odt_dot_tiles8, int8_t)
ODT_DOT_TILES(odt_dot_tiles16, int16_t)
#undef ODT_DOT_TILES

ODT_INLINE void odt_dot(int32_t *acc, const int16_t *columns, const int8_t *w, int32_t stride,
                        int32_t rows, int32_t depth, int32_t begin, int32_t end, int32_t outputs)
{
    odt_dot_tiles8(acc, columns + begin, depth, rows, w, stride, outputs, end - begin);
}

ODT_INLINE void odt_dot_columns(int32_t *acc, const int16_t *a, const int16_t *b, int32_t rows_a,
                                int32_t rows_b, int32_t depth)
{
    odt_dot_tiles16(acc, a, depth, rows_a, b, depth, rows_b, depth);
}

#endif
