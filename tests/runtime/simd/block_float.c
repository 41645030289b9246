/* Random cases of odt_block_float.h beside the plain formulae, bit for bit. check() returns the line
 * that failed, or 0. */
#include "odt_block_float.h"

#include "check.h"

enum { ROWS = 9, DEPTH = 19, CODES = 176, GUARD = 0x5a5a };

static float x[ROWS * 2 * DEPTH], scale[DEPTH], peak[ROWS], factor[ROWS], out[ROWS * (ROWS + 3)];
static struct {
    int32_t aligned;
    int16_t codes[CODES];
} to;
static int32_t acc[ROWS * ROWS];
static uint8_t mask[(2 * ROWS * (ROWS + 3) + 64) / 8];

/* Numbers of all sizes, zeros, now and then an infinity or a NaN. */
static float random_number(void)
{
    const uint32_t exponent = (uint32_t)random_between(90, 140) << 23;
    const uint32_t bits = exponent | (uint32_t)random_below(1 << 23);
    const int32_t kind = random_below(200);
    if (kind == 0) return ODT_INFINITY;
    if (kind == 1) return ODT_NAN;
    if (kind < 20) return 0.0f;
    return odt_float_of(bits | (random_below(2) ? ODT_SIGN : 0u));
}

static float magnitude_of(float number)
{
    return number < 0 ? -number : number == number ? number : 0.0f;
}

static int finite(float number)
{
    return number - number == 0;
}

/* The nearest integer, the even one of two. */
static int32_t rounded(float number)
{
    const int32_t down = (int32_t)number - (number < (float)(int32_t)number);
    const float rest = number - (float)down;
    if (rest == 0.5f) return down + (down & 1);
    return down + (rest > 0.5f);
}

static void fill_numbers(int32_t rows)
{
    for (int32_t i = 0; i < (int32_t)(sizeof x / sizeof *x); i++) x[i] = random_number();
    for (int32_t k = 0; k < DEPTH; k++) scale[k] = magnitude_of(random_number());
    for (int32_t p = 0; p < rows; p++) peak[p] = random_below(2) ? 0.0f : 1e-9f;
}

static int check_planes(void)
{
    const int32_t rows = random_between(1, ROWS), depth = random_below(DEPTH + 1);
    const int32_t stride = rows + random_below(ROWS);
    const float *scales = random_below(2) ? scale : 0;
    const float limit = (float)random_between(512, 32767);
    int bad = 0; /* numbers that are not finite; they may take the peaks of their neighbours along */
    fill_numbers(rows);
    for (int32_t p = 0; p < rows; p++) factor[p] = peak[p];
    odt_peak_planes(peak, x, stride, scales, rows, depth);
    for (int32_t p = 0; p < rows; p++) {
        for (int32_t k = 0; k < depth; k++)
            bad += !finite(scales ? x[k * stride + p] * scales[k] : x[k * stride + p]);
    }
    for (int32_t p = 0; p < rows; p++) {
        float largest = factor[p];
        int own_bad = 0;
        for (int32_t k = 0; k < depth; k++) {
            const float number = scales ? x[k * stride + p] * scales[k] : x[k * stride + p];
            if (magnitude_of(number) > largest) largest = magnitude_of(number);
            own_bad += !finite(number);
        }
        if (own_bad) CHECK(!finite(peak[p]));
        if (!bad || finite(peak[p])) CHECK(odt_bits_of(largest) == odt_bits_of(peak[p]));
        factor[p] = odt_block_factor(peak[p], limit);
        CHECK(factor[p] >= 0 && factor[p] < ODT_INFINITY);
    }
    for (int32_t i = 0; i <= rows * depth; i++) to.codes[i] = GUARD;
    odt_pack_planes(to.codes, x, stride, scales, factor, rows, depth);
    for (int32_t p = 0; p < rows; p++) {
        for (int32_t k = 0; k < depth; k++) {
            const float number = scales ? x[k * stride + p] * scales[k] : x[k * stride + p];
            const int32_t code = to.codes[odt_column(p, k, rows, depth)];
            if (!(magnitude_of(number) < ODT_INFINITY) || number != number) continue;
            CHECK(code == rounded(number * factor[p]));
            CHECK(code <= (int32_t)limit && code >= -(int32_t)limit);
        }
    }
    CHECK(to.codes[rows * depth] == GUARD);
    return 0;
}

static int check_plane(void)
{
    const int32_t height = random_between(1, 4), width = random_between(1, 4);
    const int32_t down = random_between(1, 2), across = random_between(1, 2);
    const int32_t top = random_below(3), left = random_below(3);
    const int32_t rows = top + (height - 1) * down + 1 + random_below(2);
    const int32_t columns = left + (width - 1) * across + 1 + random_below(2);
    const int32_t stride = width + random_below(3);
    const int32_t pitch = ODT_PITCH(columns);
    float largest = 0;
    fill_numbers(0);
    for (int32_t i = 0; i < height * stride; i++) {
        if (!(magnitude_of(x[i]) < ODT_INFINITY) || x[i] != x[i]) x[i] = 1;
        largest = odt_peak(largest, x[i]);
    }
    factor[0] = odt_block_factor(largest, 32767.0f);
    for (int32_t i = 0; i <= rows * pitch; i++) to.codes[i] = GUARD;
    odt_block_plane(to.codes, rows, columns, top, left, down, across, x, stride, height, width,
                    factor[0]);
    for (int32_t r = 0; r < rows; r++) {
        for (int32_t c = 0; c < columns; c++) {
            const int32_t i = (r - top) / down, j = (c - left) / across;
            const int inside = r >= top && c >= left && (r - top) % down == 0 &&
                               (c - left) % across == 0 && i < height && j < width;
            const int32_t code = inside ? rounded(x[i * stride + j] * factor[0]) : 0;
            CHECK(to.codes[r * pitch + c] == code);
        }
    }
    CHECK(to.codes[rows * pitch] == GUARD);
    return 0;
}

static int check_tile(void)
{
    const int32_t rows = random_between(1, ROWS), count = random_between(1, ROWS);
    const int32_t stride = count + random_below(4), step = random_below(2);
    const int32_t index = random_below(2) ? 8 * random_below(8) : random_below(64);
    fill_numbers(0);
    fill8((int8_t *)mask, (int32_t)sizeof mask);
    for (int32_t i = 0; i < rows * count; i++) acc[i] = random_between(-99999, 99999) * 20000;
    for (int32_t i = 0; i < rows * stride; i++) out[i] = 77.0f;
    odt_real_tile_masked(out, stride, acc, scale, step, mask, index, rows, count);
    for (int32_t r = 0; r < rows; r++) {
        for (int32_t q = 0; q < count; q++) {
            const float unit = scale[q * step];
            const int passes = odt_bit_read(mask, index + r * stride + q);
            if (!(unit < ODT_INFINITY)) continue;
            CHECK(odt_bits_of(out[r * stride + q]) ==
                  odt_bits_of(passes ? (float)acc[r * count + q] * unit : 0.0f));
        }
        for (int32_t q = count; q < stride; q++) CHECK(out[r * stride + q] == 77.0f);
    }
    return 0;
}

static int check_mask(void)
{
    const int32_t rows = random_between(1, ROWS), depth = random_between(1, ROWS);
    const int32_t stride = rows + random_below(4);
    const int32_t index = random_below(2) ? 8 * random_below(8) : random_below(64);
    fill_numbers(0);
    fill8((int8_t *)mask, (int32_t)sizeof mask);
    out[rows * depth] = 77.0f;
    odt_mask_planes(out, x, stride, mask, index, rows, depth);
    for (int32_t k = 0; k < depth; k++) {
        for (int32_t p = 0; p < rows; p++) {
            const int passes = odt_bit_read(mask, index + k * stride + p);
            const uint32_t expected = passes ? odt_bits_of(x[k * stride + p]) : 0;
            CHECK(odt_bits_of(out[k * rows + p]) == expected);
        }
    }
    CHECK(out[rows * depth] == 77.0f);
    return 0;
}

/* Blocks that lie in rows, and sums of rows; the result may start where the numbers do. */
static int check_rows(void)
{
    const int32_t rows = random_between(1, ROWS), depth = random_below(DEPTH + 1);
    const int32_t stride = depth + random_below(ROWS);
    const int32_t index = random_below(2) ? 8 * random_below(8) : random_below(64);
    float *sums = random_below(2) ? out : x;
    fill_numbers(rows);
    for (int32_t i = 0; i < rows * stride; i++) {
        if (!(magnitude_of(x[i]) < ODT_INFINITY) || x[i] != x[i]) x[i] = 1;
    }
    for (int32_t p = 0; p < rows; p++) factor[p] = peak[p];
    odt_peak_rows(peak, x, stride, rows, depth);
    for (int32_t p = 0; p < rows; p++) {
        float largest = factor[p];
        for (int32_t k = 0; k < depth; k++) largest = odt_peak(largest, x[p * stride + k]);
        CHECK(odt_bits_of(largest) == odt_bits_of(peak[p]));
        factor[p] = odt_block_factor(largest, 32767.0f);
    }
    for (int32_t i = 0; i <= rows * depth; i++) to.codes[i] = GUARD;
    odt_pack_rows_f32(to.codes, x, stride, factor, rows, depth);
    for (int32_t p = 0; p < rows; p++) {
        for (int32_t k = 0; k < depth; k++) {
            const int32_t code = to.codes[odt_column(p, k, rows, depth)];
            CHECK(code == rounded(x[p * stride + k] * factor[p]));
        }
    }
    CHECK(to.codes[rows * depth] == GUARD);
    fill8((int8_t *)mask, (int32_t)sizeof mask);
    for (int32_t p = 0; p < rows; p++) {
        float masked = 0;
        factor[p] = 0;
        for (int32_t k = 0; k < depth; k++) {
            const int passes = odt_bit_read(mask, index + p * stride + k);
            factor[p] += x[p * stride + k];
            masked += passes ? x[p * stride + k] : 0.0f;
        }
        peak[p] = masked;
    }
    odt_sum_rows_masked(out, x, stride, mask, index, rows, depth);
    for (int32_t p = 0; p < rows; p++) CHECK(odt_bits_of(out[p]) == odt_bits_of(peak[p]));
    if (sums == x && stride == 0) return 0;
    odt_sum_rows(sums, x, stride, rows, depth);
    for (int32_t p = 0; p < rows; p++) CHECK(odt_bits_of(sums[p]) == odt_bits_of(factor[p]));
    return 0;
}

static int check_update(void)
{
    const int32_t rows = random_between(1, ROWS), count = random_between(1, ROWS);
    const int32_t stride = count + random_below(3);
    const uint32_t seed = (uint32_t)random_below(1 << 24), index = (uint32_t)random_below(999);
    static int8_t codes[ROWS * (ROWS + 2)], updated[ROWS * (ROWS + 2)];
    const float rate = 0.01f;
    uint32_t not_finite = 0, expected_not_finite = 0;
    fill_numbers(rows);
    fill8(codes, rows * stride);
    for (int32_t i = 0; i < rows * stride; i++) updated[i] = codes[i];
    for (int32_t i = 0; i < rows * count; i++) acc[i] = random_between(-99999, 99999) * 20000;
    odt_update_tile(updated, updated, stride, acc, scale, rate, x, seed, index, rows, count,
                    &not_finite);
    for (int32_t r = 0; r < rows; r++) {
        for (int32_t q = 0; q < stride; q++) {
            const int32_t at = r * stride + q;
            int32_t expected = codes[at];
            if (q < count) {
                const float step = (float)acc[r * count + q] * scale[r] * (rate * x[r]);
                expected = odt_update_code(expected, step, 127, seed, index + (uint32_t)at,
                                           &expected_not_finite);
                if (!finite(step)) CHECK(expected_not_finite && expected == codes[at]);
            }
            CHECK(updated[at] == expected);
        }
    }
    CHECK(not_finite == expected_not_finite);
    return 0;
}

static int check_clear(void)
{
    const int32_t count = random_below(ROWS * ROWS);
    for (int32_t i = 0; i <= count; i++) acc[i] = 7;
    odt_clear(acc, count);
    for (int32_t i = 0; i < count; i++) CHECK(acc[i] == 0);
    CHECK(acc[count] == 7);
    return 0;
}

int check(void);
int check(void)
{
    int bad = 0;
    if (odt_block_factor(0.0f, 1.0f) != 0 || odt_block_factor(1e-44f, 32767.0f) != 0) return 1;
    if (odt_block_factor(ODT_INFINITY, 32767.0f) != 0 || odt_block_factor(ODT_NAN, 1.0f) != 0) return 1;
    if (finite(odt_peak(2.0f, ODT_NAN)) || finite(odt_peak(ODT_NAN, 2.0f))) return 1;
    for (int32_t round = 0; round < 1000 && !bad; round++) {
        bad = check_planes();
        if (!bad) bad = check_plane();
        if (!bad) bad = check_tile();
        if (!bad) bad = check_mask();
        if (!bad) bad = check_rows();
        if (!bad) bad = check_update();
        if (!bad) bad = check_clear();
    }
    return bad;
}
