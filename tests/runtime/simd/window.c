/* Random cases of odt_window.h and odt_window_phases.h beside the plain loops. check() returns the
 * line that failed. */
#include "odt_window_phases.h"

#include "check.h"

enum { SIDE = 7, PLANE = 24 * 25, SUMS = 18 * 18, GUARD = 0x5a5a };

static int8_t x[PLANE + 4], weights[SIDE * SIDE + 4];
static struct {
    int32_t aligned;
    int16_t plane[PLANE + 1];
} scratch;
static struct {
    int32_t aligned;
    int16_t taps[8 * ODT_TAPS(SIDE, SIDE) + 1];
} prepared;
static int32_t acc[SUMS + 1];

/* Fills the plane of `pitch` from random codes and borders. */
static int check_plane(int32_t in_rows, int32_t in_columns, int32_t *pitch)
{
    const int32_t top = random_below(in_rows < 4 ? in_rows : 4);
    const int32_t bottom = random_below(in_rows - top < 4 ? in_rows - top : 4);
    const int32_t left = random_below(in_columns < 4 ? in_columns : 4);
    const int32_t right = random_below(in_columns - left < 4 ? in_columns - left : 4);
    const int32_t height = in_rows - top - bottom, width = in_columns - left - right;
    const int32_t zero_point = random_element(-128, 127, random_extremes());
    const int8_t *from = x + random_below(4);
    int16_t *plane = scratch.plane;
    *pitch = ODT_PITCH(in_columns);
    fill8(x, (int32_t)sizeof x);
    for (int32_t i = 0; i <= PLANE; i++) plane[i] = GUARD;
    odt_widen_plane(plane, from, height, width, top, left, bottom, right, zero_point);
    for (int32_t i = 0; i < in_rows * *pitch; i++) {
        const int32_t row = i / *pitch - top, column = i % *pitch - left;
        const int inside = row >= 0 && row < height && column >= 0 && column < width;
        CHECK(plane[i] == (inside ? from[row * width + column] - zero_point : 0));
    }
    CHECK(plane[in_rows * *pitch] == GUARD);
    return 0;
}

static int check_window(void)
{
    const int square = random_below(4) > 0;
    const int32_t kw = square ? 3 + 2 * random_below(3) : random_between(1, SIDE);
    const int32_t kh = square ? kw : random_between(1, SIDE);
    const int32_t stride = random_between(1, 3), flipped = random_below(2);
    const int32_t most_rows = (24 - kh) / stride + 1, most_columns = (24 - kw) / stride + 1;
    const int32_t rows = random_between(1, most_rows < 18 ? most_rows : 18);
    const int32_t count = random_between(1, most_columns < 18 ? most_columns : 18);
    const int8_t *w = weights + random_below(4);
    int32_t pitch = 0;
    const int bad = check_plane((rows - 1) * stride + kh, (count - 1) * stride + kw, &pitch);
    if (bad) return bad;
    fill8(weights, (int32_t)sizeof weights);
    prepared.taps[ODT_TAPS(kh, kw)] = GUARD;
    (flipped ? odt_taps_flipped : odt_taps)(prepared.taps, w, kh, kw);
    CHECK(prepared.taps[ODT_TAPS(kh, kw)] == GUARD);
    for (int32_t i = 0; i <= rows * count; i++) acc[i] = 1000 - 7 * i;
    odt_window(acc, scratch.plane, pitch, prepared.taps, kh, kw, stride, rows, count);
    for (int32_t i = 0; i < rows * count; i++) {
        const int16_t *window = scratch.plane + (i / count * pitch + i % count) * stride;
        int32_t sum = 1000 - 7 * i;
        for (int32_t t = 0; t < kh * kw; t++) {
            sum += window[t / kw * pitch + t % kw] * w[flipped ? kh * kw - 1 - t : t];
        }
        CHECK(acc[i] == sum);
    }
    CHECK(acc[rows * count] == 1000 - 7 * rows * count);
    return 0;
}

static int check_phases(void)
{
    const int32_t kh = random_between(1, SIDE), kw = random_between(1, SIDE);
    const int32_t down = random_between(1, 3), across = random_between(down == 1 ? 2 : 1, 3);
    const int32_t row = random_between(1, 5), column = random_between(1, 9);
    const int32_t rows = random_between(1, 10), count = random_between(1, 10);
    const int32_t stored = (row + rows + kh - 2) / down;
    const int32_t pitch = ODT_PITCH((column + count + kw - 2) / across + 2);
    const int32_t turned = random_below(2), taps = kh * kw;
    if ((kh + down - 1) / down * ((kw + across - 1) / across + 3) > ODT_PHASE_TAPS) return 0;
    fill8(x, (int32_t)sizeof x);
    fill8(weights, (int32_t)sizeof weights);
    for (int32_t i = 0; i < stored * pitch; i++) scratch.plane[i] = (int16_t)(250 * x[i]);
    odt_taps_phases(prepared.taps, weights, turned, kh, kw, down, across, column % (2 * across));
    for (int32_t i = 0; i <= rows * count; i++) acc[i] = 1000 - 7 * i;
    odt_window_phases(acc, scratch.plane, pitch, prepared.taps, kh, kw, down, across, row, column,
                      rows, count);
    for (int32_t i = 0; i < rows * count; i++) {
        int32_t sum = 1000 - 7 * i;
        for (int32_t t = 0; t < taps; t++) {
            const int32_t y = row + i / count + t / kw, at = column + i % count + t % kw;
            if (y % down == 0 && at % across == 0) {
                sum += scratch.plane[(y / down - 1) * pitch + at / across - 1] *
                       weights[turned ? taps - 1 - t : t];
            }
        }
        CHECK(acc[i] == sum);
    }
    CHECK(acc[rows * count] == 1000 - 7 * rows * count);
    return 0;
}

int check(void);
int check(void)
{
    int bad = 0;
    for (int32_t round = 0; round < 1000 && !bad; round++) {
        bad = check_window();
        if (!bad) bad = check_phases();
    }
    return bad;
}
