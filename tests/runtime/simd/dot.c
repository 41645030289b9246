/* Random cases of odt_dot.h beside the plain loops. check() returns the line that failed, or 0. */
#include "odt_dot.h"

#include "check.h"

enum { ROWS = 9, OUTPUTS = 5, DEPTH = 72, GUARD = 0x5a5a };

static int8_t weights[OUTPUTS * (DEPTH + 3) + 4];
static int8_t x[2 * (ROWS + 3) * (DEPTH + 3) + 4];
static struct {
    int32_t aligned;
    int16_t columns[ROWS * DEPTH + 1];
} first, second;
static int32_t acc[ROWS * ROWS + 1], expected[ROWS * ROWS + 1];

static void fill_sums(int32_t count)
{
    for (int32_t i = 0; i <= count; i++) acc[i] = expected[i] = random_between(-99999, 99999);
}

static int same_sums(int32_t count)
{
    for (int32_t i = 0; i <= count; i++) {
        if (acc[i] != expected[i]) return 0;
    }
    return 1;
}

/* Packs random codes into `columns` both ways. */
static int check_pack(int16_t *columns, int32_t rows, int32_t depth)
{
    const int by_rows = random_below(2);
    const int32_t extra = random_below(4);
    const int32_t stride = (by_rows ? depth : rows) + extra;
    const int32_t zero_point = random_element(-128, 127, random_extremes());
    const int8_t *from = x + random_below(4);
    fill8(x, (int32_t)sizeof x);
    for (int32_t i = 0; i <= rows * depth; i++) columns[i] = GUARD;
    if (by_rows) {
        odt_pack_rows(columns, from, stride, zero_point, rows, depth);
    } else {
        odt_pack(columns, from, stride, zero_point, rows, depth);
    }
    for (int32_t p = 0; p < rows; p++) {
        for (int32_t k = 0; k < depth; k++) {
            const int32_t at = odt_column(p, k, rows, depth);
            const int32_t code = by_rows ? from[p * stride + k] : from[k * stride + p];
            CHECK(at >= 0 && at < rows * depth);
            CHECK(columns[at] == code - zero_point);
        }
    }
    CHECK(columns[rows * depth] == GUARD);
    return 0;
}

static int check_dot(void)
{
    const int32_t rows = random_between(1, ROWS), outputs = random_between(1, OUTPUTS);
    const int32_t depth = random_below(DEPTH + 1);
    const int32_t begin = random_below(2) ? 0 : random_below(depth + 1);
    const int32_t end = random_below(2) ? depth : random_between(begin, depth);
    const int32_t stride = end - begin + random_below(4);
    const int8_t *w = weights + random_below(4);
    const int bad = check_pack(first.columns, rows, depth);
    if (bad) return bad;
    fill8(weights, (int32_t)sizeof weights);
    fill_sums(rows * outputs);
    odt_dot(acc, first.columns, w, stride, rows, depth, begin, end, outputs);
    for (int32_t o = 0; o < outputs; o++) {
        for (int32_t p = 0; p < rows; p++) {
            for (int32_t k = begin; k < end; k++) {
                expected[o * rows + p] += first.columns[odt_column(p, k, rows, depth)] *
                                          w[o * stride + k - begin];
            }
        }
    }
    CHECK(same_sums(rows * outputs));
    return 0;
}

static int check_dot_columns(void)
{
    const int32_t rows_a = random_between(1, ROWS), rows_b = random_between(1, ROWS);
    const int32_t depth = random_below(DEPTH + 1);
    const int extremes = random_extremes();
    for (int32_t i = 0; i < ROWS * DEPTH; i++) {
        first.columns[i] = (int16_t)random_element(-4096, 4095, extremes);
        second.columns[i] = (int16_t)random_element(-4096, 4095, extremes);
    }
    fill_sums(rows_a * rows_b);
    odt_dot_columns(acc, first.columns, second.columns, rows_a, rows_b, depth);
    for (int32_t j = 0; j < rows_b; j++) {
        for (int32_t i = 0; i < rows_a; i++) {
            for (int32_t k = 0; k < depth; k++) {
                expected[j * rows_a + i] += first.columns[odt_column(i, k, rows_a, depth)] *
                                            second.columns[odt_column(j, k, rows_b, depth)];
            }
        }
    }
    CHECK(same_sums(rows_a * rows_b));
    return 0;
}

int check(void);
int check(void)
{
    int bad = 0;
    for (int32_t round = 0; round < 1500 && !bad; round++) {
        bad = check_dot();
        if (!bad) bad = check_dot_columns();
    }
    return bad;
}
