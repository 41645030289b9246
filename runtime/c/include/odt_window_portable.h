/* odt_window.h in C99: taps lie as the filter does. */
#ifndef ODT_WINDOW_PORTABLE_H
#define ODT_WINDOW_PORTABLE_H

#define ODT_TAPS(kh, kw) ((kh) * (kw))

ODT_INLINE void odt_taps(int16_t *taps, const int8_t *w, int32_t kh, int32_t kw)
{
    odt_widen(taps, w, 0, kh * kw);
}

ODT_INLINE void odt_taps_flipped(int16_t *taps, const int8_t *w, int32_t kh, int32_t kw)
{
    for (int32_t i = 0; i < kh * kw; ++i) taps[i] = w[kh * kw - 1 - i];
}

ODT_INLINE void odt_window(int32_t *acc, const int16_t *plane, int32_t pitch, const int16_t *taps,
                           int32_t kh, int32_t kw, int32_t stride, int32_t rows, int32_t count)
{
    for (int32_t r = 0; r < rows; ++r, acc += count, plane += stride * pitch) {
        for (int32_t q = 0; q < count; ++q) {
            int32_t sum = acc[q];
            for (int32_t i = 0; i < kh; ++i) {
                for (int32_t j = 0; j < kw; ++j) {
                    sum += plane[i * pitch + q * stride + j] * taps[i * kw + j];
                }
            }
            acc[q] = sum;
        }
    }
}

#endif
