/* Random cases of odt_float.h beside the plain loops, bit for bit, and a checksum of all sums that
 * is the same everywhere. check() returns the line that failed, or 0. */
#include "odt_float.h"

#include <string.h>

#include "check.h"

enum { ROWS = 27, DEPTH = 20, COUNT = 18, KERNEL = 7, EXTRA = 3, ROUNDS = 300 };
enum { PITCH = (COUNT - 1) * 3 + KERNEL + EXTRA, HEIGHT = 2 * 3 + KERNEL };

static float a[DEPTH * (ROWS + EXTRA)], b[DEPTH * 4], scale[DEPTH];
static float plane[HEIGHT * PITCH], taps[KERNEL * KERNEL];
static float acc[ROWS * 4 + 1], expected[ROWS * 4 + 1];
static int8_t weights[DEPTH * (6 + EXTRA) + 4];
static uint32_t checksum; /* starts at 0, as random_state does */

/* A sign, any fraction, and an exponent around 0; or zero or a subnormal number. */
static float random_float(void)
{
    const uint32_t exponent = random_below(16) ? (uint32_t)random_between(120, 134) : 0;
    const uint32_t fraction = random_below(8) ? (uint32_t)random_below(1 << 23) : 0;
    const uint32_t bits = (uint32_t)random_below(2) << 31 | exponent << 23 | fraction;
    float number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

static void fill(float *to, int32_t count)
{
    for (int32_t i = 0; i < count; i++) to[i] = random_float();
}

static void fill_sums(int32_t count)
{
    for (int32_t i = 0; i <= count; i++) acc[i] = expected[i] = random_float();
}

static int same_sums(int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &acc[i], sizeof bits);
        checksum = (checksum ^ bits) * 16777619u;
    }
    return memcmp(acc, expected, (size_t)(count + 1) * sizeof *acc) == 0;
}

static int check_dot(void)
{
    const int32_t rows_a = random_between(1, ROWS), rows_b = random_between(1, 4);
    const int32_t depth = random_below(DEPTH + 1), stride = rows_a + random_below(EXTRA + 1);
    fill(a, depth * stride);
    fill(b, depth * rows_b);
    fill_sums(rows_a * rows_b);
    odt_dot_f32(acc, a, stride, b, rows_a, rows_b, depth);
    for (int32_t k = 0; k < depth; k++) {
        for (int32_t j = 0; j < rows_b; j++) {
            for (int32_t i = 0; i < rows_a; i++) {
                expected[j * rows_a + i] += a[k * stride + i] * b[k * rows_b + j];
            }
        }
    }
    CHECK(same_sums(rows_a * rows_b));
    return 0;
}

static int check_scale_columns(void)
{
    const int32_t rows_b = random_below(2) ? 4 : random_between(1, 6);
    const int32_t depth = random_below(DEPTH - 2), stride = rows_b + random_below(EXTRA + 1);
    const int8_t *w = weights + random_below(4);
    fill8(weights, (int32_t)sizeof weights);
    fill(scale, depth);
    fill_sums(rows_b * depth);
    odt_scale_columns_f32(acc, w, stride, scale, rows_b, depth);
    for (int32_t k = 0; k < depth; k++) {
        for (int32_t j = 0; j < rows_b; j++) {
            expected[k * rows_b + j] = (float)w[k * stride + j] * scale[k];
        }
    }
    CHECK(same_sums(rows_b * depth));
    return 0;
}

static int check_window(void)
{
    const int32_t kw = random_below(2) ? 3 + 2 * random_below(3) : random_between(1, KERNEL);
    const int32_t kh = random_below(4) ? kw : random_between(1, KERNEL);
    const int32_t stride = random_below(2) ? 1 : random_between(1, 3);
    const int32_t rows = random_between(1, 3), count = random_between(1, COUNT);
    const int32_t pitch = (count - 1) * stride + kw + random_below(EXTRA + 1);
    fill(plane, ((rows - 1) * stride + kh) * pitch);
    fill(taps, kh * kw);
    fill_sums(rows * count);
    odt_window_f32(acc, plane, pitch, taps, kh, kw, stride, rows, count);
    for (int32_t r = 0; r < rows; r++) {
        for (int32_t q = 0; q < count; q++) {
            for (int32_t i = 0; i < kh; i++) {
                for (int32_t j = 0; j < kw; j++) {
                    expected[r * count + q] +=
                        plane[(r * stride + i) * pitch + q * stride + j] * taps[i * kw + j];
                }
            }
        }
    }
    CHECK(same_sums(rows * count));
    return 0;
}

int check(void);
int check(void)
{
    int bad = 0;
    for (int32_t round = 0; round < ROUNDS && !bad; round++) {
        bad = check_dot();
        if (!bad) bad = check_scale_columns();
        if (!bad) bad = check_window();
    }
    if (bad) return bad;
    CHECK(checksum == 0xd5a2100cu);
    return 0;
}
