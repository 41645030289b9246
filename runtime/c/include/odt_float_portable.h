/* odt_float.h in C99: tiles whose sums a compiler keeps in registers, vector registers too. */
#ifndef ODT_FLOAT_PORTABLE_H
#define ODT_FLOAT_PORTABLE_H

/* odt_dot_f32() for 1 ... ODT_F32_TILE of the rows of a, and one of b. */
ODT_INLINE void odt_dot_tile_f32(float *acc, const float *a, int32_t stride, const float *b,
                                 int32_t rows, int32_t rows_b, int32_t depth)
{
    float sums[ODT_F32_TILE];
    for (int32_t i = 0; i < rows; ++i) sums[i] = acc[i];
    for (int32_t k = 0; k < depth; ++k) {
        for (int32_t i = 0; i < rows; ++i) sums[i] += a[k * stride + i] * b[k * rows_b];
    }
    for (int32_t i = 0; i < rows; ++i) acc[i] = sums[i];
}

ODT_INLINE void odt_dot_f32(float *acc, const float *a, int32_t stride, const float *b,
                            int32_t rows_a, int32_t rows_b, int32_t depth)
{
    const int32_t whole = rows_a - rows_a % ODT_F32_TILE;
    for (int32_t j = 0; j < rows_b; ++j) {
        float *out = acc + j * rows_a;
        for (int32_t i = 0; i < whole; i += ODT_F32_TILE) {
            odt_dot_tile_f32(out + i, a + i, stride, b + j, ODT_F32_TILE, rows_b, depth);
        }
        if (whole < rows_a) {
            odt_dot_tile_f32(out + whole, a + whole, stride, b + j, rows_a - whole, rows_b, depth);
        }
    }
}

ODT_INLINE void odt_scale_columns_f32(float *b, const int8_t *w, int32_t stride,
                                      const float *scale, int32_t rows_b, int32_t depth)
{
    odt_scale_each_f32(b, w, stride, scale, rows_b, depth);
}

ODT_INLINE void odt_window_f32(float *acc, const float *plane, int32_t pitch, const float *taps,
                               int32_t kh, int32_t kw, int32_t stride, int32_t rows, int32_t count)
{
    odt_window_each_f32(acc, plane, pitch, taps, kh, kw, stride, rows, count);
}

#endif
