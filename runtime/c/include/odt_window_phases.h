/*
 * odt_window_phases: odt_window() of a plane whose elements lie `down` rows and `across` columns
 * apart, with zeros between them, as the gradient of a strided depthwise convolution has it.
 *
 * Results whose windows meet the same taps make a phase, of which there are down * across. The
 * zeros are not stored: a phase is a window of its own taps over what is left of the plane.
 */
#ifndef ODT_WINDOW_PHASES_H
#define ODT_WINDOW_PHASES_H

#include "odt_window.h"

enum {
    ODT_PHASE_TAPS = 64, /* of a phase at most */
    ODT_PHASE_SUMS = 64, /* at a time, at least the columns of a tile */
};

/* Whether a compiler gains where each phase is written out: all its sizes are constants. */
#ifdef __OPTIMIZE__
#define ODT_SEES_PHASES 1
#else
#define ODT_SEES_PHASES 0
#endif

/* The first of the positions 0, 1 ... whose tap `tap`, on at + tap, is no zero of the plane. */
ODT_INLINE int32_t odt_phase_first(int32_t at, int32_t tap, int32_t step)
{
    return (step - (at + tap) % step) % step;
}

/* Of `count` positions, those from `first` on, `step` apart. */
ODT_INLINE int32_t odt_phase_count(int32_t first, int32_t count, int32_t step)
{
    return first < count ? (count - first + step - 1) / step : 0;
}

/* Where in the row that is stored the first one reads. */
ODT_INLINE int32_t odt_phase_at(int32_t at, int32_t tap, int32_t step)
{
    return (at + odt_phase_first(at, tap, step) + tap) / step - 1;
}

/* The least width that odt_window() is best with, for at least `width` taps a row; up to 2 more. */
ODT_INLINE int32_t odt_phase_width(int32_t height, int32_t width)
{
#if ODT_DSP
    if (height == 3 && width < 3) return 3;
    if (width == 4 || width == 6 || (width == 3 && height != 3)) return width == 3 ? 5 : width + 1;
#else
    (void)height;
#endif
    return width;
}

/* The taps of phase (i, j); returns where those of the next one lie. */
ODT_INLINE int16_t *odt_taps_phase(int16_t *taps, int8_t *part, const int8_t *w, int32_t turned,
                                   int32_t kh, int32_t kw, int32_t down, int32_t across,
                                   int32_t column, int32_t i, int32_t j)
{
    const int32_t height = odt_phase_count(i, kh, down);
    const int32_t lead = odt_phase_at(column, j, across) & 1;
    const int32_t own = odt_phase_count(j, kw, across);
    const int32_t width = odt_phase_width(height, lead + own);
    for (int32_t t = 0; t < height; ++t) {
        for (int32_t u = 0; u < width; ++u) part[t * width + u] = 0;
        for (int32_t u = 0; u < own; ++u) {
            const int32_t at = (i + t * down) * kw + j + u * across;
            part[t * width + lead + u] = w[turned ? kh * kw - 1 - at : at];
        }
    }
    odt_taps(taps, part, height, width);
    return taps + ((ODT_TAPS(height, width) + 1) & ~1);
}

/* Prepares the taps w (kh, kw), turned by 180 degrees if `turned`, of all phases. A window starts
 * at an even column: where its phase starts at an odd one, a tap of 0 comes before its taps.
 *
 * column  as odt_window_phases() gets it, or what is left of it modulo 2 * across */
ODT_INLINE void odt_taps_phases(int16_t *taps, const int8_t *w, int32_t turned, int32_t kh,
                                int32_t kw, int32_t down, int32_t across, int32_t column)
{
    int8_t part[ODT_PHASE_TAPS];
    if (ODT_SEES_PHASES && down == 2 && across == 2 && kh > 1 && kw > 1) {
        taps = odt_taps_phase(taps, part, w, turned, kh, kw, 2, 2, column, 0, 0);
        taps = odt_taps_phase(taps, part, w, turned, kh, kw, 2, 2, column, 0, 1);
        taps = odt_taps_phase(taps, part, w, turned, kh, kw, 2, 2, column, 1, 0);
        odt_taps_phase(taps, part, w, turned, kh, kw, 2, 2, column, 1, 1);
        return;
    }
    for (int32_t i = 0; i < down && i < kh; ++i) {
        for (int32_t j = 0; j < across && j < kw; ++j) {
            taps = odt_taps_phase(taps, part, w, turned, kh, kw, down, across, column, i, j);
        }
    }
}

/* The results of phase (i, j); returns where the taps of the next one lie. */
ODT_INLINE const int16_t *odt_window_phase(int32_t *acc, int32_t *sums, const int16_t *plane,
                                           int32_t pitch, const int16_t *taps, int32_t kh,
                                           int32_t kw, int32_t down, int32_t across, int32_t row,
                                           int32_t column, int32_t rows, int32_t count, int32_t i,
                                           int32_t j)
{
    const int32_t height = odt_phase_count(i, kh, down);
    const int32_t at = odt_phase_at(column, j, across), lead = at & 1;
    const int32_t width = odt_phase_width(height, lead + odt_phase_count(j, kw, across));
    const int32_t top = odt_phase_first(row, i, down), left = odt_phase_first(column, j, across);
    const int32_t own_rows = odt_phase_count(top, rows, down);
    const int32_t own = odt_phase_count(left, count, across);
    const int32_t most = own > 0 ? ODT_PHASE_SUMS / own : 0;
    const int16_t *from = plane + odt_phase_at(row, i, down) * pitch + at - lead;
    int32_t *to = acc + top * count + left;
    for (int32_t done = 0, part; most > 0 && done < own_rows; done += part) {
        part = own_rows - done < most ? own_rows - done : most;
        for (int32_t r = 0; r < part; ++r) {
            for (int32_t q = 0; q < own; ++q) sums[r * own + q] = to[r * down * count + q * across];
        }
        odt_window(sums, from + done * pitch, pitch, taps, height, width, 1, part, own);
        for (int32_t r = 0; r < part; ++r, to += down * count) {
            for (int32_t q = 0; q < own; ++q) to[q * across] = sums[r * own + q];
        }
    }
    return taps + ((ODT_TAPS(height, width) + 1) & ~1);
}

/* acc[r * count + q] += sum over i < kh, j < kw of element (row + r + i, column + q + j) * w[i][j].
 *
 * Element (y, x) is plane[(y / down - 1) * pitch + x / across - 1] where down divides y and across
 * x, else 0; 1 <= row, column.
 *
 * acc    rows x count, count <= ODT_PHASE_SUMS
 * plane  with two more columns than are read by that rule; pitch even
 * taps   w, prepared by odt_taps_phases() */
ODT_INLINE void odt_window_phases(int32_t *acc, const int16_t *plane, int32_t pitch,
                                  const int16_t *taps, int32_t kh, int32_t kw, int32_t down,
                                  int32_t across, int32_t row, int32_t column, int32_t rows,
                                  int32_t count)
{
    int32_t sums[ODT_PHASE_SUMS];
#define ODT_PHASE(down, across, i, j)                                                         \
    odt_window_phase(acc, sums, plane, pitch, taps, kh, kw, down, across, row, column, rows,  \
                     count, i, j)
    if (ODT_SEES_PHASES && down == 2 && across == 2 && kh > 1 && kw > 1) {
        taps = ODT_PHASE(2, 2, 0, 0);
        taps = ODT_PHASE(2, 2, 0, 1);
        taps = ODT_PHASE(2, 2, 1, 0);
        (void)ODT_PHASE(2, 2, 1, 1);
        return;
    }
    for (int32_t i = 0; i < down && i < kh; ++i) {
        for (int32_t j = 0; j < across && j < kw; ++j) taps = ODT_PHASE(down, across, i, j);
    }
#undef ODT_PHASE
}

#endif
