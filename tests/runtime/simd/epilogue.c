/* Random cases of odt_epilogue.h beside the plain formulae. check() returns the line that failed,
 * or 0. */
#include "odt_epilogue.h"

#include <string.h>

#include "check.h"

enum { OUTER = 5, INNER = 35, EXTRA = 5, COUNT = 41, GUARD = 0x5a };
enum { OUT = OUTER * (INNER + EXTRA) + 4, MASK = (OUTER * 3 * INNER + 64) / 8 + 1 };

static int32_t acc[OUTER * INNER];
static int32_t bias[OUTER], multiplier[OUTER], shift[OUTER];
static int8_t out[OUT], expected[OUT];
static uint8_t mask[MASK], expected_mask[MASK];
static int8_t a[COUNT + 8], b[COUNT + 8];

/* An accumulator, less its bias, whose code lies around the range of int8. */
static int32_t random_sum(int32_t r, int32_t offset)
{
    const int32_t code = random_between(-200, 200);
    if (multiplier[r] == 0) return random_between(-99999, 99999);
    const int64_t whole = (2 * code - offset) * ((int64_t)1 << (32 + shift[r])) / multiplier[r];
    const int64_t sum = whole + random_between(-2, 2) - bias[r];
    const int64_t most = INT32_MAX - (int64_t)(bias[r] < 0 ? -bias[r] : bias[r]);
    if (random_below(16) == 0) return (int32_t)(random_below(2) ? most : -most);
    return (int32_t)(sum > most ? most : sum < -most ? -most : sum);
}

/* The sizes that kernels have, and any other. */
static int32_t random_inner(void)
{
    return random_below(2) ? 1 << random_below(6) : random_between(1, INNER);
}

static int check_tile(void)
{
    const int32_t outer = random_between(1, OUTER), inner = random_inner();
    const int32_t step = random_below(2), masked = random_below(2);
    const int32_t out_stride = inner + random_below(EXTRA + 1), at = random_below(4);
    const int32_t offset = 2 * random_element(-128, 127, random_extremes()) + 1;
    const int whole = inner == 2 || inner == 4 || inner == 8 || inner == 16 || inner == 32;
    const int32_t index = whole ? inner * random_below(3) : random_below(64);
    const int32_t stride = whole ? inner * random_between(1, 3) : random_between(inner, 3 * inner);
    for (int32_t r = 0; r < outer; r++) {
        shift[r] = random_below(4) ? random_between(4, 12) : random_below(22);
        multiplier[r] = (1 << 30) + 128 * random_below(1 << 23) + random_below(128);
        if (random_below(16) == 0) multiplier[r] = 0; /* of a dead channel */
        bias[r] = random_between(-(1 << 22), 1 << 22) * (random_below(4) ? 1 : 128);
    }
    for (int32_t r = 0; r < outer; r++) {
        for (int32_t q = 0; q < inner; q++) acc[r * inner + q] = random_sum(r * step, offset);
    }
    memset(out, GUARD, sizeof out);
    memset(expected, GUARD, sizeof expected);
    for (int32_t i = 0; i < MASK; i++) mask[i] = expected_mask[i] = (uint8_t)random_below(256);
    if (masked) {
        odt_requantize_tile_masked(out + at, out_stride, acc, bias, multiplier, shift, step, offset,
                                   outer, inner, mask, index, stride);
    } else {
        odt_requantize_tile(out + at, out_stride, acc, bias, multiplier, shift, step, offset, outer,
                            inner);
    }
    for (int32_t r = 0; r < outer; r++) {
        const int32_t c = r * step;
        for (int32_t q = 0; q < inner; q++) {
            const int32_t code = odt_requantize_high(acc[r * inner + q] + bias[c], multiplier[c],
                                                     shift[c], offset);
            expected[at + r * out_stride + q] = (int8_t)odt_clamp8(code);
            if (masked) odt_bit_write(expected_mask, index + r * stride + q, odt_is_int8(code));
        }
    }
    CHECK(memcmp(out, expected, sizeof out) == 0);
    CHECK(memcmp(mask, expected_mask, sizeof mask) == 0);
    return 0;
}

/* Sums whose shift leaves about the range of int8. */
static int check_add(void)
{
    const int32_t count = random_below(COUNT + 1), down = random_between(1, 23);
    const int32_t most = down > 21 ? (1 << 22) - 1 : (1 << (down + 1)) - 1;
    const int32_t a_by = random_element(-most, most, random_extremes());
    const int32_t b_by = random_element(-most, most, random_extremes());
    const int32_t offset = random_between(-(1 << 23), 1 << 23);
    const int32_t where = random_below(3), from = random_below(4), and_from = random_below(4);
    int8_t *to = where == 0 ? out + random_below(4) : where == 1 ? a + from : b + and_from;
    fill8(a, (int32_t)sizeof a);
    fill8(b, (int32_t)sizeof b);
    memset(out, GUARD, sizeof out);
    for (int32_t i = 0; i < count; i++) {
        const int32_t sum = odt_scaled_sum_narrow(a[from + i], a_by, b[and_from + i], b_by, offset);
        expected[i] = (int8_t)odt_clamp8(sum >> down);
    }
    expected[count] = to[count];
    odt_add_s8(to, a + from, b + and_from, a_by, b_by, offset, down, count);
    CHECK(memcmp(to, expected, (size_t)(count + 1)) == 0);
    return 0;
}

int check(void);
int check(void)
{
    int bad = 0;
    for (int32_t round = 0; round < 1500 && !bad; round++) {
        bad = check_tile();
        if (!bad) bad = check_add();
    }
    return bad;
}
